"""Increments of symmetric stable Levy processes, drawn on torch.

Two processes share every one-dimensional law and are yet different, so one is chosen by name:

* ``"independent"``: the coordinates are independent processes. All jumps lie along the axes, one
  coordinate at a time. E exp(i<t, L>) = exp(-sum_i abs(t_i)**alpha). Zhou et al. (2020) assume it.
* ``"isotropic"``: the law does not change under rotation. A jump moves all coordinates, in a
  direction uniform on the sphere. E exp(i<t, L>) = exp(-norm(t)**alpha). Getoor (1961) assumes it.

In one dimension, and at alpha = 2 in any, they are the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

Jumps = Literal["independent", "isotropic"]

# Temporaries of this many numbers stay in the cache: a third faster than larger ones.
_CHUNK = 1 << 16


def stable_increments(
    alpha: float,
    size: Sequence[int],
    *,
    jumps: Jumps = "independent",
    duration: float = 1.0,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Draw increments of a standard symmetric stable process over `duration`.

    Each coordinate X over one unit of time has E exp(itX) = exp(-abs(t)**alpha): at alpha = 2 that
    is N(0, 2), at alpha = 1 standard Cauchy. Over `duration` it is wider by
    ``duration**(1 / alpha)``.

    By the transformation of Chambers, Mallows and Stuck [1]_; isotropic increments are
    ``sqrt(A) G`` with G of N(0, 2 I) and A positive stable of index alpha/2, by Kanter [2]_.

    Parameters
    ----------
    alpha : float
        Index of stability, in (0, 2].
    size : sequence of int
        Shape of the result; the last axis holds the coordinates of one increment.
    jumps : {"independent", "isotropic"}
        Whether jumps lie along the axes or point everywhere: two different processes.
    duration : float
        Length of time of each increment, above 0.
    generator : torch.Generator, optional
        Source of randomness, on `device`; without it torch's own.
    dtype : torch.dtype
        float64, or float32: from alpha = 1 on drawn 2.5 times as fast, and right down to events of
        probability 1e-8, where the uniforms of 32 bits under it end.
    device : torch.device or str
        Where the increments are made.

    Returns
    -------
    Tensor of shape `size`
        The increments.

    Raises
    ------
    ValueError
        `alpha`, `duration`, `jumps`, `size` or `dtype` is out of range.

    References
    ----------
    .. [1] J. M. Chambers, C. L. Mallows and B. W. Stuck, J. Am. Stat. Assoc. 71, 1976.
    .. [2] M. Kanter, Ann. Probab. 3, 1975, section 4.

    Examples
    --------
    >>> steps = stable_increments(1.5, (4, 2), generator=torch.Generator().manual_seed(0))
    >>> steps.shape, steps.dtype
    (torch.Size([4, 2]), torch.float64)
    """
    check_alpha(alpha)
    check_jumps(jumps)
    if not (duration > 0 and math.isfinite(duration)):
        raise ValueError(f"duration must be positive and finite, got {duration}")
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"increments are float32 or float64, asked for {dtype}")
    shape = tuple(size)
    if not shape:
        raise ValueError("size needs an axis for the coordinates, got (): say (1,) for one number")
    out = torch.empty(shape, dtype=dtype, device=device)
    _fill(out, alpha, jumps, duration ** (1 / alpha), generator)
    return out


def check_alpha(alpha: float) -> None:
    """Raise ValueError where no symmetric stable law has this index."""
    if np.ndim(alpha):
        raise ValueError(f"alpha must be one number, got {alpha}: ask once for each")
    if not 0 < alpha <= 2:
        raise ValueError(f"alpha must lie in (0, 2], got {alpha}: there is no other stable law")


def check_jumps(jumps: str) -> None:
    """Raise ValueError where `jumps` names no process."""
    if jumps not in get_args(Jumps):
        raise ValueError(
            f'jumps must be "independent" (along the axes) or "isotropic" (in all directions), '
            f"got {jumps!r}"
        )


def _fill(
    out: Tensor, alpha: float, jumps: str, scale: float, generator: torch.Generator | None
) -> None:
    if alpha == 2:
        out.normal_(0, math.sqrt(2) * scale, generator=generator)
        return
    dim = out.shape[-1]
    if jumps == "independent" or dim == 1:
        flat = out.view(-1)
        for start in range(0, flat.numel(), _CHUNK):
            part = flat[start : start + _CHUNK]
            drawn = _symmetric(alpha, *_raw(part.numel(), alpha, alpha < 1, out, generator))
            part.copy_(drawn.mul_(scale))
        return
    rows = out.view(-1, dim)
    rows.normal_(0, math.sqrt(2) * scale, generator=generator)
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        drawn = _positive(alpha / 2, *_raw(len(part), alpha, True, out, generator))
        part.mul_(drawn.sqrt_().unsqueeze(-1))


