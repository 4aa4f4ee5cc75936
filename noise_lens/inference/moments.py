"""Two plain numbers of noise rows, for predictions that are made of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def excess_kurtosis(rows: NDArray[np.float64]) -> float | None:
    """Return the excess kurtosis of a column, averaged over the columns.

    Parameters
    ----------
    rows : ndarray of shape (R, d)
        Noise with zero location: no mean is subtracted.

    Returns
    -------
    float or None
        Mean of ``(R + 2) / R * R * sum x**4 / (sum x**2)**2 - 3`` over columns that are not all
        zero; 0 in expectation for Gaussian rows of any number, and below the truth for heavy tails
        and few rows. None where no column is left, or an entry is not finite.

    Examples
    --------
    >>> excess_kurtosis(np.array([[1.0], [-1.0]]))
    -1.0
    """
    rows = np.asarray(rows, dtype=np.float64)
    largest = np.abs(rows).max(axis=0, initial=0.0)
    used = largest != 0  # true for NaN and inf: they must surface, not vanish
    if not np.isfinite(largest).all() or not used.any():
        return None
    squares = np.square(rows[:, used] / largest[used])  # neither over- nor underflows as a sum
    ratios = np.square(squares).sum(axis=0) / np.square(squares.sum(axis=0))
    return float(((len(rows) + 2) * ratios).mean() - 3)


def log_scale(rows: NDArray[np.float64]) -> float | None:
    """Return the mean of log|x| of a column, averaged over the columns.

    Parameters
    ----------
    rows : ndarray of shape (R, d)
        Noise.

    Returns
    -------
    float or None
        Zeros are left out; None where nothing is left, or an entry is not finite. If two samples
        have the same law but for a factor, the difference of their log-scales is the logarithm of
        that factor.

    Examples
    --------
    >>> log_scale(np.array([[np.e], [-np.e], [0.0]]))
    1.0
    """
    rows = np.asarray(rows, dtype=np.float64)
    used = rows != 0
    with np.errstate(divide="ignore"):
        logs = np.log(np.abs(rows))
    counts = used.sum(axis=0)
    sums = np.where(used, logs, 0.0).sum(axis=0)
    kept = counts > 0
    if not kept.any():
        return None
    found = float((sums[kept] / counts[kept]).mean())
    return found if np.isfinite(found) else None
