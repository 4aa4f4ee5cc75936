"""Read a run folder of one rank or of several as one run."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noise_lens.errors import RunFolderError
from noise_lens.estimators.log_histogram import N_BINS
from noise_lens.judging import Verdicts, verdicts_of_sketch
from noise_lens.merging.rows import merged_by_rows
from noise_lens.merging.shards import merged_by_shards
from noise_lens.merging.trend import trend_between_ranks
from noise_lens.record import record_of, sketch_arrays
from noise_lens.run import Run, ranks_not_closed, read_parts, read_records
from noise_lens.sketch import GroupSketch, Sketch

Records = list[dict[str, Any]]
_MERGE = {"rows": merged_by_rows, "shards": merged_by_shards}
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class MergedRun(Run):
    """A run that several ranks wrote; every record is of all of them.

    Attributes
    ----------
    parts : dict of str to list
        What the ``part`` of a merged record stands for: the records of each rank.
    """

    parts: dict[str, list[Records]] = field(default_factory=dict, repr=False)

    def sketch(self, record: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Return the arrays of one record's group, merged.

        Parameters
        ----------
        record : mapping
            One of `records`.

        Returns
        -------
        dict of str to ndarray
            As :meth:`Run.sketch`.
        """
        merged = _merged_sketch(self, self.parts[record["part"]], record["group"])
        prefix = f"{record['group']}/"
        arrays = sketch_arrays(merged)
        return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}

    def example_indices(self, record: Mapping[str, Any]) -> NDArray[Any] | None:
        """Return which examples each minibatch held, in the order of the draw.

        Parameters
        ----------
        record : mapping
            One of `records`.

        Returns
        -------
        ndarray of shape (n_minibatches, batch_size) or None
            As :meth:`Run.example_indices`.
        """
        parts = self.parts[record["part"]]
        return _merged_sketch(self, parts, record["group"]).example_indices


def read_run(folder: str | Path) -> Run:
    """Read a run folder, also one that a crash left behind; parts of ranks are merged.

    Parameters
    ----------
    folder : str or Path
        With a ``manifest.json``.

    Returns
    -------
    Run
        With the runs of a comparison below it. Of several ranks, every record is of all that
        have written; ``warnings`` names those that have not.

    Raises
    ------
    RunFolderError
        It is no run folder, is from another schema, a part of it cannot be read, or the parts of
        its ranks do not fit together.
    """
    return _merged(read_parts(folder))


def merged_measurement(
    folder: str | Path, *, step: int = 0, on_group: Callable[[int], None] | None = None
) -> tuple[Sketch, Records, Verdicts]:
    """Merge what the ranks of a run measured at one step, and judge it.

    Parameters
    ----------
    folder : str or Path
        The run folder.
    step : int
        Training step.
    on_group : callable, optional
        Called with 1 when a group's evidence is there.

    Returns
    -------
    sketch : Sketch
        Of all ranks.
    records : list of dict
        One a group, with the ``part`` under which they may be kept.
    verdicts : dict of str to dict of str to Verdict
        By group, then by kind of rows.

    Raises
    ------
    RunFolderError
        No rank has a part of that step, or the parts do not fit together.
    """
    run = read_parts(folder)
    at = {key: parts for key, parts in _by_measurement(run).items() if key[0] == step}
    if not at:
        raise RunFolderError(f"no rank has written a part of step {step} to {folder} yet")
    (step, view), parts = next(iter(at.items()))
    return _measured(run, parts, _part_name(step, view, parts), on_group)


def wait_for_ranks(folder: str | Path, world_size: int, timeout: float) -> None:
    """Wait until every rank has closed its part of a run.

    Parameters
    ----------
    folder : str or Path
        The run folder.
    world_size : int
        How many ranks there are.
    timeout : float
        Seconds.

    Raises
    ------
    RunFolderError
        Some had not by then.
    """
    end = time.monotonic() + timeout
    while open_ranks := ranks_not_closed(Path(folder), world_size):
        if time.monotonic() >= end:
            raise RunFolderError(
                f"after {timeout:g} s {_named(open_ranks)} of {world_size} had not written "
                f"{'its part' if len(open_ranks) == 1 else 'their parts'} to {folder}. Every rank "
                "must measure, into the same folder; see what they printed. What is there can be "
                f"read: noise-lens report {folder}"
            )
        time.sleep(_POLL_SECONDS)


