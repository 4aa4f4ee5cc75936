"""What the theorem needs and does not get: sentences that stand before a prediction.

The limits come from the exact mean of the linear well (`linear_well_exit_time`) and from
simulations of Adam (benchmarks/escape_sgd_adam.py).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_lens.theory.escape.basins import LevelSet
from noise_lens.theory.escape.jumps import jump_density_constant
from noise_lens.theory.escape.linear_well import linear_well_exit_time
from noise_lens.theory.escape.radon import EscapingSet, as_matrix
from noise_lens.theory.levy.increments import Jumps

__all__ = ["SMALL", "beyond_stability", "violations"]

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
    mean_time: float | None = None,
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
    mean_time : float, optional
        What is predicted.

    Returns
    -------
    tuple of str
        Empty where nothing was seen.

    Raises
    ------
    ValueError
        A curvature is negative: there is no minimum to leave.
    """
    basin, assumed = escaping.basin, ""
    if curvature is None and isinstance(basin, LevelSet):
        curvature = basin.hessian.numpy()
    elif curvature is None:
        curvature, assumed = 1.0, " (curvature 1 is assumed)"
    hessian = as_matrix("curvature", curvature, basin.dim)
    lowest = float(np.linalg.eigvalsh((hessian + hessian.T) / 2)[0])
    if lowest < -1e-9 * float(np.abs(hessian).max()):
        raise ValueError(
            f"curvature must be at least 0 in every direction, got {lowest:.4g}: the centre of a "
            "basin is a minimum, and from a saddle drift alone leaves"
        )
    q = None if preconditioner is None else as_matrix("preconditioner", preconditioner, basin.dim)
    said = [_not_small(alpha, epsilon, step_size)]
    said.append(_too_wide(escaping, alpha, epsilon, hessian, q, beta1, assumed))
    if jumps == "isotropic" and basin.dim > 1:
        said.append("jumps are isotropic; the theorem's coordinates are independent.")
    if q is not None:
        said.append(_v_moves(escaping, alpha, epsilon, hessian, q, assumed))
    if step_size is not None:
        said.append(_unstable(step_size, hessian, q, beta1, assumed))
        if mean_time is not None and mean_time < step_size:
            said.append(
                f"the predicted time is {mean_time / step_size:.2g} iterations, less than one: "
                "no step can leave so soon."
            )
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


def beyond_stability(step_size: float, strength: float, beta1: float | None = None) -> bool:
    """Return whether steps without noise grow, in a quadratic.

    Parameters
    ----------
    step_size : float
        Time of one step.
    strength : float
        Largest eigenvalue of the Hessian, divided by Q for Adam.
    beta1 : float, optional
        Rate of Adam's first average per unit of time; SGD without it.

    Returns
    -------
    bool
        ``step_size * strength > 2``, and more for an average that renews a share a of itself:
        ``2 (2 - a) / a``.
    """
    share = 1.0 if beta1 is None else -math.expm1(-beta1 * step_size)
    return step_size * strength * share > 2 * (2 - share)


def _unstable(
    step_size: float,
    hessian: NDArray[np.float64],
    q: NDArray[np.float64] | None,
    beta1: float,
    assumed: str,
) -> str:
    pull = hessian if q is None else np.linalg.solve(q, hessian)
    strength = float(np.linalg.eigvals(pull).real.max())
    if not beyond_stability(step_size, strength, None if q is None else beta1):
        return ""
    return (
        f"step size times curvature is {step_size * strength:.4g}{assumed}, beyond stability"
        f"{' (2)' if q is None else ''}: steps of this size leave without noise."
    )


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
        f"{SMALL:g}: times fall short of the limit, {_shortfall(alpha, filled)}. Simulate."
    )


def _shortfall(alpha: float, filled: float) -> str:
    """Return by how much, in the one well whose mean is known at any noise."""
    limit = alpha / (2 * jump_density_constant(alpha)) * filled**-alpha
    try:
        short = 100 * (1 - linear_well_exit_time(alpha, filled) / limit)
    except ValueError:  # the series resolves wide noise from alpha = 1.2 on
        return "in one dimension by about 13 % at 0.2 and up to 43 % at 0.46 (alpha up to 1.5)"
    # 99.9 %, not 100: near alpha = 2 what is left is a diffusion's time, and not nothing.
    shown = f"{short:.0f}" if short < 99 else f"{min(short, 99.99):.4g}"
    return f"in one dimension at alpha = {alpha:g} by {shown} %"


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
