"""A basin given by a predicate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from noise_lens.theory.escape.basin import Basin

__all__ = ["Where"]


class Where(Basin):
    """The points at which a predicate holds.

    Distances are found by steps of 2 % along the ray, and then bisection: the distance is the
    *first* crossing. A gap thinner than such a step may be stepped over, and what lies inside
    again beyond the first crossing is taken as outside.

    Parameters
    ----------
    predicate : callable
        Tensor of shape (n, dim) -> boolean Tensor of shape (n,).
    dim : int
        Number of coordinates.
    centre : array_like of shape (dim,), optional
        The minimum, where the predicate holds; the origin if not given.
    reach : tuple of float
        Smallest and largest distance that is looked at, in lengths. Beyond the largest it is inf.

    Raises
    ------
    ValueError
        The predicate does not hold at the centre, or answers in another shape or type.

    Examples
    --------
    >>> diamond = Where(lambda y: y.abs().sum(dim=1) <= 1, dim=2)
    >>> [round(r, 9) for r in diamond.distance([[1, 0], [1, 1]]).tolist()]
    [1.0, 0.5]
    """

    def __init__(
        self,
        predicate: Callable[[Tensor], Tensor],
        dim: int,
        centre: Any = None,
        *,
        reach: tuple[float, float] = (1e-4, 1e4),
    ) -> None:
        super().__init__(centre, dim)
        self.predicate, self.reach = predicate, reach
        if not 0 < reach[0] < reach[1] < math.inf:
            raise ValueError(f"reach must hold 0 < smallest < largest < inf, got {reach}")
        if not bool(self.contains(self.centre[None])):
            raise ValueError(
                f"the predicate does not hold at the centre {self.centre.tolist()}: give the "
                "minimum of the basin as centre"
            )

    def __repr__(self) -> str:
        return f"Where({getattr(self.predicate, '__name__', 'predicate')}, dim={self.dim})"

    def _contains(self, offsets: Tensor) -> Tensor:
        held = self.predicate(offsets + self.centre.to(offsets))
        shape = (len(offsets),)
        if not isinstance(held, Tensor) or held.dtype != torch.bool or held.shape != shape:
            came = (
                f"{held.dtype} of shape {tuple(held.shape)}"
                if isinstance(held, Tensor)
                else (type(held).__name__)
            )
            raise ValueError(
                f"a predicate must return a boolean Tensor of shape {shape} for points of shape "
                f"{tuple(offsets.shape)}, got {came}"
            )
        # A NaN lies nowhere, whatever the predicate makes of it.
        return held & ~offsets.isnan().any(dim=1)

    def _distance(self, directions: Tensor) -> Tensor:
        lengths = torch.linalg.vector_norm(directions, dim=1)
        rays = directions / lengths.clamp(min=torch.finfo(torch.float64).tiny)[:, None]
        inside = torch.zeros_like(lengths)
        first = torch.full_like(lengths, torch.inf)
        walking = lengths > 0
        step, ratio = self.reach[0], 1.02
        while bool(walking.any()):
            here = torch.full_like(lengths, step)
            out = torch.zeros_like(walking)
            out[walking] = ~self._contains(rays[walking] * step)
            first = torch.where(out, here, first)
            inside = torch.where(walking & ~out, here, inside)
            walking = walking & ~out & (step < self.reach[1])
            step = min(step * ratio, self.reach[1])
        found = torch.isfinite(first)
        low, high = inside[found], first[found]
        for _ in range(60):  # 2 % halved 46 times is rounding; a first step needs a few more
            middle = (low + high) / 2
            held = self._contains(rays[found] * middle[:, None])
            low, high = torch.where(held, middle, low), torch.where(held, high, middle)
        first[found] = high
        return torch.where(lengths > 0, first / lengths, torch.inf)
