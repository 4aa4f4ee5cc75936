"""Read a run folder, also one that a crash left behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import safetensors
from numpy.typing import NDArray

from noise_lens.errors import RunFolderError
from noise_lens.run.files import read_json
from noise_lens.run.schema import COLUMNS, SCHEMA


@dataclass(frozen=True)
class Run:
    """A run folder as it was read.

    Attributes
    ----------
    folder : Path
        Where it lies.
    manifest : dict
        What was asked.
    records : list of dict
        One a group and measurement, by step, view and group order; repeated ones replaced.
    closed : dict or None
        What ``close.json`` says; None after a crash, of one rank or of several.
    trend : list of dict
        Windows of passive capture in a training loop: trends, not statements.
    capture : dict
        What passive capture saw of training's gradients, and what not.
    runs : dict of str to Run
        Of a comparison: one a sub-folder.
    warnings : list of str
        What a reader must know of parts that are not there.
    """

    folder: Path
    manifest: dict[str, Any]
    records: list[dict[str, Any]]
    closed: dict[str, Any] | None
    trend: list[dict[str, Any]] = field(default_factory=list)
    capture: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def world_size(self) -> int:
        """How many ranks write it, or wrote it."""
        return int(self.manifest.get("world_size", 1))

    def sketch(self, record: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Return the arrays of one record's group.

        Parameters
        ----------
        record : mapping
            One of `records`.

        Returns
        -------
        dict of str to ndarray
            ``coordinates`` (R, d), ``projections`` (R, P), ``norms`` (R,), ``positions`` (d, 2),
            ``zero_shares`` (R, 2): of the gradient and of the noise; ``gradient_squares`` (R,),
            ``block_squares`` and ``reference_square``: what the noise scale is made of.

        Raises
        ------
        RunFolderError
            The sketch is not there or cannot be read.
        """
        return self._arrays(record["part"], record["group"])

    def example_indices(self, record: Mapping[str, Any]) -> NDArray[Any] | None:
        """Return which examples each minibatch of a record's probe held.

        Parameters
        ----------
        record : mapping
            One of `records`.

        Returns
        -------
        ndarray of shape (n_minibatches, batch_size) or None
            None where they were not kept: large minibatches, or a stream.

        Raises
        ------
        RunFolderError
            The sketch is not there or cannot be read.
        """
        return self._arrays(record["part"], "", only="example_indices").get("example_indices")

    def shared_arrays(self, part: str) -> dict[str, NDArray[Any]]:
        """Return the arrays of a part that belong to no group.

        Parameters
        ----------
        part : str
            As records name it.

        Returns
        -------
        dict of str to ndarray
            ``losses``; ``example_indices`` for small minibatches; ``places`` of a rank's
            minibatches in the draw.
        """
        return self._arrays(part, "")

    def _arrays(self, part: str, group: str, only: str | None = None) -> dict[str, NDArray[Any]]:
        path = self.folder / "sketches" / f"{part}.safetensors"
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                return {
                    name.removeprefix(f"{group}/"): file.get_tensor(name)
                    for name in file.keys()  # noqa: SIM118 - not a dict
                    if name.rpartition("/")[0] == group and only in (None, name)
                }
        except (OSError, safetensors.SafetensorError) as error:
            raise RunFolderError(f"the sketch {path} cannot be read: {error}") from error


def read_parts(folder: str | Path) -> Run:
    """Read a run folder as it lies there: the parts of several ranks are not merged.

    ``noise_lens.read_run`` merges them.

    Parameters
    ----------
    folder : str or Path
        With a ``manifest.json``.

    Returns
    -------
    Run
        With the runs of a comparison below it.

    Raises
    ------
    RunFolderError
        It is no run folder, is from another schema, or a part of it cannot be read.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    passive = read_json(folder / trend_name(0)) if (folder / trend_name(0)).exists() else {}
    records = read_records(folder / "records")
    runs = {
        child.name: read_parts(child)
        for child in sorted(folder.iterdir())
        if child.is_dir() and (child / "manifest.json").exists()
    }
    return Run(
        folder=folder,
        manifest=manifest,
        records=records,
        closed=None
        if ranks_not_closed(folder, manifest.get("world_size", 1))
        else read_json(folder / close_name(0)),
        trend=passive.get("windows", []),
        capture=passive.get("capture", {}),
        runs=runs,
    )


def trend_name(rank: int) -> str:
    """Return the name of the file with a rank's own trend: ``trend.json`` of rank 0."""
    return "trend.json" if rank == 0 else f"trend-r{rank}.json"


def close_name(rank: int) -> str:
    """Return the name of the file that a rank writes at a clean end.

    Parameters
    ----------
    rank : int
        From 0.

    Returns
    -------
    str
        ``close.json`` of rank 0.
    """
    return f"close-r{rank}.json" if rank else "close.json"


def ranks_not_closed(folder: Path, world_size: int) -> list[int]:
    """Return the ranks that have not ended cleanly, or not yet.

    Parameters
    ----------
    folder : Path
        The run folder.
    world_size : int
        How many ranks write it.

    Returns
    -------
    list of int
        Empty where the run is closed.
    """
    return [rank for rank in range(world_size) if not (folder / close_name(rank)).exists()]


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """Return the manifest of a run folder.

    Parameters
    ----------
    folder : str or Path
        The run folder.

    Returns
    -------
    dict
        With ``schema``.

    Raises
    ------
    RunFolderError
        There is none, or it is of another schema.
    """
    folder = Path(folder)
    path = folder / "manifest.json"
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise RunFolderError(f"the run folder {folder} {what}. Name the folder after -o.")
    if not path.is_file():
        there = sorted(child.name for child in folder.iterdir())
        holds = f"holds {', '.join(there[:5])}" if there else "is empty"
        if "records" in there:
            raise RunFolderError(
                f"{folder} has parts of ranks but no manifest.json yet: rank 0 writes it with its "
                "own part. Wait for rank 0, or start it again with the same folder."
            )
        raise RunFolderError(
            f"{folder} is no run folder: it has no manifest.json and {holds}. "
            "Name a folder that `noise-lens measure -o` or `compare -o` wrote."
        )
    manifest = read_json(path)
    schema = manifest.get("schema")
    if schema != SCHEMA:
        raise RunFolderError(
            f"{folder} has the schema {schema!r}; this version reads {SCHEMA!r}. "
            "Read it with the noise-lens that wrote it."
        )
    return manifest


def read_records(folder: Path, name: str = "*") -> list[dict[str, Any]]:
    """Read the records in a folder of parquet files; of one made again, the newest.

    Parameters
    ----------
    folder : Path
        ``records`` of a run folder.
    name : str
        Of a file without its suffix, or a pattern.

    Returns
    -------
    list of dict
        By step, view, rank and group order.

    Raises
    ------
    RunFolderError
        One cannot be read.
    """
    newest: dict[tuple[Any, ...], dict[str, Any]] = {}
    paths = [p for p in folder.glob(f"{name}.parquet") if not p.name.startswith(".")]
    for path in sorted(paths, key=lambda p: (p.stat().st_mtime_ns, p.name)):
        try:
            rows = pq.read_table(path, schema=COLUMNS).to_pylist(maps_as_pydicts="strict")
        except (OSError, pa.ArrowException) as error:
            raise RunFolderError(
                f"the record {path} cannot be read ({error}). Remove it to read the others."
            ) from error
        for row in rows:
            key = (row["step"], row["view"], row["rank"], row["group"])
            newest.pop(key, None)
            newest[key] = row
    return sorted(newest.values(), key=lambda row: (row["step"], row["view"], row["rank"]))
