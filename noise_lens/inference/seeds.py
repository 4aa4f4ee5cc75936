"""One line from several seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special


@dataclass(frozen=True)
class OverSeeds:
    """The mean of an estimate over repeated runs.

    Attributes
    ----------
    mean : float
        Over the runs; NaN if there is none.
    low, high : float
        95 % interval. With several runs Student's t over them, and at least the average of the
        probes' own intervals: where all runs read the upper limit, their spread is 0 and says
        nothing. With one run the probe's own interval.
    n : int
        Runs.
    """

    mean: float
    low: float
    high: float
    n: int

    @property
    def source(self) -> str:
        """What the interval covers, in words."""
        if self.n > 1:
            return f"Student's t over {self.n} seeds, at least as wide as the probes' own"
        return "one seed: the probe's own error only"


def over_seeds(
    values: Sequence[float],
    lows: Sequence[float],
    highs: Sequence[float],
    *,
    upper: float = np.inf,
    reciprocal: bool = False,
) -> OverSeeds:
    """Average estimates of the same quantity from independent runs.

    Parameters
    ----------
    values, lows, highs : sequence of float
        Estimate and interval of each run; NaN values are left out.
    upper : float
        The interval is cut there, and at 0.
    reciprocal : bool
        Average 1/value, for estimates that may be infinite.

    Returns
    -------
    OverSeeds
        Mean and interval.

    Examples
    --------
    >>> over_seeds([1.0, 2.0, 3.0], [0] * 3, [4] * 3).mean
    2.0
    >>> over_seeds([2.0, np.inf], [1, 1], [np.inf] * 2, reciprocal=True).mean
    4.0
    """
    if reciprocal:
        found = over_seeds(_inverse(values), _inverse(highs), _inverse(lows))
        low, mean, high = _inverse([found.high, found.mean, found.low])
        return OverSeeds(mean, low, min(high, upper), found.n)
    kept = [i for i, value in enumerate(values) if not np.isnan(value)]
    n = len(kept)
    if n == 0:
        return OverSeeds(np.nan, np.nan, np.nan, 0)
    if n == 1:
        return OverSeeds(float(values[kept[0]]), float(lows[kept[0]]), float(highs[kept[0]]), 1)
    chosen = np.array([values[i] for i in kept], dtype=np.float64)
    reach = special.stdtrit(n - 1, 0.975) * chosen.std(ddof=1) / np.sqrt(n)
    low = min(chosen.mean() - reach, np.mean([lows[i] for i in kept]))
    high = max(chosen.mean() + reach, np.mean([highs[i] for i in kept]))
    return OverSeeds(float(chosen.mean()), float(max(low, 0.0)), float(min(high, upper)), n)


def _inverse(values: Sequence[float]) -> list[float]:
    with np.errstate(divide="ignore"):
        return [float(value) for value in 1 / np.asarray(values, dtype=np.float64)]
