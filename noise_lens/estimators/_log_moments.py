"""The variance of the log-magnitudes, which names the stable law."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_lens.errors import NotEnoughDataError
from noise_lens.estimators._samples import Samples, as_columns
from noise_lens.estimators.estimate import TailIndexEstimate, assembled, from_reciprocal
from noise_lens.estimators.log_histogram import LogHistogram

MINIMUM_SAMPLES = 20
_CHUNK = 65_536


def log_moments(x: ArrayLike | LogHistogram) -> TailIndexEstimate:
    """Estimate the stability index and scale from mean and variance of log|x| (Ma & Nikias, 1995).

    For a symmetric stable law ``var log|X| = pi**2 / 6 (1/alpha**2 + 1/2)`` and
    ``mean log|X| = log(sigma) + 0.5772 (1/alpha - 1)`` [1]_.

    Parameters
    ----------
    x : array_like, shape (n,) or (n, d), or LogHistogram
        Noise samples with zero location, any unit; columns are estimated one by one. Exact
        zeros are counted and dropped; NaN and inf are not allowed.

    Returns
    -------
    TailIndexEstimate
        ``alpha`` in (0, inf], inf where the variance is below that of any power tail. It is
        not cut at 2: a value well above 2 says that the law is not stable. ``sigma`` is in the
        unit of `x`, that of alpha = 2 where alpha is larger. The interval is that of
        1/alpha**2, with the fourth cumulant of log|X| under the stable law.

    Raises
    ------
    SamplesError
        `x` is not a finite real sample of one or two axes, or holds one magnitude only.
    NotEnoughDataError
        No column has 20 non-zero samples.

    Notes
    -----
    It assumes a stable law and independent samples. It weighs magnitudes near zero as much as
    large ones: rounding to a grid and a location that is left in move it. Its error is 1.2 times
    the Cramer-Rao bound at alpha = 0.8, four times at 1.8.

    References
    ----------
    .. [1] X. Ma, C. L. Nikias, IEEE Trans. Signal Process. 43, 1995. doi:10.1109/78.482119

    Examples
    --------
    >>> import numpy as np
    >>> logs = np.repeat([-np.pi / 2, np.pi / 2], 50)  # variance pi**2 / 4 (and n / (n - 1))
    >>> round(log_moments(np.exp(logs)).alpha, 2)  # Cauchy
    0.99
    """
    if isinstance(x, LogHistogram):
        x.checked("log_moments", MINIMUM_SAMPLES)
        n, mean, m2 = (np.array([value]) for value in x.log_sums())
        return _estimate(n, mean, m2, n_zero=np.array([x.n_zero]), reasons={}, scalar=True)
    columns = as_columns(x, "log_moments", MINIMUM_SAMPLES)
    mean, m2 = _log_sums(columns.values, np.maximum(columns.n, 1))
    return _estimate(
        columns.n, mean, m2, n_zero=columns.n_zero, reasons=columns.reasons, scalar=columns.scalar
    )


def log_moments_from_sums(n: int, mean: float, m2: float, n_zero: int = 0) -> TailIndexEstimate:
    """Estimate from what a stream keeps.

    Parameters
    ----------
    n : int
        Non-zero samples.
    mean, m2 : float
        Mean of log|x|, and sum of squared deviations from it.
    n_zero : int
        Exact zeros, for the record.

    Returns
    -------
    TailIndexEstimate
        As :func:`noise_lens.log_moments`.

    Raises
    ------
    NotEnoughDataError
        `n` is below 20.
    """
    if n < MINIMUM_SAMPLES:
        raise NotEnoughDataError("log_moments", n=n, needed=MINIMUM_SAMPLES)
    sums = (np.array([value]) for value in (n, mean, m2))
    return _estimate(*sums, n_zero=np.array([n_zero]), reasons={}, scalar=True)


def _estimate(
    n: NDArray[np.int64],
    mean: NDArray[np.float64],
    m2: NDArray[np.float64],
    *,
    n_zero: NDArray[np.int64],
    reasons: dict[int, str],
    scalar: bool,
) -> TailIndexEstimate:
    variance = m2 / np.maximum(n - 1, 1)
    reciprocal = 6 * variance / np.pi**2 - 0.5  # alpha**-2
    reciprocal[list(reasons)] = np.nan
    alpha = from_reciprocal(reciprocal, power=2)
    # Cumulants of log|X|: kappa2 = pi**2/6 (1/alpha**2 + 1/2), kappa4 = pi**4 (1/(15 alpha**4)
    # + 7/120), from E|X|**s in closed form. Var(sample variance) = (kappa4 + 2 kappa2**2) / n.
    second = np.pi**2 / 6 * (np.maximum(reciprocal, 0) + 0.5)
    fourth = np.pi**4 * (np.maximum(reciprocal, 0) ** 2 / 15 + 7 / 120)
    error = 6 / np.pi**2 * np.sqrt((fourth + 2 * second**2) / np.maximum(n, 1))
    with np.errstate(invalid="ignore"):
        sigma = np.exp(mean - np.euler_gamma * (1 / np.minimum(alpha, 2) - 1))
        standard_error = error * alpha**3 / 2
    return assembled(
        scalar=scalar,
        alpha=alpha,
        standard_error=standard_error,
        n=n,
        method="log_moments",
        sigma=sigma,
        n_zero=n_zero,
        pivot="reciprocal",
        reciprocal=reciprocal,
        reciprocal_error=error,
        power=2,
        reasons=reasons,
    )


def _log_sums(
    columns: Samples, n: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and sum of squared deviations of log|x| a column, zeros left out, in chunks."""
    step = max(1, _CHUNK // columns.shape[1])

    def total(function: np.ufunc | None, shift: NDArray[np.float64]) -> NDArray[np.float64]:
        result = np.zeros(columns.shape[1])
        for start in range(0, len(columns), step):
            logs = np.abs(columns[start : start + step], dtype=np.float64)
            zero = logs == 0
            with np.errstate(divide="ignore"):
                np.log(logs, out=logs)
            logs -= shift
            logs[zero] = 0
            result += logs.sum(axis=0) if function is None else function(logs).sum(axis=0)
        return result

    mean = total(None, np.zeros(columns.shape[1])) / n
    return mean, total(np.square, mean)
