"""What the theorem needs and does not get: sentences that stand before a prediction.

The limits come from the exact mean of the linear well (`linear_well_exit_time`) and from
simulations of Adam (benchmarks/escape_sgd_adam.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_lens.theory.escape.basins import LevelSet
from noise_lens.theory.escape.jumps import jump_density_constant
from noise_lens.theory.escape.radon import EscapingSet, as_matrix
from noise_lens.theory.levy.increments import Jumps

__all__ = ["violations"]

SMALL = 0.1
"""Width of settled noise against the basin up to which times are within 6 % of the limit (SGD)."""

SELDOM = 0.05
"""Jumps that double v per unit of time up to which Adam kept its predicted time within 10 %."""


def violations(
    escaping: EscapingSet,
    alpha: float,
    epsilon: float,
    jumps: Jumps,
    *,
    step_size: float | None = None,
    preconditioner: ArrayLike | None = None,
    curvature: ArrayLike | None = None,
    beta1: float = 0.9,
) -> tuple[str, ...]:
    """Return what Theorem 1 of Zhou et al. needs and does not get, in sentences.

    Parameters
    ----------
    escaping : EscapingSet
        Of the basin and its noise.
    alpha : float
        Index of stability, in (0, 2).
    epsilon : float
        Size of the noise.
    jumps : str
        "independent" or "isotropic".
    step_size : float, optional
        eta, if epsilon is that of a step size.
    preconditioner : float or array_like of shape (dim,) or (dim, dim), optional
        Q of Adam.
    curvature : float or array_like of shape (dim,) or (dim, dim), optional
        Hessian of the loss; that of a `LevelSet`, 1 for other basins.
    beta1 : float
        Rate of Adam's first average.

    Returns
    -------
    tuple of str
        Empty where nothing was seen.
    """
    basin, assumed = escaping.basin, ""
    if curvature is None and isinstance(basin, LevelSet):
        curvature = basin.hessian.numpy()
    elif curvature is None:
        curvature, assumed = 1.0, " (curvature 1 is assumed)"
    hessian = as_matrix("curvature", curvature, basin.dim)
    q = None if preconditioner is None else as_matrix("preconditioner", preconditioner, basin.dim)
    said = [_not_small(alpha, epsilon, step_size)]
    said.append(_too_wide(escaping, alpha, epsilon, hessian, q, beta1, assumed))
    if jumps == "isotropic" and basin.dim > 1:
        said.append("jumps are isotropic; the theorem's coordinates are independent.")
    if q is not None:
        said.append(_v_moves(escaping, alpha, epsilon, hessian, q, assumed))
    return tuple(one for one in said if one)


def _not_small(alpha: float, epsilon: float, step_size: float | None) -> str:
    if epsilon < 1:
        return ""
    why = ""
    if step_size is not None and alpha <= 1:
        why = f", since alpha = {alpha:g} is not above 1"
    elif step_size is not None:
        why = f", since the step size {step_size:g} is not below 1"
    return f"epsilon = {epsilon:.4g} is not below 1{why}: the theorem is for small noise."


def _too_wide(
    escaping: EscapingSet,
    alpha: float,
    epsilon: float,
    hessian: NDArray[np.float64],
    q: NDArray[np.float64] | None,
    beta1: float,
    assumed: str,
) -> str:
    """Return what to say where the noise that settles in the well fills much of the basin."""
    # Time can be measured in units of 1 / curvature, and epsilon is then smaller by its power
    # 1 / alpha: a flat well is filled by noise that is small in a sharp one.
    axes = np.eye(escaping.basin.dim)
    reach = np.minimum(escaping.distance(axes), escaping.distance(-axes))
    left = np.isfinite(reach)
    if not left.any():
        return ""
    moved = escaping.map[:, left]
    pull = hessian if q is None else np.linalg.solve(q, hessian)
    strength = np.einsum("ij,ik,kj->j", moved, pull, moved) / (moved**2).sum(axis=0)
    if not (strength > 0).all():
        return "along some axis of the noise the loss has no curvature: paths drift out instead."
    if q is not None:
        # An average that lags lets a sharp well ring: kicks die out at about beta1, not faster.
        strength = np.minimum(strength, beta1)
    filled = float((epsilon * strength ** (-1 / alpha) / reach[left]).max())
    if filled <= SMALL:
        return ""
    return (
        f"the noise that settles in the well fills {filled:.2g} of the way out{assumed}, more than "
        f"{SMALL:g}: times fall short of the limit, in one dimension (alpha 1.5 to 1.8) by 5 % "
        "at 0.1, 15 to 20 % at 0.2 and 43 to 74 % at 0.46. Simulate."
    )


def _v_moves(
    escaping: EscapingSet,
    alpha: float,
    epsilon: float,
    hessian: NDArray[np.float64],
    q: NDArray[np.float64],
    assumed: str,
) -> str:
    """Return what to say where jumps keep Adam's v above its value at the minimum."""
    # A jump a puts the gradient H a into v; it doubles v where that reaches Q.
    against = np.abs(np.linalg.solve(q, hessian @ escaping.map)).max(axis=0)
    constant = 2 * jump_density_constant(alpha) / alpha
    rate = float(constant * np.sum((epsilon * against) ** alpha))
    if rate <= SELDOM:
        return ""
    return (
        f"Q is held at one value, but jumps that double v come {rate:.2g} times a unit of time"
        f"{assumed}: v stays up, noise is divided by more, and Adam stays longer than predicted."
    )
