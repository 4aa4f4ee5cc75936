"""The stable law fitted to sums of cosines: the arithmetic behind `characteristic_function`."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noise_lens.stable import SymmetricStable

FREQUENCIES = np.array([0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 1.2, 1.6, 2.1])
"""In units of 1 / median|x|: at least .98 of the information for alpha in [1.2, 1.99]."""

SMALLEST_ALPHA = 0.1
"""Where the fit stops; heavier samples read this."""

_ITERATIONS, _CONVERGED = 30, 1e-10
_RIDGE = 1e-6  # on the correlations: close to alpha = 2 the cosines are nearly collinear
_CHUNK_ROWS = 65_536
_FARTHEST = 1e15


def cosine_defects(
    columns: NDArray[np.floating[Any]], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the sum of ``1 - cos(t x)`` over each column, at each of `FREQUENCIES`.

    Zeros add nothing, so they need no mask. ``2 sin(t x / 2)**2`` keeps its digits at small t,
    where ``1 - cos`` would lose them.

    Parameters
    ----------
    columns : ndarray of shape (n, d)
        Samples.
    scale : ndarray of shape (d,)
        The unit of each column: its median magnitude.

    Returns
    -------
    ndarray of shape (11, d)
        To be divided by the number of non-zero samples: one minus the characteristic function.
    """
    total = np.zeros((len(FREQUENCIES), columns.shape[1]))
    rows = max(1, _CHUNK_ROWS // max(columns.shape[1], 1))
    for start in range(0, len(columns), rows):
        with np.errstate(over="ignore"):
            chunk = columns[start : start + rows] / (2 * scale)
        # Beyond this a float64 has no phase left, and at inf no sine.
        np.clip(chunk, -_FARTHEST, _FARTHEST, out=chunk)
        for index, frequency in enumerate(FREQUENCIES):
            half_sine = np.sin(chunk * frequency)
            half_sine *= half_sine
            total[index] += 2 * half_sine.sum(axis=0)
    return total


def fit_stable(
    defect: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Fit (alpha, sigma) to one minus the characteristic function at `FREQUENCIES`.

    Gauss-Newton on the characteristic function itself, weighted by the inverse covariance of
    the cosines: the same first-order error as a regression of log(-log phi) on log t, but
    defined where an estimate of phi is negative.

    Parameters
    ----------
    defect : ndarray of shape (11, d)
        Mean of ``1 - cos(t x)`` for x in units of its median magnitude.

    Returns
    -------
    alpha : ndarray of shape (d,)
        Not cut at 2, so that errors can be taken from replicates.
    sigma : ndarray of shape (d,)
        Scale, in units of the median magnitude.
    deviation : ndarray of shape (d,)
        Standard error of `alpha` times sqrt(n), for independent samples.
    """
    t = FREQUENCIES[:, None]
    low, high = 3, 8  # t = .2 and 1.2: a start that needs no more than the right neighbourhood
    logs = np.log(-np.log(np.clip(1 - defect[[low, high]], 1e-3, 1 - 1e-9)))
    alpha = np.clip((logs[1] - logs[0]) / np.log(FREQUENCIES[high] / FREQUENCIES[low]), 0.3, 2.0)
    log_sigma = logs[1] / alpha - np.log(FREQUENCIES[high])

    deviation = np.full_like(alpha, np.nan)
    left = np.arange(len(alpha))  # columns that have not converged
    for _ in range(_ITERATIONS):
        log_t_sigma = np.log(t) + log_sigma[left]
        exponent = np.exp(alpha[left] * log_t_sigma)
        phi = np.exp(-exponent)
        slope_alpha = -phi * exponent * log_t_sigma
        slope_sigma = -phi * exponent * alpha[left]
        jacobian = np.stack([slope_alpha, slope_sigma], axis=-1).transpose(1, 0, 2)  # (d, 11, 2)
        weighted = np.linalg.solve(_cosine_covariance(alpha[left], log_sigma[left]), jacobian)
        information = np.einsum("dki,dkj->dij", jacobian, weighted)
        # model's defect minus the sample's, sign of phi
        residual = -np.expm1(-exponent) - defect[:, left]
        score = np.einsum("dki,kd->di", weighted, residual)
        covariance = np.linalg.inv(information)
        step = np.clip(np.einsum("dij,dj->di", covariance, score), -0.3, 0.3)
        alpha[left] = np.clip(alpha[left] + step[:, 0], SMALLEST_ALPHA, 2.5)
        log_sigma[left] += step[:, 1]
        deviation[left] = np.sqrt(covariance[:, 0, 0])
        left = left[np.abs(step).max(axis=1) >= _CONVERGED]
        if not len(left):
            break
    return alpha, np.exp(log_sigma), deviation


@cache
def deviations() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a grid of alpha and the estimator's error times sqrt(n) at each, of shape (g,)."""
    coarse = coarse_alphas()
    median = np.array([SymmetricStable(float(alpha)).ppf(0.75) for alpha in coarse])
    defect = -np.expm1(-((FREQUENCIES[:, None] / median) ** coarse))
    return on_grid(fit_stable(defect)[2])


def coarse_alphas() -> NDArray[np.float64]:
    """Return the alphas at which errors are computed: denser towards 2, which is left out."""
    return np.concatenate([np.linspace(0.4, 1.9, 31), 2 - 0.1 * np.geomspace(0.7, 1e-3, 14)])


def on_grid(
    deviation: NDArray[np.float64], at_2: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Interpolate errors from :func:`coarse_alphas` to the grid that intervals are read from.

    Parameters
    ----------
    deviation : ndarray
        Errors times sqrt(n), one a coarse alpha.
    at_2 : float
        The same at alpha = 2: 0 where the information is infinite.

    Returns
    -------
    grid, deviation : ndarray of shape (1601,)
        alpha in [0.4, 2], and the error times sqrt(n).
    """
    grid = np.linspace(0.4, 2.0, 1601)
    inside = np.interp(grid, np.append(coarse_alphas(), 2.0), np.append(deviation, at_2))
    return grid, inside


def _cosine_covariance(
    alpha: NDArray[np.float64], log_sigma: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Covariance of (cos tX, cos sX) under the stable law, of shape (d, 11, 11)."""
    # Beyond 2 there is no stable law: weigh as at 2.
    power = np.clip(alpha, 0.3, 2.0)[:, None, None]
    scale = np.exp(log_sigma)[:, None, None]
    t, s = FREQUENCIES[:, None], FREQUENCIES[None, :]
    plus = (scale * (t + s)) ** power
    minus = (scale * np.abs(t - s)) ** power
    both = (scale * t) ** power + (scale * s) ** power
    # (phi(t+s) + phi(t-s)) / 2 - phi(t) phi(s), arranged so that small t keeps its digits.
    covariance = np.exp(-both) * (np.expm1(both - plus) + np.expm1(both - minus)) / 2
    index = np.arange(len(FREQUENCIES))
    covariance[:, index, index] *= 1 + _RIDGE
    return np.asarray(covariance)


def fit_weights(alpha: float, log_sigma: float) -> NDArray[np.float64]:
    """Return the derivative of `alpha` by each defect, where :func:`fit_stable` has arrived.

    It is the first row of ``(X' W^-1 X)^-1 X' W^-1``, with the covariance W held: what a small
    error of the defects does to `alpha`, whatever their covariance really is.

    Parameters
    ----------
    alpha, log_sigma : float
        The solution.

    Returns
    -------
    ndarray of shape (11,)
        In the order of `FREQUENCIES`.
    """
    log_t_sigma = np.log(FREQUENCIES) + log_sigma
    exponent = np.exp(alpha * log_t_sigma)
    slope = exponent * np.exp(-exponent)
    jacobian = np.stack([slope * log_t_sigma, slope * alpha], axis=-1)  # of the defects, (11, 2)
    covariance = _cosine_covariance(np.array([alpha]), np.array([log_sigma]))[0]
    weighted = np.linalg.solve(covariance, jacobian)
    return np.asarray(np.linalg.solve(jacobian.T @ weighted, weighted.T)[0])
