"""Which coordinates of a training gradient are kept: evenly strided ones.

A stride needs no index on the device: the coordinates of a tensor are a view of it, and the
views of many tensors are gathered by one concatenation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from noise_lens.capture.coordinates import shares
from noise_lens.capture.seeding import derived_seed

_LEAST = 2


@dataclass(frozen=True)
class Pick:
    """Coordinates of one parameter, by their index in the whole flattened tensor.

    Attributes
    ----------
    name : str
        The parameter.
    offset, stride, count : int
        ``offset + stride * j`` for j below `count`.
    """

    name: str
    offset: int
    stride: int
    count: int

    @property
    def positions(self) -> NDArray[np.int64]:
        """Indices in the flattened tensor, shape (count,)."""
        return self.offset + self.stride * np.arange(self.count, dtype=np.int64)

    def within(self, start: int, stop: int) -> tuple[int, Pick]:
        """Return the part that falls into a contiguous shard.

        Parameters
        ----------
        start, stop : int
            Elements ``start`` to ``stop - 1`` of the whole tensor are held.

        Returns
        -------
        first : int
            How many of this pick's coordinates come before the shard.
        part : Pick
            With indices in the shard; its count may be 0.
        """
        first = max(0, -(-(start - self.offset) // self.stride))
        end = min(self.count, max(first, -(-(stop - self.offset) // self.stride)))
        offset = self.offset + self.stride * first - start
        return first, Pick(self.name, offset, self.stride, max(0, end - first))

    def view(self, flat: torch.Tensor) -> torch.Tensor:
        """Return the coordinates as a view.

        Parameters
        ----------
        flat : torch.Tensor
            The flattened tensor or shard.

        Returns
        -------
        torch.Tensor
            Shape (count,).
        """
        if self.count == 0:
            return flat[:0]
        return flat[self.offset : self.offset + self.stride * (self.count - 1) + 1 : self.stride]


def choose_picks(
    shapes: Mapping[str, torch.Size], n_coordinates: int, seed: int
) -> tuple[Pick, ...]:
    """Spread coordinates over tensors in proportion to size, at least two each.

    The stride shares no factor with the lengths of the tensor's axes where it can, so that it
    does not walk down one column of a matrix.

    Parameters
    ----------
    shapes : mapping of str to torch.Size
        Whole shapes, also where only shards are held.
    n_coordinates : int
        Of all tensors together, if they have so many.
    seed : int
        Of the first coordinate of each tensor, together with the tensor's name.

    Returns
    -------
    tuple of Pick
        One a tensor with elements, in the order of `shapes`.
    """
    numels = np.array([shape.numel() for shape in shapes.values()], dtype=np.int64)
    counts = shares(numels, n_coordinates, least=_LEAST)
    picks = []
    for (name, shape), count in zip(shapes.items(), counts.tolist(), strict=True):
        if count == 0:
            continue
        numel = shape.numel()
        stride = _stride(numel // count, shape)
        room = numel - stride * (count - 1)
        offset = derived_seed(seed, "pick", name) % room
        picks.append(Pick(name, int(offset), int(stride), count))
    return tuple(picks)


def _stride(longest: int, shape: torch.Size) -> int:
    # A shorter stride leaves the end of the tensor out: more than a quarter is worse than a
    # pattern among columns.
    for stride in range(longest, max(1, 3 * longest // 4), -1):
        if all(math.gcd(stride, length) == 1 for length in shape[1:]):
            return stride
    return longest