def _merged(run: Run) -> Run:
    runs = {name: _merged(child) for name, child in run.runs.items()}
    if run.world_size == 1 and not any(record["rank"] for record in run.records):
        changed = any(runs[name] is not child for name, child in run.runs.items())
        return replace(run, runs=runs) if changed else run
    records: Records = []
    named: dict[str, list[Records]] = {}
    warnings = list(run.warnings)
    for (step, view), parts in _by_measurement(run).items():
        part = _part_name(step, view, parts)
        named[part] = parts
        kept = read_records(run.folder / "merged", part)
        records += kept or _measured(run, parts, part, None)[1]
        there = {own[0]["rank"] for own in parts}
        if missing := [rank for rank in range(run.world_size) if rank not in there]:
            warnings.append(
                f"{_named(missing)} of {run.world_size} left no part of step {step:,}: only what "
                "the others measured is here"
            )
    known = {f.name: getattr(run, f.name) for f in fields(Run)}
    return MergedRun(
        **known
        | {
            "records": records,
            "runs": runs,
            "warnings": warnings,
            "trend": trend_between_ranks(run.folder) or run.trend,
        },
        parts=named,
    )


def _named(ranks: Sequence[int]) -> str:
    *others, last = map(str, ranks)
    return f"ranks {', '.join(others)} and {last}" if others else f"rank {last}"


def _by_measurement(run: Run) -> dict[tuple[int, str], list[Records]]:
    """Return the records of each rank, by step and view; those of `run` are sorted so."""
    found: dict[tuple[int, str], dict[int, Records]] = {}
    for record in run.records:
        ranks = found.setdefault((record["step"], record["view"]), {})
        ranks.setdefault(record["rank"], []).append(record)
    return {key: list(ranks.values()) for key, ranks in found.items()}


def _part_name(step: int, view: str, parts: Sequence[Records]) -> str:
    # By the names of the parts: one more, or one made again, and what was kept is not found.
    names = "\0".join(sorted({record["part"] for own in parts for record in own}))
    return f"{step:08d}-{view}-merged-{hashlib.blake2b(names.encode(), digest_size=8).hexdigest()}"


def _measured(
    run: Run, parts: list[Records], part: str, on_group: Callable[[int], None] | None
) -> tuple[Sketch, Records, Verdicts]:
    sketch = _merged_sketch(run, parts)
    # A measurement judges all its groups; a training run one test a probe.
    groups = None if run.manifest.get("kind") == "measurement" else ["all"]
    verdicts = verdicts_of_sketch(sketch, groups, on_group=on_group)
    first = parts[0][0]
    records = [
        record_of(sketch, index, first["step"], first["metrics"], verdicts.get(group.name))
        for index, group in enumerate(sketch.groups)
    ]
    return sketch, [{**record, "part": part} for record in records], verdicts


def _merged_sketch(run: Run, parts: Sequence[Records], group: str | None = None) -> Sketch:
    wanted = [
        [record for record in own if group is None or record["group"] == group] for own in parts
    ]
    sketches = [_sketch_of(run, own) for own in wanted if own]
    split = run.manifest.get("split", "rows")
    if split not in _MERGE:
        raise RunFolderError(
            f"{run.folder} is split by {split!r}; this version merges rows and shards. "
            "Read it with the noise-lens that wrote it."
        )
    return _MERGE[split](sketches)


def _sketch_of(run: Run, records: Records) -> Sketch:
    """Return what a probe kept on one rank, from its part of the folder."""
    first = records[0]
    shared = run.shared_arrays(first["part"])
    try:
        return Sketch(
            groups=tuple(_group_of(record, Run.sketch(run, record)) for record in records),
            tensors=tuple(run.manifest.get("tensors", ())),
            n_minibatches=first["n_minibatches"],
            batch_size=first["batch_size"],
            reference=first["reference"],
            reference_reason=first["reference_reason"],
            mode=first["mode"],
            sampling=first["sampling"],
            losses=shared["losses"],
            budget={},
            example_indices=shared.get("example_indices"),
            places=shared.get("places"),
        )
    except KeyError as error:
        raise RunFolderError(
            f"the part {first['part']} in {run.folder} holds no {error.args[0]}: an older version "
            "wrote it, and it cannot be merged. Measure again."
        ) from error


def _group_of(record: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> GroupSketch:
    histogram = np.zeros(N_BINS, dtype=np.int64)
    histogram[record["histogram_bins"]] = record["histogram_counts"]
    gradient_zeros, noise_zeros = arrays["zero_shares"].T
    return GroupSketch(
        name=record["group"],
        n_parameters=record["n_parameters"],
        coordinates=arrays["coordinates"],
        positions=arrays["positions"],
        projections=arrays["projections"],
        norms=arrays["norms"],
        gradient_squares=arrays["gradient_squares"],
        block_squares=arrays["block_squares"],
        reference_square=float(arrays["reference_square"][0]),
        gradient_zero_shares=gradient_zeros,
        noise_zero_shares=noise_zeros,
        histogram=histogram,
    )
