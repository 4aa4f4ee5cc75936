"""Hill's estimator: the mean log-excess over a threshold."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_lens.errors import NotEnoughDataError
from noise_lens.estimators._samples import Samples, as_samples, nonzero_counts
from noise_lens.estimators.estimate import TailIndexEstimate, assembled
from noise_lens.estimators.log_histogram import LogHistogram


def hill(x: ArrayLike | LogHistogram, k: int) -> TailIndexEstimate:
    """Estimate the tail index from the ``k`` largest magnitudes (Hill, 1975).

    ``1/alpha`` is the mean of ``log|x|`` above the threshold ``|x|_(k+1)``. For an exact
    Pareto sample ``k * alpha / estimate`` is Gamma(k, 1) [1]_; the interval uses that law.

    Parameters
    ----------
    x : array_like, shape (n,) or (n, d), or LogHistogram
        Noise samples, any unit: the result does not change when `x` is rescaled. Columns are
        estimated one by one. Signs are dropped; zeros are allowed, NaN and inf are not. A
        log-histogram moves the result by up to half a standard error at small k, less at large.
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
    so one value of k is no evidence: see :func:`noise_lens.hill_path`, which shows all of them
    and can say that no threshold is supported.

    References
    ----------
    .. [1] B. M. Hill, Ann. Statist. 3(5), 1975. doi:10.1214/aos/1176343247

    Examples
    --------
    >>> import numpy as np
    >>> round(hill(np.exp([0.0, 1.0, 2.0]), k=2).alpha, 4)  # mean of {1, 2} is 3/2
    0.6667
    """
    if isinstance(x, LogHistogram):
        check_k(k, x.n + x.n_zero, "hill")
        n = np.array([x.checked("hill", k + 1).n])
        alpha, n_zero, scalar = 1 / np.array([x.log_excess(k)[1]]), np.array([x.n_zero]), True
        reasons: dict[int, str] = {}
    else:
        samples = as_samples(x, "hill")
        check_k(k, len(samples), "hill")
        columns = samples.reshape(len(samples), -1)
        n, reasons = usable_columns(columns, k, "hill")
        with np.errstate(divide="ignore", invalid="ignore"):
            alpha = 1 / log_excesses(columns, int(k)).mean(axis=0)
        alpha[list(reasons)] = np.nan
        n_zero, scalar = len(samples) - n, samples.ndim == 1
    return assembled(
        scalar=scalar,
        alpha=alpha,
        standard_error=alpha / np.sqrt(k),
        n=n,
        method="hill",
        n_zero=n_zero,
        pivot="gamma",
        degrees_of_freedom=float(k),
        reasons=reasons,
    )


def check_k(k: int, n: int, method: str, smallest: int = 1) -> None:
    """Raise unless ``smallest <= k < n``.

    Parameters
    ----------
    k : int
        Upper order statistics asked for.
    n : int
        Samples there are.
    method : str
        Who asks, for the message.
    smallest : int
        The fewest that it takes.

    Raises
    ------
    ValueError
        `k` is out of range or not a whole number.
    """
    number = isinstance(k, int | float | np.integer | np.floating) and not isinstance(k, bool)
    if not number or k != k // 1 or not smallest <= k < n:
        raise ValueError(
            f"k must satisfy {smallest} <= k < n, got k={k} with n={n} samples: {method} compares "
            "the k largest magnitudes with the next one"
        )


def usable_columns(
    columns: Samples, k: int, method: str
) -> tuple[NDArray[np.int64], dict[int, str]]:
    """Return non-zero samples a column, and why columns with fewer than k + 1 have no estimate.

    Parameters
    ----------
    columns : ndarray of shape (rows, d)
        Samples.
    k : int
        Upper order statistics.
    method : str
        Who asks, for messages.

    Returns
    -------
    n : ndarray of shape (d,)
        Non-zero samples.
    reasons : dict
        Column number -> reason.

    Raises
    ------
    NotEnoughDataError
        No column has ``k + 1`` non-zero samples.
    """
    n = nonzero_counts(columns)
    short = n < k + 1
    if short.all():
        raise NotEnoughDataError(method, n=int(n.max()), needed=int(k) + 1)
    return n, {
        int(column): f"{n[column]} non-zero samples, {method} with k={k} needs {k + 1}"
        for column in np.flatnonzero(short)
    }


def log_excesses(columns: Samples, k: int) -> NDArray[np.float64]:
    """Return log of the k largest magnitudes over the next one, shape (k, d), in no order.

    Parameters
    ----------
    columns : ndarray of shape (rows, d)
        Samples.
    k : int
        Upper order statistics, below the number of rows.

    Returns
    -------
    ndarray of shape (k, d)
        Not negative; NaN or inf where a column has fewer than ``k + 1`` non-zero samples.
    """
    magnitudes = np.abs(columns)
    magnitudes.partition(len(columns) - k - 1, axis=0)
    top = magnitudes[len(columns) - k - 1 :].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(top[1:]) - np.log(top[0]))
