"""The run folder: what was measured, on disk, readable after any crash.

::

    RUN/manifest.json            what was asked, and with which versions
    RUN/records/*.parquet        one row a group, one file a measurement
    RUN/sketches/*.safetensors   the rows behind it
    RUN/trend.json               passive capture in a training loop, if there was any
    RUN/close.json               written at a clean end; absent after a crash
    RUN/<optimizer>-s<seed>/     a comparison: one run folder each

Every file is written under a name that begins with a dot and then moved, so a reader never sees
half a file. A sketch is moved before its record: a record that is there is complete.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from noise_lens.errors import RunFolderError

SCHEMA = "noise-lens/1"
KINDS = ("coordinates", "projections")
METHODS = ("characteristic_function", "mohammadi")
ESTIMATE_FIELDS = ("alpha", "standard_error", "low", "high", "sigma", "n", "n_zero")


def _estimate_columns() -> Iterator[tuple[str, pa.DataType]]:
    for of in KINDS:
        yield f"{of}_n_columns", pa.int64()
        yield f"{of}_reason", pa.string()
        for method in METHODS:
            for name in ESTIMATE_FIELDS:
                kind = pa.int64() if name in ("n", "n_zero") else pa.float64()
                yield f"{of}_{method}_{name}", kind


COLUMNS = pa.schema(
    [
        ("rank", pa.int32()),
        ("step", pa.int64()),
        ("view", pa.string()),
        ("group", pa.string()),
        ("n_parameters", pa.int64()),
        ("n_minibatches", pa.int64()),
        ("batch_size", pa.int64()),
        ("n_rows", pa.int64()),
        ("reference", pa.string()),
        ("reference_reason", pa.string()),
        ("mode", pa.string()),
        ("sampling", pa.string()),
        ("loss", pa.float64()),
        ("metrics", pa.map_(pa.string(), pa.float64())),
        ("gradient_zero_share", pa.float64()),
        ("noise_zero_share", pa.float64()),
        ("noise_norm_mean", pa.float64()),
        *_estimate_columns(),
        ("histogram_bins", pa.list_(pa.int32())),
        ("histogram_counts", pa.list_(pa.int64())),
        ("part", pa.string()),
    ],
    metadata={"schema": SCHEMA},
)
"""The columns of a record; a change of any is a new schema."""


class RunWriter:
    """Writes one run folder.

    Parameters
    ----------
    folder : str or Path
        New, empty, or (with `resume`) a run folder with the same settings.
    manifest : mapping
        JSON-ready; ``settings`` in it must be equal when a run is resumed.
    resume : bool
        Continue a folder that holds this run already.

    Raises
    ------
    RunFolderError
        The folder cannot be written, holds something else, or holds other settings.
    """

    def __init__(
        self, folder: str | Path, manifest: Mapping[str, Any], *, resume: bool = False
    ) -> None:
        self.folder = Path(folder)
        check_new(self.folder, resume=resume)
        if (self.folder / "manifest.json").exists():
            there = read_manifest(self.folder)
            _require_equal_settings(self.folder, there.get("settings"), manifest.get("settings"))
            (self.folder / "close.json").unlink(missing_ok=True)
        else:
            _write_json(self.folder / "manifest.json", {"schema": SCHEMA, **manifest})

    def write(
        self, rows: Sequence[Mapping[str, Any]], sketches: Mapping[str, NDArray[Any]]
    ) -> None:
        """Write one measurement.

        Parameters
        ----------
        rows : sequence of mapping
            One a group; keys are `COLUMNS` but ``part``. They share step, view and rank.
        sketches : mapping of str to ndarray
            ``<group>/<what>`` -> array.

        Raises
        ------
        RunFolderError
            The folder cannot be written.
        """
        first = rows[0]
        part = f"{first['step']:08d}-{first['view']}-r{first['rank']}-{uuid.uuid4().hex[:8]}"
        table = pa.Table.from_pylist([{**row, "part": part} for row in rows], schema=COLUMNS)
        with _writing(self.folder):
            target = self.folder / "sketches" / f"{part}.safetensors"
            content = safetensors.numpy.save(
                {name: np.ascontiguousarray(array) for name, array in sketches.items()}
            )
            _write_bytes(target, content)
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink, compression="zstd")
            _write_bytes(self.folder / "records" / f"{part}.parquet", sink.getvalue().to_pybytes())

    def write_trend(self, trend: Sequence[Mapping[str, Any]]) -> None:
        """Replace ``trend.json``: the passive trend of a training loop so far.

        Parameters
        ----------
        trend : sequence of mapping
            One a window.
        """
        _write_json(self.folder / "trend.json", {"schema": SCHEMA, "windows": list(trend)})

    def close(self, **facts: Any) -> None:
        """Mark the run as ended cleanly.

        Parameters
        ----------
        **facts : Any
            JSON-ready facts for ``close.json``.
        """
        _write_json(self.folder / "close.json", {"schema": SCHEMA, **facts})


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
                    if name.startswith(prefix)
                }
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
        closed=_read_json(close) if close.exists() else None,
        trend=_read_json(trend)["windows"] if trend.exists() else [],
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
    manifest = _read_json(path)
    schema = manifest.get("schema")
    if schema != SCHEMA:
        raise RunFolderError(
            f"{folder} has the schema {schema!r}; this version reads {SCHEMA!r}. "
            "Read it with the noise-lens that wrote it."
        )
    return manifest


def check_new(folder: str | Path, *, resume: bool = False) -> None:
    """Raise unless a run can be written to `folder`, so that a long run cannot fail late.

    Nothing is left behind: the folder itself is made by the first file of the run.

    Parameters
    ----------
    folder : str or Path
        Where to.
    resume : bool
        A run folder is allowed.

    Raises
    ------
    RunFolderError
        It holds a run or other files, or cannot be written.
    """
    folder = Path(folder)
    nearest = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    with _writing(folder):
        trial = nearest / f".{uuid.uuid4().hex}"
        trial.touch()
        trial.unlink()
        there = [c.name for c in folder.iterdir() if c.name[0] != "."] if folder.exists() else []
    if "manifest.json" in there and not resume:
        raise RunFolderError(
            f"{folder} holds a run already. Choose another folder, or remove this one first."
        )
    if there and "manifest.json" not in there:
        raise RunFolderError(
            f"{folder} is not empty and is no run folder (it holds {sorted(there)[0]}). "
            "Choose a new folder."
        )


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


def _require_equal_settings(folder: Path, there: Any, asked: Any) -> None:
    asked = json.loads(json.dumps(asked))
    if there == asked:
        return
    keys = sorted(set(there or {}) | set(asked or {}))
    different = [
        f"{key} {(there or {}).get(key)!r} there, {(asked or {}).get(key)!r} asked"
        for key in keys
        if (there or {}).get(key) != (asked or {}).get(key)
    ]
    raise RunFolderError(
        f"{folder} holds a run with other settings: {'; '.join(different[:4])}. "
        "Choose another folder, or ask for the same."
    )


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunFolderError(
            f"the run folder {folder} cannot be written: {error.strerror or error}. "
            "Choose a folder that exists and has room. What was written before is kept."
        ) from error


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with _writing(path.parent):
        text = json.dumps(content, indent=2, allow_nan=False)
        _write_bytes(path, (text + "\n").encode())


def _read_json(path: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path} cannot be read: {error}") from error
    if not isinstance(loaded, dict):
        raise RunFolderError(f"{path} holds a {type(loaded).__name__}, not an object")
    return loaded


def _write_bytes(path: Path, content: bytes | Iterable[int]) -> None:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("wb") as file:
            file.write(bytes(content))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
