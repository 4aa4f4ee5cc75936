"""The diffusion theory of escape for SGD, momentum and Adam, as formulas with their source stated.

Gaussian noise whose covariance is the Hessian over the batch size, so that a path diffuses along
each direction by its curvature. These are rivals of the jump picture: exponential in the
barrier, where jumps are a power of the width.

None of the three was read in its paper for this project. What could be checked is, by the tests,
and each result says what that is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = [
    "DiffusionTime",
    "adam_diffusion_time",
    "momentum_diffusion_time",
    "sgd_diffusion_time",
]


@dataclass(frozen=True)
class DiffusionTime:
    """An escape time of the diffusion theory; ``float()`` gives it, ``str()`` with its source.

    Attributes
    ----------
    log_time : float
        Natural logarithm of the mean escape time.
    source : str
        Where the formula is from, and whether it was read there.
    checked : str
        What of it was verified here, and what could not be.
    """

    log_time: float
    source: str
    checked: str

    def __float__(self) -> float:
        return math.exp(self.log_time) if self.log_time < 709 else math.inf

    def __str__(self) -> str:
        shown = f"{float(self):.4g}" if self.log_time < 709 else f"e^{self.log_time:.4g}"
        return f"{shown} (source: {self.source}. {self.checked})"


def sgd_diffusion_time(
    barrier: float,
    minimum_curvature: float,
    saddle_curvature: float,
    *,
    learning_rate: float,
    batch_size: int,
    path: float = 0.5,
) -> DiffusionTime:
    """Return the mean escape time of SGD over a saddle.

    ``(2 pi / |H_b|) exp((2 B dL / eta) (s / H_a + (1-s) / |H_b|))`` with a the minimum, b the
    saddle, curvatures along the escape direction [1]_.

    Parameters
    ----------
    barrier : float
        dL, how far the saddle lies above the minimum.
    minimum_curvature : float
        H_a, positive.
    saddle_curvature : float
        H_b, negative.
    learning_rate : float
        eta.
    batch_size : int
        B.
    path : float
        s in (0, 1): up to which share of the barrier noise is that of the minimum.

    Returns
    -------
    DiffusionTime
        With its source.

    References
    ----------
    .. [1] Z. Xie, I. Sato and M. Sugiyama, ICLR 2021. arXiv:2002.03495

    Examples
    --------
    >>> found = sgd_diffusion_time(0.0, 1.0, -2.0, learning_rate=0.1, batch_size=8)
    >>> round(float(found) / math.pi, 12)
    1.0
    """
    _check(barrier, minimum_curvature, saddle_curvature, learning_rate, batch_size, path)
    below = -saddle_curvature
    exponent = 2 * batch_size * barrier / learning_rate
    exponent *= path / minimum_curvature + (1 - path) / below
    return DiffusionTime(
        math.log(2 * math.pi / below) + exponent,
        "a table in another paper; the original was not read",
        "Exponent and prefactor agree with exact one-dimensional quadrature for noise that changes "
        "from eta H_a / 2B to eta |H_b| / 2B on the way",
    )


def momentum_diffusion_time(
    barrier: float,
    minimum_curvature: float,
    saddle_curvature: float,
    *,
    learning_rate: float,
    batch_size: int,
    friction: float,
    mass: float,
    path: float = 0.5,
) -> DiffusionTime:
    """Return the mean escape time of SGD with momentum over a saddle.

    ``pi (sqrt(1 + 4 |H_b| / (gamma^2 M)) + 1) / |H_b| exp((2 gamma M B dL / eta) (s / H_a +
    (1-s) / |H_b|))`` with friction gamma and mass M [1]_.

    Parameters
    ----------
    barrier : float
        dL, how far the saddle lies above the minimum.
    minimum_curvature : float
        H_a, positive.
    saddle_curvature : float
        H_b, negative.
    learning_rate : float
        eta.
    batch_size : int
        B.
    friction : float
        gamma, positive.
    mass : float
        M, positive.
    path : float
        s in (0, 1): up to which share of the barrier noise is that of the minimum.

    Returns
    -------
    DiffusionTime
        With its source, and how far it was checked.

    Raises
    ------
    ValueError
        A number is out of range.

    References
    ----------
    .. [1] Z. Xie et al., ICML 2022. arXiv:2006.15815
    """
    _check(barrier, minimum_curvature, saddle_curvature, learning_rate, batch_size, path)
    if not (friction > 0 and mass > 0):
        raise ValueError(f"friction and mass must be positive, got {friction} and {mass}")
    below = -saddle_curvature
    prefactor = math.pi * (math.sqrt(1 + 4 * below / (friction**2 * mass)) + 1) / below
    exponent = 2 * friction * mass * batch_size * barrier / learning_rate
    exponent *= path / minimum_curvature + (1 - path) / below
    return DiffusionTime(
        math.log(prefactor) + exponent,
        "from memory; the original was not read",
        "With much friction, or little mass, it is that of SGD with gamma M B for B. Kramers' "
        "formula of a particle with inertia has a further factor gamma M in front: the two agree "
        "where gamma M = 1",
    )


def adam_diffusion_time(
    barrier: float,
    minimum_curvature: float,
    saddle_curvature: float,
    *,
    learning_rate: float,
    batch_size: int,
    beta1: float = 0.9,
    determinant_ratio: float | None = None,
    path: float = 0.5,
) -> DiffusionTime:
    """Return the mean escape time of Adam over a saddle.

    ``pi (sqrt(1 + 4 eta sqrt|H_b| / (1-beta1)) + 1) |det(H_a^-1 H_b)|^(1/4) / |H_b|
    exp((2 sqrt(B) dL / eta) (s / sqrt(H_a) + (1-s) / sqrt|H_b|))`` [1]_.

    Parameters
    ----------
    barrier : float
        dL, how far the saddle lies above the minimum.
    minimum_curvature : float
        H_a, positive.
    saddle_curvature : float
        H_b, negative.
    learning_rate : float
        eta.
    batch_size : int
        B.
    beta1 : float
        In [0, 1).
    determinant_ratio : float, optional
        ``|det(H_a^-1 H_b)|`` of the whole Hessians; that of the escape direction if not given.
    path : float
        s in (0, 1): up to which share of the barrier noise is that of the minimum.

    Returns
    -------
    DiffusionTime
        With its source, and how far it was checked.

    Raises
    ------
    ValueError
        A number is out of range.

    References
    ----------
    .. [1] Z. Xie et al., ICML 2022. arXiv:2006.15815
    """
    _check(barrier, minimum_curvature, saddle_curvature, learning_rate, batch_size, path)
    if not 0 <= beta1 < 1:
        raise ValueError(f"beta1 must lie in [0, 1), got {beta1}")
    below = -saddle_curvature
    ratio = below / minimum_curvature if determinant_ratio is None else determinant_ratio
    if not ratio > 0:
        raise ValueError(f"determinant_ratio must be positive, got {ratio}")
    prefactor = math.pi * (math.sqrt(1 + 4 * learning_rate * math.sqrt(below) / (1 - beta1)) + 1)
    exponent = 2 * math.sqrt(batch_size) * barrier / learning_rate
    exponent *= path / math.sqrt(minimum_curvature) + (1 - path) / math.sqrt(below)
    return DiffusionTime(
        math.log(prefactor / below) + math.log(ratio) / 4 + exponent,
        "from memory; the original was not read",
        "The exponent is that of a drift and a noise divided by sqrt(H / B); the prefactor could "
        "not be checked",
    )


def _check(
    barrier: float, minimum: float, saddle: float, rate: float, batch_size: int, path: float
) -> None:
    if not (0 <= barrier < math.inf and minimum > 0 > saddle):
        raise ValueError(
            "a saddle lies above the minimum and curves down: barrier must be at least 0, "
            "minimum_curvature positive and saddle_curvature negative, got "
            f"{barrier}, {minimum} and {saddle}"
        )
    if not (rate > 0 and batch_size >= 1 and 0 <= path <= 1):
        raise ValueError(
            "learning_rate must be positive, batch_size at least 1 and path in [0, 1], got "
            f"{rate}, {batch_size} and {path}"
        )
