"""Means and paired differences over seeds, with Student's t; and when neither may be said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

CLAIM_PAIRS = 5
"""Fewest pairs from which a difference may be claimed."""
WORDS = ("lower", "higher")
"""What a difference below 0 and one above 0 is called."""

_EQUAL = 1e-12  # of the values: differences that spread less are one number and rounding


@dataclass(frozen=True)
class SeedMean:
    """A mean over seeds.

    Attributes
    ----------
    mean : float
        NaN where no seed has a value.
    low, high : float
        95 % interval, Student's t over seeds; NaN where it is withheld.
    n : int
        Seeds with a value.
    n_dropped : int
        Seeds left out because their value is missing or not finite.
    reason : str or None
        Why the interval is withheld.
    """

    mean: float
    low: float
    high: float
    n: int
    n_dropped: int
    reason: str | None


@dataclass(frozen=True)
class PairedDifference:
    """The mean of differences between two runs that share a seed.

    Attributes
    ----------
    mean : float
        Of value - baseline; NaN where no pair is complete.
    low, high : float
        95 % interval, Student's t over pairs; NaN where it is withheld.
    n : int
        Complete pairs.
    n_dropped : int
        Pairs left out because a value is missing or not finite.
    pvalue : float
        Two-sided, of Student's t; NaN where there is no interval. One claim in twenty is false
        where nothing differs: who reads many rows needs it for a correction.
    claim : str or None
        The word for the sign, where at least 5 pairs and an interval without 0 allow it.
    reason : str or None
        Why nothing is claimed; None if `claim` is there.
    """

    mean: float
    low: float
    high: float
    n: int
    n_dropped: int
    pvalue: float
    claim: str | None
    reason: str | None

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval, and 0 is not in it; with fewer than 5 pairs no claim."""
        return self.low > 0 or self.high < 0


def mean_over_seeds(values: ArrayLike) -> SeedMean:
    """Return the mean of a quantity over seeds, with Student's interval.

    Parameters
    ----------
    values : array_like of shape (n_seeds,)
        One a seed; those that are not finite are left out and counted.

    Returns
    -------
    SeedMean
        Without an interval where fewer than two seeds have a value, or all have the same.

    Examples
    --------
    >>> mean_over_seeds([1.0, 3.0, np.nan]).mean
    2.0
    >>> mean_over_seeds([2.0, 2.0]).reason
    'all 2 values are equal: no spread to tell an error from'
    """
    (kept,), n_dropped = complete(values)
    mean, low, high, _, reason = _students(kept, float(np.abs(kept).max(initial=0)), "values")
    return SeedMean(mean, low, high, len(kept), n_dropped, reason)


def paired_difference(
    values: ArrayLike, baseline: ArrayLike, *, words: Sequence[str] = WORDS
) -> PairedDifference:
    """Return the mean difference over seeds, with Student's interval and whether it may be said.

    The interval covers what a new seed would change, and the probes' own error with it: every
    probe erred on its own, so its error is in the spread over seeds already.

    Parameters
    ----------
    values, baseline : array_like of shape (n_seeds,)
        Value and baseline of each seed, in the same order. Pairs that are not both finite are
        left out and counted.
    words : (str, str)
        What a difference below 0 and one above 0 is called.

    Returns
    -------
    PairedDifference
        Without an interval where fewer than two pairs are complete, or all differ by the same.

    Raises
    ------
    ValueError
        The two are not of the same length.

    Examples
    --------
    >>> found = paired_difference([2.0, 3.0, 4.0], [1.0, 1.0, 1.0])
    >>> found.mean, found.claim, found.reason
    (2.0, None, '3 pairs: a claim needs 5')
    >>> round(found.high - found.mean, 3)  # 4.303 / sqrt(3)
    2.484
    >>> paired_difference([2, 3, 4, 3, 2], [1] * 5, words=("heavier", "lighter")).claim
    'lighter'
    """
    if np.size(values) != np.size(baseline):
        raise ValueError(
            f"a pair needs a value and a baseline, got {np.size(values)} values and "
            f"{np.size(baseline)} baselines"
        )
    kept, n_dropped = complete(values, baseline)
    size = float(np.abs(kept).max(initial=0))
    mean, low, high, pvalue, reason = _students(kept[0] - kept[1], size, "differences")
    n, claim = kept.shape[1], None
    if reason is None and n < CLAIM_PAIRS:
        reason = f"{n} pairs: a claim needs {CLAIM_PAIRS}"
    elif reason is None and low <= 0 <= high:
        reason = "the interval includes 0"
    elif reason is None:
        claim = words[mean > 0]
    return PairedDifference(mean, low, high, n, n_dropped, pvalue, claim, reason)


def withheld(reason: str, n_dropped: int = 0) -> PairedDifference:
    """Return a difference that is not there, and why.

    Parameters
    ----------
    reason : str
        Why.
    n_dropped : int
        Pairs that there might have been.

    Returns
    -------
    PairedDifference
        Of no pairs.
    """
    nan = float("nan")
    return PairedDifference(nan, nan, nan, 0, n_dropped, nan, None, reason)


def unclaimed(found: PairedDifference, reason: str | None) -> PairedDifference:
    """Return a difference without its claim, if there is a reason and a claim.

    Parameters
    ----------
    found : PairedDifference
        With its interval.
    reason : str or None
        Why nothing is claimed.

    Returns
    -------
    PairedDifference
        `found` itself where no reason is given, or nothing was claimed before.
    """
    return found if reason is None or not found.claim else replace(found, claim=None, reason=reason)


def complete(*samples: ArrayLike) -> tuple[NDArray[np.float64], int]:
    """Return the seeds at which all samples are finite.

    Parameters
    ----------
    *samples : array_like of shape (n_seeds,)
        In the same order of seeds.

    Returns
    -------
    kept : ndarray of shape (n_samples, n)
        Of the seeds that are complete.
    n_dropped : int
        The others.
    """
    given = np.stack([np.asarray(sample, dtype=np.float64).ravel() for sample in samples])
    kept = given[:, np.isfinite(given).all(axis=0)]
    return kept, given.shape[1] - kept.shape[1]


def _students(
    values: NDArray[np.float64], size: float, what: str
) -> tuple[float, float, float, float, str | None]:
    """Return mean, interval, p-value and why there is no interval."""
    n, nan = len(values), float("nan")
    if n == 0:
        return nan, nan, nan, nan, "no seed has a value"
    mean = float(values.mean())
    if n == 1:
        return mean, nan, nan, nan, "one seed: an interval needs two"
    spread = float(values.std(ddof=1))
    if spread <= _EQUAL * size:
        # All at the estimate's upper limit, or before the first step: no error is 0 for that.
        return mean, nan, nan, nan, f"all {n} {what} are equal: no spread to tell an error from"
    error = spread / np.sqrt(n)
    reach = float(special.stdtrit(n - 1, 0.975) * error)
    pvalue = float(2 * special.stdtr(n - 1, -abs(mean) / error))
    return mean, mean - reach, mean + reach, pvalue, None
