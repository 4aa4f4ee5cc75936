"""The moment estimator, which can say that there is no power tail."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_lens.errors import SamplesError
from noise_lens.estimators._hill import check_k, log_excesses, usable_columns
from noise_lens.estimators._samples import as_samples
from noise_lens.estimators.estimate import TailIndexEstimate, assembled, from_reciprocal
from noise_lens.estimators.log_histogram import LogHistogram

_ROUNDING = 1e-9


def moment(x: ArrayLike | LogHistogram, k: int) -> TailIndexEstimate:
    """Estimate 1/alpha, of any sign, from the ``k`` largest magnitudes (Dekkers et al., 1989).

    With ``M1`` and ``M2`` the mean and the mean square of log|x| above the threshold
    ``|x|_(k+1)``, the extreme-value index is ``M1 + 1 - 1 / (2 (1 - M1**2 / M2))`` [1]_. It is
    1/alpha where the tail is a power; 0 or below, the tail is lighter than any power.

    Parameters
    ----------
    x : array_like, shape (n,) or (n, d), or LogHistogram
        Noise samples, any unit. Columns are estimated one by one. Signs are dropped; zeros are
        allowed, NaN and inf are not.
    k : int
        How many upper order statistics to use, ``2 <= k < n``.

    Returns
    -------
    TailIndexEstimate
        ``reciprocal`` is the extreme-value index; ``alpha`` is 1 over it, or inf: no power
        tail. The interval is that of the index, with the asymptotic variance of [1]_; its upper
        end is inf where a light tail is not ruled out, both ends where a power tail is.

    Raises
    ------
    ValueError
        `k` is out of range.
    SamplesError
        `x` is not a finite real sample of one or two axes, or its `k` largest are equal.
    NotEnoughDataError
        No column has ``k + 1`` non-zero samples.

    Notes
    -----
    It assumes that the largest ``k`` follow an extreme-value limit. Its variance is
    ``1 + alpha**2`` times that of Hill's estimator on a power tail: the price of the question.
    Below k of about 100 the asymptotic interval is too short (it holds the index of a Pareto
    sample in 81 % at k = 10, 91 % at 50, 95 % at 500).

    References
    ----------
    .. [1] A. L. M. Dekkers, J. H. J. Einmahl, L. de Haan, Ann. Statist. 17, 1989, Theorem 3.1
       and Corollary 3.2. doi:10.1214/aos/1176347397

    Examples
    --------
    >>> import numpy as np
    >>> round(moment(np.exp([0.0, 1.0, 2.0]), k=2).reciprocal, 4)  # M1 = 3/2, M2 = 5/2
    -2.5
    """
    if isinstance(x, LogHistogram):
        check_k(k, x.n + x.n_zero, "moment", 2)
        n = np.array([x.checked("moment", k + 1).n])
        first, second = (np.array([value]) for value in x.log_excess(k)[1:])
        n_zero, scalar = np.array([x.n_zero]), True
        reasons: dict[int, str] = {}
    else:
        samples = as_samples(x, "moment")
        check_k(k, len(samples), "moment", 2)
        columns = samples.reshape(len(samples), -1)
        n, reasons = usable_columns(columns, k, "moment")
        excess = log_excesses(columns, int(k))
        with np.errstate(invalid="ignore"):
            first, second = excess.mean(axis=0), (excess**2).mean(axis=0)
        n_zero, scalar = len(samples) - n, samples.ndim == 1
    index, error = extreme_value_index(first, second, int(k))
    index[list(reasons)] = np.nan
    for column in np.flatnonzero(np.isnan(index)):
        reasons.setdefault(int(column), f"the {k} largest magnitudes are equal")
    if len(reasons) == len(index):
        raise SamplesError(
            f"moment with k={k} needs largest magnitudes that vary, got {k} equal ones above the "
            "threshold. The noise is clipped or quantised; choose a larger k."
        )
    return assembled(
        scalar=scalar,
        alpha=from_reciprocal(index),
        n=n,
        method="moment",
        n_zero=n_zero,
        pivot="reciprocal",
        reciprocal=index,
        reciprocal_error=error,
        reasons=reasons,
    )


def extreme_value_index(
    first: NDArray[np.float64], second: NDArray[np.float64], k: NDArray[np.int64] | int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the index and its asymptotic error from two moments of log-excesses.

    Parameters
    ----------
    first, second : ndarray
        Mean and mean square of log|x| above the threshold.
    k : int or ndarray
        How many there are.

    Returns
    -------
    index, error : ndarray
        NaN where the k largest are equal.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        share = first**2 / second
        index = first + 1 - 0.5 / (1 - share)
    index = np.where(share < 1 - _ROUNDING, index, np.nan)
    g = np.minimum(index, 0)
    below = (1 - g) ** 2 * (1 - 2 * g)
    below *= (
        4 - 8 * (1 - 2 * g) / (1 - 3 * g) + (5 - 11 * g) * (1 - 2 * g) / ((1 - 3 * g) * (1 - 4 * g))
    )
    variance = np.where(index >= 0, 1 + index**2, below)
    return np.asarray(index), np.asarray(np.sqrt(variance / k))
