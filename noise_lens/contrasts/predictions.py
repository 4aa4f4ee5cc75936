"""What each of two laws says that averaging does, beside what it did."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from noise_lens.contrasts.pairing import (
    PairedDifference,
    SeedMean,
    mean_over_seeds,
    paired_difference,
    unclaimed,
)
from noise_lens.contrasts.quantities import tail_column
from noise_lens.judging import FEWEST_ROWS_OF_A_VIEW
from noise_lens.theory.averaging import excess_kurtosis_factor, stable_scale_ratio

Records = Sequence[Mapping[str, Any] | None]
"""One a seed; None where there is none."""

_MISSES = ("below", "above")


@dataclass(frozen=True)
class Prediction:
    """One number of averaged noise: as a law predicts it from the raw noise, and as it was.

    Attributes
    ----------
    law : str
        "stable": the noise is symmetric alpha-stable. "finite variance": it has four moments.
    weights : str
        The optimizer at whose weights both were measured.
    quantity : str
        ``alpha`` (stable: that of the raw noise), ``log_scale_shift`` (stable: the logarithm of
        the scale's ratio), ``excess_kurtosis`` (finite variance: times the factor of the weights).
    predicted, observed : SeedMean
        Over seeds.
    miss : PairedDifference
        Observed - predicted, paired by seed; its claim says "above" or "below" where the law
        does not hold here. The kurtosis of fewer than 200 averages reads low: no claim.
    """

    law: str
    weights: str
    quantity: str
    predicted: SeedMean
    observed: SeedMean
    miss: PairedDifference

    def row(self) -> dict[str, Any]:
        """Return the attributes by name, flat."""
        row: dict[str, Any] = {name: getattr(self, name) for name in ("law", "weights", "quantity")}
        for name in ("predicted", "observed", "miss"):
            row |= {f"{name}_{key}": value for key, value in asdict(getattr(self, name)).items()}
        return row


def predictions(weights: str, raw: Records, averaged: Records, of: str) -> list[Prediction]:
    """Return what two laws predict of averages of noise, beside what they are.

    A stable law keeps its alpha and shrinks by
    :func:`~noise_lens.theory.averaging.stable_scale_ratio`; noise of finite variance has its
    excess kurtosis multiplied by :func:`~noise_lens.theory.averaging.excess_kurtosis_factor`.
    Both with the decay and the window of the records.

    Parameters
    ----------
    weights : str
        The optimizer at whose weights both were measured.
    raw, averaged : sequence of mapping or None
        Records of each seed, in the same order: of the noise that is averaged, and of averages.
    of : {"coordinates", "projections"}
        Which rows.

    Returns
    -------
    list of Prediction
        ``alpha`` and ``log_scale_shift`` of the stable law, ``excess_kurtosis`` of the other.
    """
    alphas = _numbers(raw, tail_column(of, "alpha"))
    kurtoses = _numbers(raw, tail_column(of, "excess_kurtosis"))
    scales = _numbers(raw, f"{of}_log_scale")
    shifts = [
        after - before
        for before, after in zip(scales, _numbers(averaged, f"{of}_log_scale"), strict=True)
    ]
    found = (
        ("stable", "alpha", alphas, _numbers(averaged, tail_column(of, "alpha"))),
        ("stable", "log_scale_shift", list(map(_log_scale_shift, alphas, averaged)), shifts),
        (
            "finite variance",
            "excess_kurtosis",
            list(map(_excess_kurtosis, kurtoses, averaged)),
            _numbers(averaged, tail_column(of, "excess_kurtosis")),
        ),
    )
    return [
        Prediction(
            law,
            weights,
            quantity,
            mean_over_seeds(predicted),
            mean_over_seeds(observed),
            _miss(quantity, observed, predicted, averaged),
        )
        for law, quantity, predicted, observed in found
    ]


def _miss(
    quantity: str, observed: Sequence[float], predicted: Sequence[float], averaged: Records
) -> PairedDifference:
    found = paired_difference(observed, predicted, words=_MISSES)
    n_rows = min((record["n_rows"] for record in averaged if record is not None), default=0)
    if quantity != "excess_kurtosis" or n_rows >= FEWEST_ROWS_OF_A_VIEW:
        return found
    # Of 46 averages (1000 minibatches, beta 0.9) it is a sixth to a quarter too small.
    return unclaimed(
        found,
        f"{n_rows} averages: the kurtosis of so few reads low, and a claim needs "
        f"{FEWEST_ROWS_OF_A_VIEW}",
    )


def _numbers(records: Records, column: str) -> list[float]:
    values = [None if record is None else record[column] for record in records]
    return [math.nan if value is None else float(value) for value in values]


def _log_scale_shift(alpha: float, averaged: Mapping[str, Any] | None) -> float:
    if averaged is None or averaged["beta"] is None or not alpha > 0:
        return math.nan
    # No estimate of an index is above 2 but by rounding.
    return math.log(stable_scale_ratio(min(alpha, 2.0), averaged["beta"], averaged["window"]))


def _excess_kurtosis(kurtosis: float, averaged: Mapping[str, Any] | None) -> float:
    if averaged is None or averaged["beta"] is None:
        return math.nan
    return kurtosis * excess_kurtosis_factor(averaged["beta"], averaged["window"])
