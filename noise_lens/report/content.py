"""What a report says, worked out from run folders before anything is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from noise_lens.errors import RunFolderError
from noise_lens.inference.seeds import OverSeeds, over_seeds
from noise_lens.judging import verdicts_of_run
from noise_lens.merging import read_run
from noise_lens.report.closeup import Closeup, closeup_of
from noise_lens.report.groups import GroupTable, group_table
from noise_lens.report.separation import Separation, separation_of
from noise_lens.report.series import Series, place_of_metric
from noise_lens.report.verdicts import KINDS, SeriesVerdicts, seed_verdicts
from noise_lens.report.views import VIEWS, in_order
from noise_lens.run import Run


@dataclass(frozen=True)
class Section:
    """One run folder.

    Attributes
    ----------
    name : str
        The folder's name.
    manifest : dict
        What was asked.
    state : str
        Whether it ended, in words.
    series : tuple of Series
        One an optimizer, or one.
    verdicts : tuple of SeriesVerdicts
        One a series that has rows.
    closeups : tuple of Closeup
        The same series, the first seed of each.
    trend : tuple of (int, OverSeeds)
        Last step and tail index of each window of passive capture in a training loop.
    differences : str
        What those windows are differences of.
    capture : dict of str to str
        What passive capture saw of training's gradients, in words.
    view : str
        The view that figures, tables and verdicts are of: ``gradient``, or the first there is.
    separation : Separation or None
        What separates the optimizers of a comparison.
    """

    name: str
    manifest: dict[str, Any]
    state: str
    series: tuple[Series, ...]
    verdicts: tuple[SeriesVerdicts, ...]
    closeups: tuple[Closeup, ...]
    trend: tuple[tuple[int, OverSeeds], ...]
    differences: str
    capture: dict[str, str]
    view: str = VIEWS[0]
    separation: Separation | None = None

    @property
    def views(self) -> list[str]:
        """Views that any record is of."""
        records = (r for series in self.series for run in series.runs for r in run.records)
        return in_order(record["view"] for record in records)

    @property
    def metric_keys(self) -> list[str]:
        """Metrics that any series has."""
        keys = {key for series in self.series for key in series.metric_keys()}
        return sorted(keys, key=place_of_metric)

    @property
    def published(self) -> bool:
        """Whether the estimator of the literature was asked for."""
        return any(
            record.get("published_alpha") is not None
            for series in self.series
            for run in series.runs
            for record in run.records
        )

    def place(self, label: str) -> int:
        """Return the number of a series, which gives it its colour."""
        return [series.label for series in self.series].index(label)

    @property
    def steps(self) -> list[int]:
        """Steps that any series measured."""
        return sorted({step for series in self.series for step in series.steps})

    @property
    def groups(self) -> list[str]:
        """Groups of the records, ``all`` first."""
        return list(dict.fromkeys(record["group"] for record in self._records()))

    @property
    def any_record(self) -> dict[str, Any]:
        """A record of the view, for what all of them share."""
        return next(self._records())

    def _records(self) -> Iterator[dict[str, Any]]:
        for series in self.series:
            for run in series.runs:
                yield from (record for record in run.records if record["view"] == self.view)

    def groups_at(self, series: Series, step: int) -> GroupTable:
        """Return the groups of a series at a step, the heaviest first."""
        groups = self.groups
        return group_table(groups, [series.records(step, group) for group in groups])

    def has_labels(self, group: str, view: str) -> bool:
        """Return whether any record of a group holds a verdict about a view."""
        return any(
            series.labels(step, group, of, view)
            for series in self.series
            for step in series.steps_of(view)
            for of in KINDS
        )

    @property
    def judged_before(self) -> bool:
        """Whether a step before the last was judged as well."""
        return any(
            series.labels(step, "all", of)
            for series in self.series
            for step in series.steps[:-1]
            for of in KINDS
        )


def read_section(folder: Any) -> Section:
    """Read a run folder and judge its last probes.

    Parameters
    ----------
    folder : str or Path
        A run folder or a comparison.

    Returns
    -------
    Section
        Ready to be drawn.

    Raises
    ------
    RunFolderError
        It is no run folder, or holds no finished measurement.
    """
    run = read_run(folder)
    members = list(run.runs.values()) or [run]
    labels = [_label(member) for member in members]
    view = _view_of(members)
    series = tuple(
        _series(label, [m for m, own in zip(members, labels, strict=True) if own == label], view)
        for label in dict.fromkeys(_in_order(labels, run.manifest))
    )
    if not any(one.steps for one in series):
        if any(one.n_diverged for one in series):
            raise RunFolderError(
                f"every run of {run.folder} diverged: there is nothing to draw. "
                "Train with a smaller learning rate."
            )
        if run.trend:
            raise RunFolderError(
                f"{run.folder} holds a passive trend and no measurement, so there is no verdict to "
                "draw. Give NoiseLens loss and data, or measure a checkpoint; the trend is in "
                "trend.json."
            )
        raise RunFolderError(
            f"{run.folder} holds no finished measurement yet. "
            "Let the run reach its first probe, or start it again: it resumes."
        )
    judged = [_judged(one) for one in series if one.steps]
    return Section(
        name=run.folder.resolve().name,
        manifest=run.manifest,
        state=_state(run, members),
        series=series,
        verdicts=tuple(verdicts for verdicts, _ in judged),
        closeups=tuple(closeup for _, closeup in judged),
        trend=tuple((window["last_step"], _window(window)) for window in run.trend),
        differences=" and ".join(dict.fromkeys(w.get("differences", "") for w in run.trend)),
        capture=_seen(run.capture),
        view=view,
        separation=separation_of(run, view) if run.runs else None,
    )


def _seen(capture: dict[str, Any]) -> dict[str, str]:
    """Return the facts of passive capture in words, in the order of a table."""
    return {name.replace("_", " "): _fact(value) for name, value in capture.items()}


def _fact(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _in_order(labels: Sequence[str], manifest: dict[str, Any]) -> list[str]:
    asked = manifest.get("settings", {}).get("optimizers", [])
    return sorted(labels, key=lambda label: asked.index(label) if label in asked else len(asked))


def _label(run: Run) -> str:
    """Return the optimizer of a training run; what is no training is called by its folder."""
    trained = run.manifest.get("kind") == "run"
    optimizer = run.manifest.get("settings", {}).get("optimizer") if trained else None
    return optimizer or run.folder.resolve().name


def _view_of(members: Sequence[Run]) -> str:
    """Return the view to draw: gradients, or the first that any run has."""
    kept = [member for member in members if not _is_diverged(member)]
    views = in_order(record["view"] for member in kept for record in member.records)
    return views[0] if views else VIEWS[0]


def _is_diverged(run: Run) -> bool:
    return (run.closed or {}).get("status") == "diverged"


def _series(label: str, runs: Sequence[Run], view: str) -> Series:
    kept = [run for run in runs if not _is_diverged(run)]
    return Series(label, tuple(kept), len(runs) - len(kept), view)


def _state(run: Run, members: Sequence[Run]) -> str:
    warnings = [warning for member in members for warning in member.warnings]
    if run.closed is not None:
        return "; ".join(["finished", *warnings])
    n_open = sum(member.closed is None for member in members)
    state = (
        f"not finished: {n_open} of {len(members)} runs were cut off or still go on; "
        "what they measured is here"
    )
    return "; ".join([state, *warnings])


def _judged(series: Series) -> tuple[SeriesVerdicts, Closeup]:
    step = series.steps[-1]
    there = [
        (run, record)
        for run in series.runs
        for record in run.records
        if (record["step"], record["group"], record["view"]) == (step, "all", series.view)
    ]
    seeds = tuple(seed_verdicts(run, record) for run, record in there)
    run, record = there[0]
    # Judging again gives the same numbers, and the evidence that a record does not hold.
    again = verdicts_of_run(run, [record]).get("all", {}) if seeds[0].stored else seeds[0].verdicts
    closeup = closeup_of(series.label, seeds[0].name, run, record, seeds[0].verdicts, again)
    return SeriesVerdicts(series.label, step, seeds, len(series.runs) - len(there)), closeup


def _window(window: dict[str, Any]) -> OverSeeds:
    alpha, low, high = (_number(window[key]) for key in ("alpha", "low", "high"))
    return over_seeds([alpha], [low], [high])


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
