"""What every basin answers: membership, and how far the boundary is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

__all__ = ["Basin", "finite"]


class Basin(ABC):
    """What every basin answers.

    Attributes
    ----------
    dim : int
        Number of coordinates.
    centre : Tensor of shape (dim,)
        The minimum from which jumps start, float64.
    """

    def __init__(self, centre: Any, dim: int) -> None:
        if dim < 1:
            raise ValueError(f"a basin needs at least one dimension, got dim={dim}")
        self.dim = int(dim)
        self.centre = torch.zeros(self.dim, dtype=torch.float64)
        if centre is not None:
            self.centre = finite("centre", centre).reshape(-1)
            if self.centre.shape != (self.dim,):
                raise ValueError(
                    f"the centre of a basin in {self.dim} dimensions needs {self.dim} numbers, "
                    f"got {self.centre.numel()}"
                )

    def contains(self, points: Tensor) -> Tensor:
        """Return which points lie inside.

        Parameters
        ----------
        points : Tensor of shape (n, dim)
            On any device; a NaN lies nowhere.

        Returns
        -------
        Tensor of shape (n,)
            Boolean, on the same device. The boundary belongs to the basin.

        Raises
        ------
        ValueError
            Points have another shape.
        """
        points = torch.as_tensor(points)
        if points.ndim != 2 or points.shape[1] != self.dim:
            raise ValueError(
                f"points must have shape (n, {self.dim}), got {tuple(points.shape)}: one row a "
                "point, one column a coordinate"
            )
        if not points.is_floating_point():
            points = points.to(torch.float64)
        return self._contains(points - self.centre.to(points))

    def distance(self, directions: Any) -> Tensor:
        """Return how many times each direction fits between the centre and the boundary.

        Parameters
        ----------
        directions : array_like of shape (k, dim)
            Need not have length 1. A zero direction never leaves.

        Returns
        -------
        Tensor of shape (k,)
            float64, positive; inf where the basin is never left.

        Raises
        ------
        ValueError
            Directions have another shape, or are not finite.
        """
        found = finite("directions", directions)
        if found.ndim != 2 or found.shape[1] != self.dim:
            raise ValueError(
                f"directions must have shape (k, {self.dim}), got {tuple(found.shape)}"
            )
        return self._distance(found)

    @abstractmethod
    def _contains(self, offsets: Tensor) -> Tensor:
        """Return membership of points given relative to the centre."""

    @abstractmethod
    def _distance(self, directions: Tensor) -> Tensor:
        """Return the multiples; directions are finite float64 of shape (k, dim)."""


def finite(what: str, values: Any) -> Tensor:
    """Return `values` as float64.

    Parameters
    ----------
    what : str
        For the message.
    values : array_like
        Numbers.

    Returns
    -------
    Tensor
        Of the same shape.

    Raises
    ------
    ValueError
        Not all are finite.
    """
    found = torch.as_tensor(values, dtype=torch.float64)
    if not bool(torch.isfinite(found).all()):
        raise ValueError(f"{what} must be finite numbers, got {found.tolist()}")
    return found
