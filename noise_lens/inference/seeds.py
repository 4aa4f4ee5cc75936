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
        95 % interval. With several runs Student's t over them, which holds the probes' own
        error too; with one run the probe's own interval.
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
            return f"Student's t over {self.n} seeds"
        return "one seed: the probe's own error only"


def over_seeds(
    values: Sequence[float], lows: Sequence[float], highs: Sequence[float], upper: float = np.inf
) -> OverSeeds:
    """Average estimates of the same quantity from independent runs.

    Parameters
    ----------
    values, lows, highs : sequence of float
        Estimate and interval of each run; NaN values are left out.
    upper : float
        The interval is cut there, and at 0.

    Returns
    -------
    OverSeeds
        Mean and interval.

    Examples
    --------
    >>> over_seeds([1.0, 2.0, 3.0], [0] * 3, [4] * 3).mean
    2.0
    """
    kept = [i for i, value in enumerate(values) if np.isfinite(value)]
    n = len(kept)
    if n == 0:
        return OverSeeds(np.nan, np.nan, np.nan, 0)
    if n == 1:
        return OverSeeds(float(values[kept[0]]), float(lows[kept[0]]), float(highs[kept[0]]), 1)
    chosen = np.array([values[i] for i in kept], dtype=np.float64)
    reach = special.stdtrit(n - 1, 0.975) * chosen.std(ddof=1) / np.sqrt(n)
    low, high = np.clip([chosen.mean() - reach, chosen.mean() + reach], 0, upper)
    return OverSeeds(float(chosen.mean()), float(low), float(high), n)
