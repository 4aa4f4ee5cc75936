"""What separates the optimizers of a comparison: content, before anything is said or drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from noise_lens.contrasts import (
    CLAIM_PAIRS,
    Decomposition,
    Difference,
    Prediction,
    TableRow,
    baseline_of,
    comparison_table,
    decompose,
    differences,
)
from noise_lens.contrasts.parts import AVERAGES
from noise_lens.contrasts.trainings import Training, Trainings, pairs_of, trainings_of
from noise_lens.errors import RunFolderError
from noise_lens.report.multiplicity import still_claimed
from noise_lens.report.verdicts import KINDS
from noise_lens.report.views import in_order
from noise_lens.run import Run

_METRICS = (("test/accuracy", "gap/accuracy"), ("test/loss", "gap/loss"))


@dataclass(frozen=True)
class Rate:
    """The learning rate of an optimizer, and where it is from.

    Attributes
    ----------
    values : tuple of float
        One, unless seeds were trained with different ones.
    grid : tuple of float
        What was tried on held-out data, rising; empty where nothing was.
    """

    values: tuple[float, ...]
    grid: tuple[float, ...]

    @property
    def at_the_edge(self) -> bool:
        """Whether a better one may lie outside the grid."""
        ends = {self.grid[0], self.grid[-1]} if len(self.grid) > 1 else set()
        return bool(ends & set(self.values))


@dataclass(frozen=True)
class Matched:
    """Differences from the baseline at one place of training an optimizer.

    Attributes
    ----------
    optimizer : str
        Compared with the baseline.
    at : float
        The step, or the training loss.
    found : tuple of Difference
        Every quantity there.
    """

    optimizer: str
    at: float
    found: tuple[Difference, ...]

    def get(self, quantity: str, view: str | None = None, of: str | None = None) -> Difference:
        """Return the difference in one quantity; `view` and `of` of a tail."""
        key = (quantity, view, of)
        return next(one for one in self.found if (one.quantity, one.view, one.of) == key)

    def has(self, quantity: str) -> bool:
        """Return whether a quantity was compared."""
        return any(one.quantity == quantity for one in self.found)


@dataclass(frozen=True)
class Averaging:
    """What averaging explains, for all optimizers and kinds of rows.

    Attributes
    ----------
    view : str
        The view of averages.
    parts : dict of str to tuple of Decomposition
        By kind of rows, one an optimizer.
    n_rows : tuple of int
        Numbers of rows of averages that occur.
    """

    view: str
    parts: dict[str, tuple[Decomposition, ...]]
    n_rows: tuple[int, ...]

    def predictions(self, of: str) -> list[Prediction]:
        """Return what two laws predict at all weights, those of the baseline once."""
        found = [p for part in self.parts[of] for p in part.predictions]
        return list({repr(one): one for one in found}.values())


@dataclass(frozen=True)
class Separation:
    """What separates the optimizers of a comparison.

    Attributes
    ----------
    baseline : str
        What differences are from.
    view : str
        That of the first answer.
    views : tuple of str
        All of them, in the order of a page.
    step : int
        The last at which any pair of runs was measured.
    table : tuple of TableRow
        One an optimizer.
    rates : dict of str to Rate
        Learning rates by optimizer.
    metrics : tuple of str
        Those of the table: of accuracy, or where there is none of the loss.
    by_step : tuple of Matched
        One an optimizer that has a seed in common with the baseline.
    by_loss : tuple of Matched
        The same at the smallest training loss that most pairs reach.
    why_not_by_loss : str
        Empty where runs were matched by it.
    averaging : tuple of Averaging
        One a view of averages.
    n_open : int
        Runs that are not closed.
    """

    baseline: str
    view: str
    views: tuple[str, ...]
    step: int
    table: tuple[TableRow, ...]
    rates: dict[str, Rate]
    metrics: tuple[str, ...]
    by_step: tuple[Matched, ...]
    by_loss: tuple[Matched, ...]
    why_not_by_loss: str
    averaging: tuple[Averaging, ...]
    n_open: int

    @property
    def n_pairs(self) -> int:
        """The largest number of pairs that any difference of tails rests on."""
        return max((one.n for one in self.tails()), default=0)

    def tails(self, view: str | None = None) -> list[Difference]:
        """Return the differences in alpha at the step, of one view or of all."""
        return [
            one.get("alpha", own, of)
            for one in self.by_step
            for own in ((view,) if view else self.views)
            for of in KINDS
        ]

    def testable(self) -> list[Difference]:
        """Return the differences in alpha that have enough pairs for a claim, and an interval."""
        return [one for one in self.tails() if one.n >= CLAIM_PAIRS and not math.isnan(one.pvalue)]

    def after_holm(self) -> list[Difference]:
        """Return those that are still claimed when all are tested together at 5 %."""
        family = self.testable()
        kept = still_claimed([one.pvalue for one in family])
        return [one for one, still in zip(family, kept, strict=True) if still and one.claim]


def separation_of(run: Run, view: str) -> Separation | None:
    """Return what separates the optimizers of a comparison.

    Parameters
    ----------
    run : Run
        As it was read.
    view : str
        Of the first answer.

    Returns
    -------
    Separation or None
        None for what is no comparison, has one optimizer, or no run of its baseline yet.
    """
    try:
        trainings = trainings_of(run)
        baseline = baseline_of(run)
        table = tuple(comparison_table(run, step=_step(trainings, baseline)))
    except (RunFolderError, ValueError):
        return None  # what there is stands in the other parts of the page
    if len(trainings) < 2:
        return None
    kept = [t for own in trainings.values() for t in own.values() if not t.diverged]
    views = tuple(in_order(key[1] for t in kept for key in t.records))
    step = table[0].step
    by_step = _matched(run, "step", views, lambda own: [one for one in own if one.at == step])
    why_not = ""
    by_loss: tuple[Matched, ...] = ()
    try:
        by_loss = _matched(run, "loss", views, lambda own: _deepest(own, view))
    except RunFolderError as error:
        why_not = str(error)
    measured = {name for row in table for name in row.metrics}
    return Separation(
        baseline=baseline,
        view=view,
        views=views,
        step=step,
        table=table,
        rates=_rates(run, table),
        metrics=next((pair for pair in _METRICS if set(pair) & measured), ()),
        by_step=by_step,
        by_loss=by_loss,
        why_not_by_loss=why_not,
        averaging=tuple(
            _averaging(run, [name for name in trainings if name != baseline], average, kept, step)
            for average in AVERAGES
            if average in views
        ),
        n_open=sum(t.run.closed is None for own in trainings.values() for t in own.values()),
    )


def _step(trainings: Trainings, baseline: str) -> int | None:
    """Return the last step at which any pair of runs was measured; None where there is none."""
    both = {
        step
        for name, own in trainings.items()
        if name != baseline
        for one, other in pairs_of(own, trainings[baseline]).runs
        for step in {*one.steps} & {*other.steps}
    }
    return max(both, default=None)


def _rates(run: Run, table: Sequence[TableRow]) -> dict[str, Rate]:
    grids = run.manifest.get("settings", {}).get("tuning") or {}
    return {
        row.optimizer: Rate(row.learning_rates, tuple(sorted(grids.get(row.optimizer, ()))))
        for row in table
    }


def _matched(
    run: Run,
    matched_by: str,
    views: Sequence[str],
    choose: Callable[[list[Difference]], list[Difference]],
) -> tuple[Matched, ...]:
    by_optimizer: dict[str, list[Difference]] = {}
    for one in differences(run, matched_by=matched_by, views=views):
        by_optimizer.setdefault(one.optimizer, []).append(one)
    found = []
    for optimizer, own in by_optimizer.items():
        chosen = choose(own)
        if chosen:
            found.append(Matched(optimizer, chosen[0].at, tuple(chosen)))
    return tuple(found)


def _deepest(own: list[Difference], view: str) -> list[Difference]:
    """Return the differences at the smallest loss at which most pairs can be compared."""
    pairs: dict[float, int] = {}
    for one in own:
        if (one.quantity, one.view) == ("alpha", view):
            pairs[one.at] = max(pairs.get(one.at, 0), one.n)
    most = max(pairs.values(), default=0)
    at = min((at for at, n in pairs.items() if n == most), default=None)
    return [one for one in own if one.at == at]


def _averaging(
    run: Run, optimizers: Sequence[str], view: str, kept: Sequence[Training], step: int
) -> Averaging:
    def parts(of: str) -> Iterator[Decomposition]:
        for name in optimizers:
            try:
                yield decompose(run, optimizer=name, of=of, step=step, averaged=view)
            except ValueError:
                continue  # it has not come to this step

    n_rows = {
        int(record["n_rows"])
        for training in kept
        for key, record in training.records.items()
        if key[:2] == (step, view)
    }
    return Averaging(
        view=view,
        parts={of: tuple(parts(of)) for of in KINDS},
        n_rows=tuple(sorted(n_rows)),
    )
