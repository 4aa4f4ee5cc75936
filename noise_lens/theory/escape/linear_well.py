"""The mean exit time of a stable Ornstein-Uhlenbeck process from an interval, solved exactly."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

_LARGEST = 1024


def linear_well_exit_time(
    alpha: float,
    epsilon: float,
    *,
    curvature: float = 1.0,
    radius: float = 1.0,
    start: float = 0.0,
) -> float:
    """Return E tau of ``dX = -curvature X dt + epsilon dL`` from (-radius, radius).

    At any noise, not only in the limit of small noise: there is no closed form, but a series. The
    mean u(x) solves ``epsilon^alpha (-Laplace)^(alpha/2) u + curvature x u' = 1`` inside and is 0
    outside. On ``(1-x^2)^(alpha/2)`` times Jacobi polynomials the first operator is diagonal,
    ``Gamma(alpha+n+1)/n!`` [1]_, and the second a banded product of Gauss-Jacobi sums. With
    curvature 0 the first term is all, and is Getoor's formula.

    Small noise makes u steep at the ends, over a width ``epsilon^(alpha/(alpha-1))`` of the
    radius at curvature 1. Where 1024 terms do not resolve it the answer is an error, not a number.

    Parameters
    ----------
    alpha : float
        Index of stability, in (0, 2].
    epsilon : float
        Size of the noise, above 0.
    curvature : float
        V'' of the well, at least 0.
    radius : float
        Half the width of the interval, above 0.
    start : float
        Where the process begins, in (-radius, radius).

    Returns
    -------
    float
        The mean exit time, to a relative 1e-4, and far better where the noise is not small.

    Raises
    ------
    ValueError
        A number is out of range, or the noise is too small for the series.

    References
    ----------
    .. [1] B. Dyda, A. Kuznetsov and M. Kwasnicki, Constr. Approx. 45, 2017, theorem 3.
       arXiv:1509.08533

    Examples
    --------
    >>> round(linear_well_exit_time(1.0, 1.0, curvature=0.0, start=0.6), 6)  # sqrt(1 - x^2)
    0.8
    """
    if not 0 < alpha <= 2:
        raise ValueError(f"alpha must lie in (0, 2], got {alpha}")
    for name, number in (("epsilon", epsilon), ("radius", radius)):
        if not (number > 0 and math.isfinite(number)):
            raise ValueError(f"{name} must be positive and finite, got {number}")
    if not (curvature >= 0 and math.isfinite(curvature)):
        raise ValueError(f"curvature must be finite and at least 0, got {curvature}")
    if not abs(start) < radius:
        raise ValueError(f"start must lie in (-{radius}, {radius}), got {start}")
    diffusion = (epsilon / radius) ** alpha
    found, terms = math.nan, 32
    while terms <= _LARGEST:
        before, found = found, _series(alpha, diffusion, curvature, start / radius, terms)
        if found > 0 and abs(found / before - 1) < 1e-4:
            return found
        terms *= 2
    raise ValueError(
        f"epsilon={epsilon} is too small for the series at alpha={alpha}: {_LARGEST} terms do not "
        "resolve the ends of the interval. Simulate it (escape_times), or take the limit of small "
        "noise (alpha < 2) or the double integral (alpha = 2)"
    )


def _series(alpha: float, diffusion: float, curvature: float, x0: float, terms: int) -> float:
    half = alpha / 2
    degrees = 2 * np.arange(terms)  # u is even
    nodes, weights = special.roots_jacobi(2 * terms + 4, alpha - 1, alpha - 1)
    values, slopes = _jacobi(terms, half, nodes)
    # d/dx of (1-x^2)^(alpha/2) P, over (1-x^2)^(alpha/2 - 1); the weight holds the powers left.
    steepness = -alpha * nodes * values + (1 - nodes**2) * slopes
    drift = (values * weights * nodes) @ steepness.T
    log_norm = (
        (alpha + 1) * math.log(2)
        - np.log(2 * degrees + alpha + 1)
        + 2 * special.gammaln(degrees + half + 1)
        - special.gammaln(degrees + alpha + 1)
        - special.gammaln(degrees + 1)
    )
    scale = np.exp(-log_norm / 2)
    eigenvalues = np.exp(special.gammaln(alpha + degrees + 1) - special.gammaln(degrees + 1))
    matrix = np.diag(diffusion * eigenvalues) + curvature * scale[:, None] * drift * scale
    right = np.zeros(terms)
    right[0] = 1 / scale[0]
    coefficients = scale * np.linalg.solve(matrix, right)
    at_start = _jacobi(terms, half, np.array([x0]))[0][:, 0]
    return float((1 - x0 * x0) ** half * (coefficients @ at_start))


def _jacobi(
    terms: int, half: float, x: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the even Jacobi polynomials of index (half, half) and their slopes, by recurrence."""
    p = np.zeros((2 * terms, len(x)))
    p[0], p[1] = 1, (half + 1) * x
    for n in range(2, 2 * terms):
        whole = n + 2 * half
        before = (n + half - 1) * (n + half) / (n * whole)
        p[n] = ((2 * (n + half) - 1) * (n + half) / (n * whole)) * x * p[n - 1] - before * p[n - 2]
    slopes = np.zeros_like(p)
    # (1-x^2) P_n' = -n x P_n + (n + half) P_(n-1)
    degrees = np.arange(1, 2 * terms)[:, None]
    slopes[1:] = ((degrees + half) * p[:-1] - degrees * x * p[1:]) / (1 - x * x)
    return p[::2], slopes[::2]
