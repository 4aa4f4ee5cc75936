"""The exact mean exit time of the driftless isotropic stable process from a ball."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["getoor_mean_exit_time"]


def getoor_mean_exit_time(
    start: ArrayLike, radius: float, alpha: float, dim: int, *, scale: float = 1.0
) -> float:
    """Return the mean time at which an isotropic stable process first leaves a ball.

    ``K (radius^2 - |start|^2)^(alpha/2) / scale^alpha`` with
    ``K = Gamma(d/2) / (2^alpha Gamma(1+alpha/2) Gamma((d+alpha)/2))`` [1]_, for the process with
    ``E exp(i t'L_1) = exp(-|t|^alpha)`` times `scale`. At alpha = 2 that is Brownian motion of
    variance 2 a unit of time and coordinate, ``(radius^2 - |start|^2) / (2 d)``. Independent
    stable coordinates are another process in d > 1, and have no such formula.

    Parameters
    ----------
    start : float or array_like of shape (dim,)
        Where the process starts, relative to the centre; a number is a distance from it.
    radius : float
        Of the ball, positive.
    alpha : float
        Index of stability, in (0, 2].
    dim : int
        Number of coordinates.
    scale : float
        epsilon of an SDE without drift.

    Returns
    -------
    float
        In the unit of time of the process; 0 on the boundary.

    Raises
    ------
    ValueError
        The start lies outside the ball, or a number is out of range.

    References
    ----------
    .. [1] R. K. Getoor, Trans. Amer. Math. Soc. 101, 1961. doi:10.1090/S0002-9947-1961-0137148-5

    Examples
    --------
    >>> round(getoor_mean_exit_time(0.6, 1.0, alpha=1.0, dim=1), 12)  # Cauchy: sqrt(1 - x^2)
    0.8
    """
    if not 0 < alpha <= 2:
        raise ValueError(f"alpha must lie in (0, 2], got {alpha}")
    if dim < 1 or not 0 < radius < math.inf or not 0 < scale < math.inf:
        raise ValueError(
            "dim must be at least 1, radius and scale positive and finite, got "
            f"dim={dim}, radius={radius}, scale={scale}"
        )
    point = np.asarray(start, dtype=np.float64)
    if point.ndim and point.shape != (dim,):
        raise ValueError(
            f"start must be a distance, or a point of {dim} coordinates, got shape {point.shape}"
        )
    away = float(np.linalg.norm(point))
    if not away <= radius:
        raise ValueError(f"the start is {away:g} from the centre, outside the radius {radius:g}")
    logs = math.lgamma(dim / 2) - math.lgamma(1 + alpha / 2) - math.lgamma((dim + alpha) / 2)
    constant = math.exp(logs - alpha * math.log(2))
    squared = (radius - away) * (radius + away)
    return float(constant * squared ** (alpha / 2) * scale**-alpha)
