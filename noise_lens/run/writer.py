"""Write a run folder."""

from __future__ import annotations

import json
import uuid
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.numpy
from numpy.typing import NDArray

from noise_lens.errors import RunFolderError
from noise_lens.run.files import write_bytes, write_json, writing
from noise_lens.run.reader import close_name, read_manifest, trend_name
from noise_lens.run.schema import COLUMNS, SCHEMA

_OF_RANKS = ("records", "sketches", "merged", "trend")


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
    ranks : (int, int)
        Rank, and how many there are. Each writes its own parts; the first writes the manifest.
    may_grow : sequence of str
        Settings that are lists and may be longer than those there: the manifest is written anew.

    Raises
    ------
    RunFolderError
        The folder cannot be written, holds something else, or holds other settings.
    """

    def __init__(
        self,
        folder: str | Path,
        manifest: Mapping[str, Any],
        *,
        resume: bool = False,
        ranks: tuple[int, int] = (0, 1),
        may_grow: Sequence[str] = (),
    ) -> None:
        self.folder = Path(folder)
        self._manifest = {"schema": SCHEMA, **manifest}
        self._rank, world_size = ranks
        if world_size > 1:
            self._manifest = {"split": "rows", **self._manifest, "world_size": world_size}
        check_new(self.folder, resume=resume, ranks=ranks)
        if (self.folder / "manifest.json").exists():
            there = read_manifest(self.folder)
            if self._rank == 0:
                _warn_of_changes(self.folder, there, manifest)
            settings: Any = there.get("settings")
            grown = {
                key: manifest["settings"][key]
                for key in may_grow
                if set(settings.get(key, ())) < set(manifest["settings"][key])
            }
            settings = {**settings, **grown} if grown else settings
            _require_equal_settings(self.folder, settings, manifest.get("settings"))
            if grown:
                write_json(self.folder / "manifest.json", {**there, "settings": settings})
            (self.folder / close_name(self._rank)).unlink(missing_ok=True)

    def begin(self) -> None:
        """Make the folder with its manifest.

        The first write does it: a run that fails before it has measured leaves nothing. Of
        several ranks the first does it.

        Raises
        ------
        RunFolderError
            The folder cannot be written.
        """
        if self._rank == 0 and not (self.folder / "manifest.json").exists():
            write_json(self.folder / "manifest.json", self._manifest)

    def write(
        self,
        rows: Sequence[Mapping[str, Any]],
        sketches: Mapping[str, NDArray[Any]],
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Write one measurement.

        Parameters
        ----------
        rows : sequence of mapping
            One a group; keys are `COLUMNS` but ``part``. They share step, view and rank.
        sketches : mapping of str to ndarray
            ``<group>/<what>`` -> array.
        facts : mapping, optional
            What is known only now and belongs into the manifest, if it is not written yet.

        Raises
        ------
        RunFolderError
            The folder cannot be written.
        """
        self._manifest |= facts or {}
        self.begin()
        first = rows[0]
        part = f"{first['step']:08d}-{first['view']}-r{first['rank']}-{uuid.uuid4().hex[:8]}"
        with writing(self.folder):
            target = self.folder / "sketches" / f"{part}.safetensors"
            content = safetensors.numpy.save(
                {name: np.ascontiguousarray(array) for name, array in sketches.items()}
            )
            write_bytes(target, content)
        _write_records(self.folder / "records", [{**row, "part": part} for row in rows])

    def write_trend(
        self, trend: Sequence[Mapping[str, Any]], capture: Mapping[str, Any] | None = None
    ) -> None:
        """Replace ``trend.json``: the passive trend of a training loop so far.

        Parameters
        ----------
        trend : sequence of mapping
            One a window.
        capture : mapping, optional
            What was seen, and what not.
        """
        self.begin()
        content = {"schema": SCHEMA, "capture": dict(capture or {}), "windows": list(trend)}
        write_json(self.folder / trend_name(self._rank), content)

    def write_trend_rows(self, first_step: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep the rows of one window, so that they can be compared with other ranks'.

        Parameters
        ----------
        first_step : int
            Of the window.
        arrays : mapping of str to ndarray
            ``rows`` (k, d) float32 and ``steps`` (k,) int64.
        """
        self.begin()
        with writing(self.folder):
            path = self.folder / "trend" / f"{first_step:08d}-r{self._rank}.safetensors"
            write_bytes(path, safetensors.numpy.save(dict(arrays)))

    def close(self, **facts: Any) -> None:
        """Mark the run as ended cleanly.

        Parameters
        ----------
        **facts : Any
            JSON-ready facts for ``close.json``.
        """
        self.begin()
        write_json(self.folder / close_name(self._rank), {"schema": SCHEMA, **facts})


def write_merged(folder: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep what was worked out of the parts of several ranks, so that readers need not.

    Parameters
    ----------
    folder : str or Path
        The run folder.
    rows : sequence of mapping
        One a group, with the ``part`` that names them all.
    """
    _write_records(Path(folder) / "merged", rows)


def _write_records(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=COLUMNS), sink, compression="zstd")
    with writing(folder.parent):
        write_bytes(folder / f"{rows[0]['part']}.parquet", sink.getvalue().to_pybytes())


