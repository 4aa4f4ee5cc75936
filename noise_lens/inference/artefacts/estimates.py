"""What estimates say against themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from noise_lens.estimators import TailIndexEstimate
from noise_lens.inference.artefacts.artefact import Artefact
from noise_lens.inference.standardise import MINIMUM_ROWS, standardise
from noise_lens.stable import SymmetricStable

_MISFIT_P = 1e-4
_MISFIT_BINS, _MISFIT_SAMPLES = 20, 400
_OF_A_LAW = ("characteristic_function", "maximum_likelihood", "log_moments", "quantile")


def disagreement(estimates: Sequence[TailIndexEstimate]) -> list[Artefact]:
    """Return which estimates of one stable law have intervals that do not overlap.

    Parameters
    ----------
    estimates : sequence of TailIndexEstimate
        Scalars, of one sample; those that do not fit a stable law are left aside.

    Returns
    -------
    list of Artefact
        At most one, on the two that are farthest apart; its value is the gap between them.
        Intervals of 99 % both: fewer than one false alarm in two hundred samples of a stable law.
    """
    intervals = [
        (one.method, one.confidence_interval(0.99)) for one in estimates if one.method in _OF_A_LAW
    ]
    if len(intervals) < 2:
        return []
    lowest = min(intervals, key=lambda pair: pair[1].high)
    highest = max(intervals, key=lambda pair: pair[1].low)
    gap = float(highest[1].low - lowest[1].high)
    if not gap > 0:
        return []
    sentence = (
        f"{lowest[0]} and {highest[0]} contradict each other: their 99 % intervals end at "
        f"{lowest[1].high:.2f} and begin at {highest[1].low:.2f}. Under one stable law they would "
        "overlap: these numbers are not of a tail index."
    )
    return [Artefact("disagreement", gap, sentence)]


def unused_columns(columns: ArrayLike) -> list[Artefact]:
    """Return how many columns pooled estimates leave out.

    Parameters
    ----------
    columns : array_like, shape (n, d)
        Finite samples.

    Returns
    -------
    list of Artefact
        At most one; its value is the number of columns.
    """
    used = standardise(np.asarray(columns, dtype=np.float64))[2]
    n_unused = int(np.count_nonzero(~used))
    if not n_unused:
        return []
    left_out = f"{n_unused} of {len(used)} columns were left out"
    why = f"fewer than {MINIMUM_ROWS} non-zero samples, or one magnitude repeated"
    sentence = f"{left_out} of pooled estimates: {why}."
    return [Artefact("unused_columns", float(n_unused), sentence)]


def misfit(sample: NDArray[Any], fitted: TailIndexEstimate) -> Iterator[Artefact]:
    """Compare magnitudes with the stable law that was fitted to them.

    False alarms: 1e-4.

    Parameters
    ----------
    sample : ndarray of shape (n,)
        What `fitted` was fitted to.
    fitted : TailIndexEstimate
        With a scale; others are not checked, nor are fewer than 400 samples.

    Yields
    ------
    Artefact
        "misfit" with the chi-square statistic.
    """
    alpha, sigma = float(np.asarray(fitted.alpha)), fitted.sigma
    magnitudes = np.abs(sample[sample != 0])
    n = len(magnitudes)
    if sigma is None or not 0.4 <= alpha <= 2 or n < _MISFIT_SAMPLES:
        return
    law = SymmetricStable(alpha, float(np.asarray(sigma)))
    shares = np.arange(1, _MISFIT_BINS) / _MISFIT_BINS
    edges = np.concatenate([[0], law.ppf((1 + shares) / 2), [np.inf]])
    counts = np.histogram(magnitudes, edges)[0]
    expected = n / _MISFIT_BINS
    statistic = float(((counts - expected) ** 2 / expected).sum())
    # Two parameters were fitted to the samples, not to the counts: between 17 and 19 degrees.
    p = float(special.chdtrc(_MISFIT_BINS - 1, statistic))
    if p < _MISFIT_P:
        chance = f"p = {p:.0e}" if p > 1e-99 else "p < 1e-99"
        yield Artefact(
            "misfit",
            statistic,
            f"no symmetric stable law fits these magnitudes (chi-square {statistic:.0f} on "
            f"{_MISFIT_BINS} equal classes, {chance}): alpha is that of the stable law that "
            "looks most like the centre, not a tail index. Scale mixtures and Laplace-like noise "
            "do this.",
        )
