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
        What ``close.json`` says; None after a crash.
    trend : list of dict
        Windows of passive capture in a training loop: trends, not statements.
    runs : dict of str to Run
        Of a comparison: one a sub-folder.
    """

    folder: Path
    manifest: dict[str, Any]
    records: list[dict[str, Any]]
    closed: dict[str, Any] | None
    trend: list[dict[str, Any]] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)

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
            ``zero_shares`` (R, 2): of the gradient and of the noise.

        Raises
        ------
        RunFolderError
            The sketch is not there or cannot be read.
        """
        path = self.folder / "sketches" / f"{record['part']}.safetensors"
        prefix = f"{record['group']}/"
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                return {
                    name.removeprefix(prefix): file.get_tensor(name)
                    for name in file.keys()  # noqa: SIM118 - not a dict
                    if name.rpartition("/")[0] == record["group"]
                }
        except (OSError, safetensors.SafetensorError) as error:
            raise RunFolderError(f"the sketch {path} cannot be read: {error}") from error

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
        path = self.folder / "sketches" / f"{record['part']}.safetensors"
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                if "example_indices" not in file.keys():  # noqa: SIM118 - not a dict
                    return None
                found: NDArray[Any] = file.get_tensor("example_indices")
                return found
        except (OSError, safetensors.SafetensorError) as error:
            raise RunFolderError(f"the sketch {path} cannot be read: {error}") from error


def read_run(folder: str | Path) -> Run:
    """Read a run folder, also one that a crash left behind.

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
    close, trend = folder / "close.json", folder / "trend.json"
    records = _read_records(folder)
    runs = {
        child.name: read_run(child)
        for child in sorted(folder.iterdir())
        if child.is_dir() and (child / "manifest.json").exists()
    }
    return Run(
        folder=folder,
        manifest=manifest,
        records=records,
        closed=read_json(close) if close.exists() else None,
        trend=read_json(trend)["windows"] if trend.exists() else [],
        runs=runs,
    )


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


def _read_records(folder: Path) -> list[dict[str, Any]]:
    newest: dict[tuple[Any, ...], dict[str, Any]] = {}
    paths = [p for p in (folder / "records").glob("*.parquet") if not p.name.startswith(".")]
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
