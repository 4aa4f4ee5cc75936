"""Differences between optimizers, paired by seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from noise_lens.contrasts import matching as _matching
from noise_lens.contrasts.matching import MATCHINGS, Matching, Shares
from noise_lens.contrasts.pairing import PairedDifference, paired_difference, unclaimed, withheld
from noise_lens.contrasts.quantities import (
    TAILS,
    tail_column,
    why_no_claim,
    why_no_number,
    why_not_comparable,
    with_gaps,
    words_of,
)
from noise_lens.contrasts.trainings import Training, baseline_of, pairs_of, trainings_of
from noise_lens.run import KINDS, Run

# Matched by it, runs have the same training loss: its difference is 0, and that of the loss gap
# is that of the test loss.
_MATCHED_AWAY = {"loss": ("train/loss", "gap/loss")}


@dataclass(frozen=True)
class Difference:
    """How one optimizer differs from the baseline in one number at one place of training.

    Attributes
    ----------
    optimizer, baseline : str
        The difference is the first's value minus the second's.
    view, group, of : str or None
        Of a tail quantity; None for a metric of the weights.
    quantity : str
        ``alpha``, ``excess_kurtosis``; ``train/loss``, ``test/...``, ``gap/loss``,
        ``gap/accuracy``.
    matched_by : str
        "step", "epoch" or "loss".
    at : float
        The step, the epoch or the training loss.
    mean, low, high : float
        Mean over seeds and its 95 % interval; NaN where it is withheld.
    n : int
        Pairs of runs.
    n_diverged : int
        Seeds left out because one of the two runs diverged.
    n_unmatched : int
        Seeds left out because a run was not probed there, does not reach it, or has no number
        that may be compared.
    pvalue : float
        Of Student's t.
    claim : str or None
        "heavier" or "lighter" for tails, "lower" or "higher" for metrics.
    reason : str or None
        Why nothing is claimed; None if `claim` is there.
    """

    optimizer: str
    baseline: str
    view: str | None
    group: str | None
    of: str | None
    quantity: str
    matched_by: str
    at: float
    mean: float
    low: float
    high: float
    n: int
    n_diverged: int
    n_unmatched: int
    pvalue: float
    claim: str | None
    reason: str | None

    def row(self) -> dict[str, Any]:
        """Return the attributes by name, ready for ``pandas.DataFrame``."""
        return asdict(self)


def differences(
    run: Run,
    *,
    baseline: str | None = None,
    views: Sequence[str] | None = None,
    groups: Sequence[str] | None = ("all",),
    matched_by: str = "step",
) -> list[Difference]:
    """Return how every optimizer differs from the baseline, paired by seed.

    Runs of one seed began with the same weights and saw the same minibatches, so what they share
    cancels. A view is compared with the same view at the baseline's weights.

    Parameters
    ----------
    run : Run
        A comparison, as :func:`noise_lens.read_run` or :func:`combine` returns it.
    baseline : str, optional
        Name of an optimizer; that of the manifest if not given, else sgd, else the first.
    views, groups : sequence of str, optional
        Which tails; all of the records if None.
    matched_by : {"step", "epoch", "loss"}
        Where runs are compared. An epoch is exact, by examples: runs with one batch size are
        matched as by step. By training loss, values are taken between the probed steps around the
        last time that it was crossed, linear in its logarithm, for both runs; never beyond them.

    Returns
    -------
    list of Difference
        By optimizer, place of training, then metrics and tails. Runs that diverged are left out
        at every place, and counted.

    Raises
    ------
    RunFolderError
        It is no comparison, or its runs cannot be matched so.
    ValueError
        There is no such optimizer, view, group or matching.
    """
    if matched_by not in MATCHINGS:
        raise ValueError(f"matched_by must be one of {', '.join(MATCHINGS)}, got {matched_by!r}")
    trainings = trainings_of(run)
    baseline = baseline_of(run, baseline)
    every = [training for own in trainings.values() for training in own.values()]
    known = [key for training in every for key in training.records]
    chosen_views = _chosen(run, "views", views, [view for _, view, _ in known])
    chosen_groups = _chosen(run, "groups", groups, [group for _, _, group in known])
    tails = [
        (view, group, of, quantity)
        for view in chosen_views
        for group in chosen_groups
        for of in KINDS
        for quantity in TAILS
    ]
    matching = MATCHINGS[matched_by]([training for training in every if not training.diverged])
    found: list[Difference] = []
    for optimizer, own in trainings.items():
        if optimizer != baseline:
            pairs = _Pairs(own, trainings[baseline], matching, matched_by)
            found += pairs.differences(optimizer, baseline, tails)
    return found


class _Pairs:
    """Runs of two optimizers that share a seed."""

    def __init__(
        self,
        own: Mapping[int, Training],
        other: Mapping[int, Training],
        matching: Matching,
        matched_by: str,
    ) -> None:
        found = pairs_of(own, other)
        self.pairs, self.n_seeds, self.n_diverged = found.runs, found.n_seeds, found.n_diverged
        self._matching, self._matched_by = matching, matched_by
        # Where every pair is lost, the baseline's places say what is missing.
        self.places = matching.places(
            [pair[0] for pair in self.pairs],
            [pair[1] for pair in self.pairs] or [t for t in other.values() if not t.diverged],
        )

    def differences(
        self, optimizer: str, baseline: str, tails: Sequence[tuple[str, str, str, str]]
    ) -> Iterator[Difference]:
        for place in self.places:
            shares = [
                tuple(self._matching.shares(training, place) for training in pair)
                for pair in self.pairs
            ]
            absent = self._absent(shares)
            gap = max(
                (
                    self._matching.gap(training, own)
                    for pair, both in zip(self.pairs, shares, strict=True)
                    for training, own in zip(pair, both, strict=True)
                ),
                default=1.0,
            )
            for quantity in self._metrics():
                found = absent or self._metric(shares, quantity)
                no_tail = (None, None, None, quantity)
                yield self._row(optimizer, baseline, no_tail, place, found, gap)
            for tail in tails:
                found = absent or self._tail(shares, tail)
                yield self._row(optimizer, baseline, tail, place, found, gap)

    def _absent(self, shares: Sequence[tuple[Shares, ...]]) -> PairedDifference | None:
        for side in (0, 1):
            if shares and not any(both[side] for both in shares):
                return withheld(self._matching.absent.format(self.pairs[0][side].optimizer))
        return None

    def _metrics(self) -> list[str]:
        keys: dict[str, None] = {}
        for pair in self.pairs:
            for training in pair:
                for metrics in training.metrics.values():
                    keys |= dict.fromkeys(with_gaps(metrics))
        return [key for key in keys if key not in _MATCHED_AWAY.get(self._matched_by, ())]

    def _metric(self, shares: Sequence[tuple[Shares, ...]], quantity: str) -> PairedDifference:
        def value(training: Training, step: int) -> float:
            return with_gaps(training.metrics[step]).get(quantity, float("nan"))

        return self._difference(shares, value, quantity)

    def _tail(
        self, shares: Sequence[tuple[Shares, ...]], tail: tuple[str, str, str, str]
    ) -> PairedDifference:
        view, group, of, quantity = tail
        sides: list[list[Mapping[str, Any]]] = [[], []]
        for pair, both in zip(self.pairs, shares, strict=True):
            for side, training, own in zip(sides, pair, both, strict=True):
                there = (training.records.get((step, view, group)) for step, _ in own)
                side += [record for record in there if record is not None]
        both_sides = [*sides[0], *sides[1]]
        if reason := why_not_comparable(both_sides):
            return withheld(reason)
        if any(sides) and not all(sides):  # where neither has one, the number is missing
            missing = self.pairs[0][bool(sides[0])].optimizer
            return withheld(f"{missing} has no record of the view {view!r} of {group!r} here")
        column = tail_column(of, quantity)

        def value(training: Training, step: int) -> float:
            return training.number(step, view, group, column)

        found = self._difference(shares, value, quantity)
        if not found.n and (reason := why_no_number(both_sides, of)):
            return withheld(reason)
        return unclaimed(found, why_no_claim(sides[0], sides[1], of, quantity))

    def _difference(
        self,
        shares: Sequence[tuple[Shares, ...]],
        value: Callable[[Training, int], float],
        quantity: str,
    ) -> PairedDifference:
        values: list[list[float]] = [[], []]
        for pair, both in zip(self.pairs, shares, strict=True):
            for side, training, own in zip(values, pair, both, strict=True):
                found = [share * value(training, step) for step, share in own]
                side.append(sum(found) if found else float("nan"))
        return paired_difference(*values, words=words_of(quantity))

    def _row(
        self,
        optimizer: str,
        baseline: str,
        tail: tuple[str | None, str | None, str | None, str],
        place: float,
        found: PairedDifference,
        gap: float,
    ) -> Difference:
        n_unmatched = self.n_seeds - self.n_diverged - found.n
        claim, reason = found.claim, found.reason
        if self.n_diverged == self.n_seeds:
            reason = "every seed diverged under one of the two"
        elif claim and n_unmatched and self._matched_by == "loss":
            # Who reaches a loss is not drawn by lot.
            claim, reason = (
                None,
                (
                    f"{n_unmatched} of {self.n_seeds - self.n_diverged} seeds do not enclose this "
                    "loss: those that do are chosen by it"
                ),
            )
        elif claim and gap > _matching.LARGEST_GAP:
            # The spread over seeds does not see what a straight line leaves out.
            claim, reason = (
                None,
                (
                    f"the probes around this loss lie a factor of up to {gap:.1f} apart in it, and "
                    f"a claim takes {_matching.LARGEST_GAP:g}: measure at more steps"
                ),
            )
        return Difference(
            optimizer, baseline, *tail, self._matched_by, self._matching.label(place),
            found.mean, found.low, found.high, found.n, self.n_diverged, n_unmatched,
            found.pvalue, claim, reason,
        )  # fmt: skip


def _chosen(run: Run, what: str, asked: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """Return names in the order asked, or of the settings."""
    there = list(dict.fromkeys(known))
    if asked is None:
        order = run.manifest.get("settings", {}).get(what)
        order = order if isinstance(order, list) else []
        return sorted(there, key=lambda name: order.index(name) if name in order else len(order))
    missing = [name for name in asked if name not in there]
    if isinstance(asked, str) or missing:
        raise ValueError(
            f"{what} must be some of {', '.join(there)}, which the records of {run.folder} have; "
            f"got {asked!r}"
        )
    return list(asked)
