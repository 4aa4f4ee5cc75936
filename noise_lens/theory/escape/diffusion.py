"""Escape at alpha = 2: a diffusion over the barrier, exponentially slow in barrier / epsilon^2.

The SDE is ``dX = -V'(X) dt + epsilon dL`` with the standard law at alpha = 2, so dL has variance
``2 dt`` and the generator is ``epsilon^2 d^2/dx^2 - V' d/dx``: epsilon^2 is the temperature.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.polynomial import legendre
from numpy.typing import NDArray
from torch import Tensor

from noise_lens.theory.escape.basins import Interval, LevelSet

__all__ = ["ball_exit_time", "kramers_exit_time", "kramers_level_set_time", "mean_exit_time"]

Potential = Callable[[Tensor], Tensor]
_ORDER = 16


def mean_exit_time(
    potential: Potential, interval: Interval, *, epsilon: float, start: float | None = None
) -> float:
    """Return the exact mean time at which a one-dimensional diffusion leaves an interval.

    With ``s' = exp(V / epsilon^2)`` the solution of ``epsilon^2 u'' - V' u' = -1`` that vanishes at
    both ends is an integral of positive terms, taken by Gauss-Legendre panels that are halved
    until the answer stands to 1e-9.

    Parameters
    ----------
    potential : callable
        V: Tensor of shape (n, 1) -> Tensor of shape (n,).
    interval : Interval
        With finite ends.
    epsilon : float
        Size of the noise, positive.
    start : float, optional
        Where the path starts; the interval's centre if not given.

    Returns
    -------
    float
        In the SDE's unit of time; inf where it is beyond float64.

    Raises
    ------
    ValueError
        The start is outside, an end is infinite, the potential is not finite on the interval, or
        it is too rough for the quadrature.

    Examples
    --------
    >>> flat = mean_exit_time(lambda x: 0 * x[:, 0], Interval(-1, 1), epsilon=1.0, start=0.5)
    >>> round(flat, 12)  # (1 - x^2) / 2
    0.375
    """
    _check_epsilon(epsilon)
    low, high = float(interval.low), float(interval.high)
    start = float(interval.centre) if start is None else float(start)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"the exact mean needs finite ends, got ({low:g}, {high:g})")
    if not low <= start <= high:
        raise ValueError(f"start must lie in [{low:g}, {high:g}], got {start:g}")
    if start in (low, high):
        return 0.0
    before = math.nan
    for panels in (64, 128, 256, 512, 1024, 2048, 4096, 8192):
        found = _log_mean(potential, low, start, high, epsilon, panels)
        if abs(found - before) < 1e-9:
            return math.exp(found) if found < 709 else math.inf
        before = found
    raise ValueError(
        "the quadrature of the mean exit time did not settle on 8,192 panels: the potential is too "
        f"rough, or epsilon={epsilon:g} too small for its barrier"
    )


def kramers_exit_time(potential: Potential, interval: Interval, *, epsilon: float) -> float:
    """Return the mean exit time from the interval's centre as epsilon goes to 0.

    The two ends compete: rates add. With ``V'' = V''(centre)`` and b an end, the rate through it is
    ``|V'(b)| sqrt(V'' / (2 pi epsilon^2)) exp(-(V(b) - V(centre)) / epsilon^2)`` where the
    potential still rises, and ``sqrt(V'' |V''(b)|) / pi`` times the exponential where b is its
    maximum: half of these paths turn back, so that Kramers' time to the other side is twice as
    long [1]_.

    Parameters
    ----------
    potential : callable
        V: Tensor of shape (n, 1) -> Tensor of shape (n,), differentiable by torch.
    interval : Interval
        Its centre is the minimum; an infinite end is never left.
    epsilon : float
        Size of the noise, positive.

    Returns
    -------
    float
        inf where it is beyond float64, or both ends are.

    Raises
    ------
    ValueError
        The centre is no minimum, or the potential falls towards an end.

    References
    ----------
    .. [1] H. A. Kramers, Physica 7(4), 1940. doi:10.1016/S0031-8914(40)90098-2

    Examples
    --------
    >>> well = lambda x: x[:, 0] ** 2 / 2
    >>> exact = mean_exit_time(well, Interval(-1, 1), epsilon=0.2)
    >>> round(exact / kramers_exit_time(well, Interval(-1, 1), epsilon=0.2), 2)
    1.05
    """
    _check_epsilon(epsilon)
    bottom, slope, curvature = _derivatives(potential, float(interval.centre))
    if not curvature > 0 or abs(slope) > 1e-6 * curvature * float(
        (interval.high - interval.low).clamp(max=1e6)
    ):
        raise ValueError(
            f"the centre {float(interval.centre):g} is not a minimum: there V' = {slope:.3g} and "
            f"V'' = {curvature:.3g}. Give the interval its minimum as centre."
        )
    logs = []
    for end, outward in ((float(interval.low), -1), (float(interval.high), 1)):
        if math.isinf(end):
            continue
        height, slope, bend = _derivatives(potential, end)
        rising = outward * slope
        if abs(rising) < 1e-6 * curvature * abs(end - float(interval.centre)) and bend < 0:
            factor = math.sqrt(curvature * -bend) / math.pi
        elif rising > 0:
            factor = rising * math.sqrt(curvature / (2 * math.pi)) / epsilon
        else:
            raise ValueError(
                f"the potential falls towards the end {end:g} (outward slope {rising:.3g}): the "
                "barrier lies inside. End the interval at the maximum."
            )
        logs.append(math.log(factor) - (height - bottom) / epsilon**2)
    return _safe_exp(-float(np.logaddexp.reduce(logs))) if logs else math.inf


def kramers_level_set_time(basin: LevelSet, *, epsilon: float) -> float:
    """Return the mean exit time of the diffusion in a quadratic loss from its own level set.

    ``dX = -H X dt + epsilon dL`` leaves ``{y'Hy/2 <= h}`` at the rate
    ``tr(H) (h/epsilon^2)^(d/2) exp(-h/epsilon^2) / Gamma(d/2+1)`` as epsilon goes to 0: the flux
    of the Boltzmann law through a boundary at which the loss is everywhere the same, by the
    divergence theorem. Derived for this project.

    Parameters
    ----------
    basin : LevelSet
        H positive definite. The noise matrix is the identity.
    epsilon : float
        Size of the noise, positive.

    Returns
    -------
    float
        inf where it is beyond float64.

    Raises
    ------
    ValueError
        A curvature is 0: there is no stationary law to leave from.

    Examples
    --------
    >>> well, box = lambda x: x[:, 0] ** 2 / 2, Interval(-1, 1)
    >>> level = LevelSet([1.0], height=0.5)  # the same set
    >>> ratio = kramers_level_set_time(level, epsilon=0.2) / kramers_exit_time(
    ...     well, box, epsilon=0.2
    ... )
    >>> round(ratio, 12)
    1.0
    """
    _check_epsilon(epsilon)
    curvatures = torch.linalg.eigvalsh(basin.hessian)
    if not bool(curvatures[0] > 0):
        raise ValueError(
            f"every curvature must be positive, the smallest is {float(curvatures[0]):.3g}: along "
            "a flat direction the path drifts off and has no stationary law"
        )
    ratio = basin.height / epsilon**2
    half = basin.dim / 2
    log_rate = math.log(float(curvatures.sum())) + half * math.log(ratio)
    return _safe_exp(ratio - log_rate + math.lgamma(half + 1))


def ball_exit_time(curvature: float, radius: float, dim: int, *, epsilon: float) -> float:
    """Return the exact mean time from the centre out of a ball, loss ``curvature |y|^2 / 2``.

    The distance from the centre is a one-dimensional diffusion that is reflected at 0:
    ``epsilon^-2 int_0^R r^(1-d) exp(phi(r)) int_0^r s^(d-1) exp(-phi(s)) ds dr`` with
    ``phi(r) = curvature r^2 / (2 epsilon^2)``; ``R^2 / (2 d epsilon^2)`` without curvature.

    Parameters
    ----------
    curvature : float
        Of the loss, alike in every direction; at least 0.
    radius : float
        Positive.
    dim : int
        Number of coordinates.
    epsilon : float
        Size of the noise, positive.

    Returns
    -------
    float
        inf where it is beyond float64.

    Raises
    ------
    ValueError
        A number is out of range.

    Examples
    --------
    >>> ball_exit_time(0.0, 2.0, dim=2, epsilon=1.0)
    1.0
    """
    _check_epsilon(epsilon)
    if not (0 <= curvature < math.inf and 0 < radius < math.inf and dim >= 1):
        raise ValueError(
            "curvature must be at least 0, radius positive and dim at least 1, got "
            f"curvature={curvature}, radius={radius}, dim={dim}"
        )
    top = curvature * radius**2 / (2 * epsilon**2)
    time = radius**2 / (2 * epsilon**2)
    # The inner integral is r^d/d exp(-phi) 1F1(1; d/2+1; phi): Kummer's series, integrated term by
    # term. Every term is positive.
    term, total, n = 1.0 / dim, 1.0 / dim, 0
    if top > 690:
        return math.inf
    while term > 1e-17 * total or n < top:
        n += 1
        term *= top / (dim / 2 + n) * n / (n + 1)
        total += term
    return time * total


def _log_mean(
    potential: Potential, low: float, start: float, high: float, epsilon: float, panels: int
) -> float:
    """Return the logarithm of the mean, by panels that the start separates."""
    left = max(2, round(panels * (start - low) / (high - low)))
    left = min(left, panels - 2)
    edges = np.concatenate(
        [np.linspace(low, start, left + 1), np.linspace(start, high, panels - left + 1)[1:]]
    )
    nodes, weights, partial = _rule()
    half = np.diff(edges)[:, None] / 2
    x = edges[:-1, None] + half * (nodes + 1)
    phi = _values(potential, x.ravel()).reshape(x.shape) / epsilon**2
    # Each side has its own unit, the largest of its scale: one barrier may be far above the other.
    bottom, tops = phi.min(), (phi[:left].max(), phi[left:].max())
    scale = np.exp(phi - np.repeat(tops, (left, panels - left))[:, None])
    weighted = np.exp(bottom - phi) / epsilon**2 * weights * half
    whole = (scale * weights * half).sum(axis=1)
    inside = (scale @ partial.T) * half
    from_low = np.concatenate([[0.0], np.cumsum(whole[: left - 1])])[:, None] + inside[:left]
    to_high = np.cumsum(whole[left:][::-1])[::-1][:, None] - inside[left:]
    lower, upper = float(whole[:left].sum()), float(whole[left:].sum())
    near = float((from_low * weighted[:left]).sum())
    far = float((to_high.clip(min=0) * weighted[left:]).sum())
    total = np.logaddexp(math.log(lower) + tops[0], math.log(upper) + tops[1])
    return math.log(upper * near + lower * far) + float(tops[0] + tops[1] - bottom - total)


def _rule() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return Gauss-Legendre nodes, weights, and the matrix of integrals from -1 to each node."""
    nodes, weights = legendre.leggauss(_ORDER)
    values = legendre.legvander(nodes, _ORDER - 1)
    integrals = np.column_stack(
        [legendre.legval(nodes, legendre.legint(row, lbnd=-1)) for row in np.eye(_ORDER)]
    )
    partial = np.linalg.solve(values.T, integrals.T).T
    return np.asarray(nodes), np.asarray(weights), np.asarray(partial, dtype=np.float64)


def _values(potential: Potential, x: NDArray[np.float64]) -> NDArray[np.float64]:
    found = potential(torch.as_tensor(x)[:, None])
    if found.shape != (len(x),):
        raise ValueError(
            f"the potential must return shape (n,) for points of shape (n, 1), got "
            f"{tuple(found.shape)} for n = {len(x)}"
        )
    values = found.detach().cpu().numpy().astype(np.float64)
    if not np.isfinite(values).all():
        where = x[~np.isfinite(values)][0]
        raise ValueError(f"the potential is {values[~np.isfinite(values)][0]} at {where:g}")
    return np.asarray(values)


def _derivatives(potential: Potential, at: float) -> tuple[float, float, float]:
    """Return V, V' and V'' at one point."""
    point = torch.tensor([[at]], dtype=torch.float64, requires_grad=True)
    value = potential(point).sum()
    (slope,) = torch.autograd.grad(value, point, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), point) if slope.requires_grad else (0 * slope,)
    found = value.item(), slope.item(), bend.item()
    if not all(map(math.isfinite, found)):
        raise ValueError(f"the potential or a derivative is not finite at {at:g}: {found}")
    return found


def _safe_exp(log: float) -> float:
    return math.exp(log) if log < 709 else math.inf


def _check_epsilon(epsilon: float) -> None:
    if not 0 < epsilon < math.inf:
        raise ValueError(f"epsilon must be positive and finite, got {epsilon}")
    if epsilon**2 == 0:
        raise ValueError(f"epsilon = {epsilon} is too small: the temperature epsilon^2 is 0 here")