def check_new(folder: str | Path, *, resume: bool = False, ranks: tuple[int, int] = (0, 1)) -> None:
    """Raise unless a run can be written to `folder`, so that a long run cannot fail late.

    Nothing is left behind: the folder itself is made by the first file of the run.

    Parameters
    ----------
    folder : str or Path
        Where to.
    resume : bool
        A run folder is allowed.
    ranks : (int, int)
        Rank, and how many there are. Each may find what the others have written, but no part of
        its own: a rank that was lost can be started again alone.

    Raises
    ------
    RunFolderError
        It holds a run or other files, or cannot be written.
    """
    folder, (rank, world_size) = Path(folder), ranks
    nearest = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    with writing(folder):
        trial = nearest / f".{uuid.uuid4().hex}"
        trial.touch()
        trial.unlink()
        there = [c.name for c in folder.iterdir() if c.name[0] != "."] if folder.exists() else []
    if world_size > 1:
        _check_ranks(folder, there, resume, rank, world_size)
        there = [n for n in there if n not in _OF_RANKS and n[:7] not in ("close-r", "trend-r")]
    if "manifest.json" in there and not resume and not rank:
        raise RunFolderError(
            f"{folder} holds a run already. Choose another folder, or remove this one first."
        )
    if there and "manifest.json" not in there:
        raise RunFolderError(
            f"{folder} is not empty and is no run folder (it holds {sorted(there)[0]}). "
            "Choose a new folder."
        )


def _check_ranks(
    folder: Path, there: Sequence[str], resume: bool, rank: int, world_size: int
) -> None:
    if rank and "manifest.json" in there:
        written_by = read_manifest(folder).get("world_size", 1)
        if written_by != world_size:
            raise RunFolderError(
                f"{folder} holds a run of {written_by} ranks, and this is rank {rank} of "
                f"{world_size}. Choose another folder."
            )
    parts = [*folder.glob(f"records/*-r{rank}-*.parquet"), folder / close_name(rank)]
    if rank and not resume and any(path.exists() for path in parts):
        raise RunFolderError(
            f"{folder} holds a part of rank {rank} already. Choose another folder for all ranks, "
            "or remove this one first."
        )


def _warn_of_changes(folder: Path, there: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    changed = [key for key in ("versions", "threads", "device") if there.get(key) != now.get(key)]
    if changed:
        warnings.warn(
            f"{folder} was begun with other {' and '.join(changed)}: training that is resumed may "
            "differ in the last bits from what was measured before",
            stacklevel=4,
        )


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
