"""The jump measure of standard symmetric stable noise: how many jumps of which size a unit of time.

Two processes have symmetric alpha-stable coordinates, and they jump differently. With
``independent`` coordinates (characteristic function ``exp(-sum |t_i|^alpha)``, Zhou's noise) every
jump moves one coordinate: the measure lives on the axes. An ``isotropic`` process
(``exp(-|t|^alpha)``) jumps in every direction alike. In one dimension they are the same.

On one axis the density of jumps of size y is ``c / |y|^(1+alpha)``, with
``c = Gamma(1+alpha) sin(pi alpha/2) / pi``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["isotropic_jump_rate", "jump_density_constant", "mean_quadratic_power"]


def jump_density_constant(alpha: float) -> float:
    """Return c of the jump density ``c / |y|^(1+alpha)`` of the standard symmetric stable law.

    ``c = Gamma(1+alpha) sin(pi alpha/2) / pi``, so that a unit of time sees ``2 c / alpha`` jumps
    larger than 1, and ``E exp(itL) = exp(-|t|^alpha)``.

    Parameters
    ----------
    alpha : float
        Index of stability, in (0, 2).

    Returns
    -------
    float
        Positive.

    Raises
    ------
    ValueError
        alpha is out of range; at 2 there are no jumps.

    Examples
    --------
    >>> round(jump_density_constant(1.0) * math.pi, 12)  # Cauchy: 1 / (pi y^2)
    1.0
    """
    check_alpha(alpha)
    # sin(pi alpha/2) loses its digits near 2, where it is sin(pi (2-alpha)/2).
    return math.gamma(1 + alpha) * math.sin(math.pi * min(alpha, 2 - alpha) / 2) / math.pi


def isotropic_jump_rate(alpha: float, dim: int) -> float:
    """Return how many jumps longer than 1 the standard isotropic stable process makes.

    The density of jumps is ``C / |y|^(d+alpha)`` with
    ``C = alpha 2^(alpha-1) Gamma((d+alpha)/2) / (pi^(d/2) Gamma(1-alpha/2))`` [1]_; over the
    sphere's surface ``2 pi^(d/2) / Gamma(d/2)`` and all lengths above r that is
    ``2^alpha Gamma((d+alpha)/2) / (Gamma(d/2) Gamma(1-alpha/2)) r^-alpha``.

    Parameters
    ----------
    alpha : float
        Index of stability, in (0, 2).
    dim : int
        Number of coordinates.

    Returns
    -------
    float
        Per unit of time; ``2 c / alpha`` in one dimension.

    Raises
    ------
    ValueError
        alpha is out of range; at 2 there are no jumps.

    References
    ----------
    .. [1] M. Kwaśnicki, Fract. Calc. Appl. Anal. 20(1), 2017. arXiv:1507.07356

    Examples
    --------
    >>> round(isotropic_jump_rate(1.0, 1) * math.pi, 12)
    2.0
    """
    check_alpha(alpha)
    logs = math.lgamma((dim + alpha) / 2) - math.lgamma(dim / 2) - math.lgamma(1 - alpha / 2)
    return math.exp(logs + alpha * math.log(2))


def mean_quadratic_power(eigenvalues: ArrayLike, power: float) -> float:
    """Return ``E (g' B g)^power`` for standard Gaussian g, by one integral in any dimension.

    With ``phi(t) = E exp(-t g'Bg) = prod (1 + 2 lambda_i t)^(-1/2)``,
    ``E X^p = 1/Gamma(1-p) int_0^inf t^-p (-phi'(t)) dt`` for 0 < p < 1. In ``log t`` the integrand
    is smooth and decays at both ends, and Gauss-Legendre panels take it to rounding.

    Parameters
    ----------
    eigenvalues : array_like of shape (d,)
        Of B, none negative.
    power : float
        In (0, 1).

    Returns
    -------
    float
        0 where all eigenvalues are.

    Raises
    ------
    ValueError
        An eigenvalue is negative or not finite, or the power is out of range.

    Examples
    --------
    >>> round(mean_quadratic_power([2.0], 0.5), 12)  # sqrt(2) E|g| = 2 / sqrt(pi)
    1.128379167096
    """
    found = np.asarray(eigenvalues, dtype=np.float64).reshape(-1)
    if not 0 < power < 1:
        raise ValueError(f"power must lie in (0, 1), got {power}")
    if not (np.isfinite(found) & (found >= 0)).all():
        raise ValueError(f"eigenvalues must be finite and at least 0, got {found.tolist()}")
    largest = found.max(initial=0.0)
    if largest == 0:
        return 0.0
    scaled = found[found > 0] / largest
    # Below the first node -phi' is sum(scaled) to rounding; above the last nothing is left.
    first, last, width, order = -42.0, 84.0, 2.0, 16
    edges = np.arange(first, last, width)
    nodes, weights = np.polynomial.legendre.leggauss(order)
    u = (edges[:, None] + width * (nodes + 1) / 2).ravel()
    t = np.exp(u)
    grown = 1 + 2 * scaled[:, None] * t
    slope = np.exp(-np.log(grown).sum(axis=0) / 2) * (scaled[:, None] / grown).sum(axis=0)
    integral = np.sum(np.tile(weights, len(edges)) * np.exp((1 - power) * u) * slope) * width / 2
    integral += scaled.sum() * math.exp((1 - power) * first) / (1 - power)
    moment = float(integral) / math.gamma(1 - power)
    return moment * math.exp(power * math.log(largest))


def check_alpha(alpha: float) -> None:
    """Refuse an index that has no jumps.

    Parameters
    ----------
    alpha : float
        In (0, 2).

    Raises
    ------
    ValueError
        It is not.
    """
    if np.ndim(alpha):
        raise ValueError(f"alpha must be one number, got {alpha}: ask once for each")
    if alpha == 2:
        raise ValueError(
            "alpha = 2 is Gaussian noise: it makes no jumps, and the escape is a diffusion over "
            "the barrier. Ask noise_lens.theory.escape.diffusion (mean_exit_time, "
            "kramers_exit_time) instead."
        )
    if not 0 < alpha < 2:
        raise ValueError(f"alpha must lie in (0, 2), got {alpha}")


def directions_on_sphere(n: int, dim: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return uniform unit vectors.

    Parameters
    ----------
    n : int
        How many.
    dim : int
        Of how many coordinates.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of shape (n, dim)
        Rows of length 1.
    """
    rows = rng.standard_normal((n, dim))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))
