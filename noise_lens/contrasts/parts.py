"""The numbers that a decomposition is made of: views at two optimizers' weights, seed by seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noise_lens.contrasts.pairing import (
    PairedDifference,
    SeedMean,
    mean_over_seeds,
    paired_difference,
    unclaimed,
    withheld,
)
from noise_lens.contrasts.predictions import Prediction, Records, predictions
from noise_lens.contrasts.quantities import (
    tail_column,
    why_no_claim,
    why_no_number,
    why_not_comparable,
    words_of,
)
from noise_lens.contrasts.ratio import Ratio, ratio_of_means
from noise_lens.contrasts.trainings import Pairs

RAW = "gradient"
AVERAGES = ("momentum", "trajectory")

_TRANSFORMED = "transformed"
_VIEWS = (RAW, _TRANSFORMED, *AVERAGES, "update")
_TRANSFORMING = ("adal",)  # what they average is not the gradient

Place = tuple[int, str]
"""0 for the optimizer's weights or 1 for the baseline's, and a view."""


class Parts:
    """Views at the weights of an optimizer (0) and of the baseline (1).

    Parameters
    ----------
    names : (str, str)
        The optimizer and the baseline.
    pairs : Pairs
        Their runs.
    step : int
        Of training.
    group, of, quantity : str
        Which rows, and which number of them.
    averaged : str
        The view of averages.
    """

    def __init__(
        self,
        names: tuple[str, str],
        pairs: Pairs,
        step: int,
        group: str,
        of: str,
        quantity: str,
        averaged: str,
    ) -> None:
        self._names, self._step, self._of, self._quantity = names, step, of, quantity
        self._averaged = averaged
        self._n_pairs = len(pairs.runs)
        self._none = (
            "every seed diverged under one of the two"
            if pairs.n_diverged == pairs.n_seeds
            else "no seed was finished under both"
        )
        self._records: dict[Place, Records] = {
            (side, view): [pair[side].records.get((step, view, group)) for pair in pairs.runs]
            for side in (0, 1)
            for view in _VIEWS
        }
        needed = [(side, view) for side in (0, 1) for view in (RAW, averaged)]
        there = [self._values(place) for place in needed if any(self._records[place])]
        # Parts add up over the same seeds only: those that have every number that any seed has.
        self._complete = np.isfinite(there).all(axis=0)

    def levels(self) -> Iterator[tuple[tuple[str, str], SeedMean]]:
        """Yield the mean over seeds of every view that any seed measured.

        Yields
        ------
        place : (str, str)
            The optimizer at whose weights, and the view.
        value : SeedMean
            Of all pairs, also those that miss another view.
        """
        for (side, view), records in self._records.items():
            if any(records):
                yield (self._names[side], view), mean_over_seeds(self._values((side, view)))

    def why_not(self, *places: Place, averages: bool = True) -> str | None:
        """Return why numbers must not be compared, or cannot.

        Parameters
        ----------
        *places : (int, str)
            Whose.
        averages : bool
            Whether they must be averages of the same kind.

        Returns
        -------
        str or None
            None where they may.
        """
        if not self._n_pairs:
            return self._none
        for side, view in places:
            if not any(self._records[side, view]):
                return (
                    f"{self._names[side]} has no record of the view {view!r} at step {self._step}"
                )
        return why_not_comparable(self._at(*places), averages=averages)

    def difference(
        self, one: Place, other: Place, *, reason: str | None = None
    ) -> PairedDifference:
        """Return the difference between two places, paired by seed.

        Parameters
        ----------
        one, other : (int, str)
            Whose number, and what is subtracted.
        reason : str, optional
            Withhold it for that.

        Returns
        -------
        PairedDifference
            Over the seeds that have all numbers of the decomposition.
        """
        reason = reason or self.why_not(one, other, averages=one[1] == other[1])
        if reason:
            return withheld(reason, self._n_pairs)
        found = paired_difference(
            self._used(one), self._used(other), words=words_of(self._quantity)
        )
        if not found.n and (missing := why_no_number(self._at(one, other), self._of)):
            return withheld(missing, self._n_pairs)
        return unclaimed(found, self._why_no_claim(one, other))

    def share(self) -> Ratio:
        """Return averaging over the apparent gap, with Fieller's interval."""
        own, averages, raw = (0, self._averaged), (1, self._averaged), (1, RAW)
        reason = self.why_not(own, averages) or self.why_not(averages, raw, averages=False)
        reason = reason or self._why_no_claim(own, raw)
        if reason:
            nan = float("nan")
            return Ratio(nan, nan, nan, 0, self._n_pairs, reason)
        start = self._used(raw)
        return ratio_of_means(
            self._used(averages) - start, self._used(own) - start, name="the apparent gap"
        )

    def predictions(self) -> tuple[Prediction, ...]:
        """Return what two laws predict of averages: at the baseline's weights, then the others.

        Returns
        -------
        tuple of Prediction
            Of the weights at which averages, and what they are averages of, were measured alike.
        """
        found: list[Prediction] = []
        for side in (1, 0):
            name, _, _ = self._names[side].partition("@")  # a label may carry options
            raw = _TRANSFORMED if name in _TRANSFORMING else RAW
            source, average = (side, raw), (side, self._averaged)
            if self.why_not(source, average, averages=False) is None:
                records = self._records[source], self._records[average]
                found += predictions(self._names[side], *records, self._of)
        return tuple(found)

    def _why_no_claim(self, one: Place, other: Place) -> str | None:
        return why_no_claim(self._at(one), self._at(other), self._of, self._quantity)

    def _at(self, *places: Place) -> list[Mapping[str, Any]]:
        return [record for place in places for record in self._records[place] if record]

    def _used(self, place: Place) -> NDArray[np.float64]:
        return np.where(self._complete, self._values(place), np.nan)

    def _values(self, place: Place) -> NDArray[np.float64]:
        column = tail_column(self._of, self._quantity)
        found = [None if record is None else record[column] for record in self._records[place]]
        return np.array([np.nan if value is None else value for value in found], dtype=np.float64)
