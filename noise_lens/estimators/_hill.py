"""Hill's estimator: the mean log-excess over a threshold."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from noise_lens.errors import NotEnoughDataError
from noise_lens.estimators._samples import as_samples
from noise_lens.estimators.estimate import TailIndexEstimate


def hill(x: ArrayLike, k: int) -> TailIndexEstimate:
    """Estimate the tail index from the ``k`` largest magnitudes (Hill, 1975).

    ``1/alpha`` is the mean of ``log|x|`` above the threshold ``|x|_(k+1)``. For an exact
    Pareto sample ``k * alpha / estimate`` is Gamma(k, 1) [1]_; the interval uses that law.

    Parameters
    ----------
    x : array_like, shape (n,) or (n, d)
        Noise samples, any unit: the result does not change when `x` is rescaled. Columns are
        estimated one by one. Signs are dropped; zeros are allowed, NaN and inf are not.
    k : int
        How many upper order statistics to use, ``1 <= k < n``.

    Returns
    -------
    TailIndexEstimate
        ``alpha`` in (0, inf], inf when the ``k + 1`` largest are all equal;
        ``standard_error`` is ``alpha / sqrt(k)``. A column with fewer than ``k + 1`` non-zero
        samples is NaN with a reason.

    Raises
    ------
    ValueError
        `k` is out of range.
    SamplesError
        `x` is not a finite real sample of one or two axes.
    NotEnoughDataError
        No column has ``k + 1`` non-zero samples.

    Notes
    -----
    It assumes an exact power tail above the threshold. On lighter tails it still returns a
    number: about 6 on Gaussian and 2.7 on both Student t(3) and stable(1.8) noise at k = 5 %,
    so one value of k is no evidence. Draw it against k.

    References
    ----------
    .. [1] B. M. Hill, Ann. Statist. 3(5), 1975. doi:10.1214/aos/1176343247

    Examples
    --------
    >>> import numpy as np
    >>> round(hill(np.exp([0.0, 1.0, 2.0]), k=2).alpha, 4)  # mean of {1, 2} is 3/2
    0.6667
    """
    samples = as_samples(x, "hill")
    n_rows = samples.shape[0]
    if k != int(k) or not 1 <= k < n_rows:
        raise ValueError(f"k must satisfy 1 <= k < n, got k={k} with n={n_rows} samples")
    k = int(k)
    magnitudes = np.abs(samples).reshape(n_rows, -1)
    n = np.count_nonzero(magnitudes, axis=0).astype(np.int64)
    short = n < k + 1
    if short.all():
        raise NotEnoughDataError("hill", n=int(n.max()), needed=k + 1)
    reasons = {
        int(column): f"{n[column]} non-zero samples, hill with k={k} needs {k + 1}"
        for column in np.flatnonzero(short)
    }

    top = np.partition(magnitudes, n_rows - k - 1, axis=0)[n_rows - k - 1 :]
    with np.errstate(divide="ignore", invalid="ignore"):
        log_excess = np.log(top[1:]) - np.log(top[0])
        alpha = np.where(short, np.nan, 1 / log_excess.mean(axis=0))
    if samples.ndim == 1:
        return TailIndexEstimate(
            alpha=float(alpha[0]),
            standard_error=float(alpha[0] / np.sqrt(k)),
            n=int(n[0]),
            method="hill",
            n_zero=int(n_rows - n[0]),
            pivot="gamma",
            degrees_of_freedom=float(k),
        )
    return TailIndexEstimate(
        alpha=alpha,
        standard_error=alpha / np.sqrt(k),
        n=n,
        method="hill",
        n_zero=n_rows - n,
        pivot="gamma",
        degrees_of_freedom=float(k),
        reasons=reasons,
    )