def _raw(
    n: int, alpha: float, small: bool, like: Tensor, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Return n of r, uniform in (-1/2, 1/2) without 0, and of W, exponential of mean 1."""
    # r is the signed distance from the angle at which the law has its pole. It is the small
    # distances that make the tails: a float keeps them to full relative precision, the angle
    # itself would not. With `small` it is the small W that are precise, else the large.
    if like.dtype == torch.float32 and alpha >= 1:
        # Both halves of one 64-bit number; torch's own float32 uniforms have 24 bits only.
        bits = torch.empty(n, dtype=torch.int64, device=like.device)
        bits.random_(-(2**63), None, generator=generator)
        first, second = bits.view(torch.int32).view(n, 2).unbind(-1)
        return _of_words(first, second, small)
    pole = torch.empty(n, dtype=torch.float64, device=like.device)
    pole.uniform_(-0.5, 0.5, generator=generator)
    chance = torch.empty_like(pole).uniform_(generator=generator)
    return _off_the_ends(pole, chance, 2.0**-54, 1 - 2.0**-53, small)


def _of_words(first: Tensor, second: Tensor, small: bool) -> tuple[Tensor, Tensor]:
    """Return r and W in float32 of signed words of 32 bits."""
    pole = first.to(torch.float32).mul_(2.0**-32)
    chance = second.to(torch.float32).abs_().mul_(2.0**-31)
    return _off_the_ends(pole, chance, 2.0**-33, 1 - 2.0**-24, small)


def _off_the_ends(
    pole: Tensor, chance: Tensor, least: float, most: float, small: bool
) -> tuple[Tensor, Tensor]:
    """Return r other than 0, and W, neither 0 nor infinite, of chances in [0, 1]."""
    pole = torch.where(pole == 0, least, pole)
    chance.clamp_(least, most)
    return pole, (chance.neg_().log1p_() if small else chance.log_()).neg_()


def _symmetric(alpha: float, pole: Tensor, exponential: Tensor) -> Tensor:
    """Return the symmetric stable number of a uniform and an exponential one."""
    # Chambers, Mallows and Stuck: sin(aV) / cos(V)^(1/a) * (cos((1-a)V) / W)^((1-a)/a), V the
    # angle. cos(V) is the sine of the distance from the pole.
    if alpha == 1:
        return torch.tan(pole.mul(math.pi)).reciprocal_()
    distance = pole.abs()
    # cos((1-a)V) as the sine of what is left to a right angle: near a = 2 both vanish together.
    bend = abs(1 - alpha)
    other = distance.mul(math.pi * bend).add_(math.pi * (1 - bend) / 2).sin_()
    # sin(aV) from the nearer of the two ends, for the same reason.
    size = (
        distance.mul(math.pi * alpha).add_(math.pi * (2 - alpha) / 2)
        if alpha > 1
        else (0.5 - distance).mul_(math.pi * alpha)
    ).sin_()
    power = other.div_(exponential).log_().mul_((1 - alpha) / alpha)
    power.sub_(distance.mul_(math.pi).sin_().log_(), alpha=1 / alpha)
    return size.mul_(power.exp_()).copysign_(pole)


def _positive(index: float, pole: Tensor, exponential: Tensor) -> Tensor:
    """Return the positive stable A, E exp(-sA) = exp(-s^index), of a uniform and an exponential."""
    # Kanter: sin(aU) / sin(U)^(1/a) * (sin((1-a)U) / W)^((1-a)/a), U in (0, pi), pole at pi.
    distance = pole.abs()
    angle = torch.where(pole > 0, distance, 1 - distance).mul_(math.pi)
    power = (angle * (1 - index)).sin_().div_(exponential).log_().mul_((1 - index) / index)
    power.sub_(torch.sin(distance * math.pi).log_(), alpha=1 / index)
    # sin(aU) at the pole from the other end of the half turn: near a = 1 it vanishes there.
    size = distance.mul_(index).add_((pole < 0) * (1 - index)).mul_(math.pi).sin_()
    return size.mul_(power.exp_())
