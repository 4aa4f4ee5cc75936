"""Random projections of the whole gradient: signed bucket sums, then a small Hadamard transform.

Every coordinate enters every projection with a sign. Signs come from one fixed bank that is read
cyclically from an offset that depends on the seed and the tensor's name, so the sign of a
coordinate is a function of (seed, name, index in the whole tensor) and shards add up. The bank's
length is a prime: rows of a matrix start at different places of it, and a rank-one gradient stays
Gaussian in projection, where signs that are a product of a row's and a column's would not.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import hadamard

from noise_lens.capture.layout import Layout
from noise_lens.capture.seeding import derived_seed

if TYPE_CHECKING:  # windows are cut to the bank's length
    from noise_lens.capture.windows import Window

BANK_LENGTH = 262_139  # the largest prime below 2**18: about 1 MB of float32


@cache
def sign_bank() -> torch.Tensor:
    """Return the bank of +1 and -1, written twice so that any window is one slice."""
    bits = np.random.default_rng(20261121).integers(0, 2, BANK_LENGTH, dtype=np.int8)
    signs = torch.from_numpy(2 * bits - 1).to(torch.float32)
    return torch.cat([signs, signs])


class Signs:
    """The signs of a layout, window by window, as slices of the bank: nothing is copied.

    Parameters
    ----------
    layout : Layout
        Where the tensors lie.
    windows : sequence of Window
        Of the layout.
    device : torch.device
        Where the bank is put.
    seed : int
        The run's seed.
    """

    def __init__(
        self, layout: Layout, windows: Sequence[Window], device: torch.device, seed: int
    ) -> None:
        bank = sign_bank().to(device)
        # Of a shard the first element has the sign that it has in the whole tensor.
        offsets = [
            (derived_seed(seed, "signs", name) + int(first)) % BANK_LENGTH
            for name, first in zip(layout.names, layout.firsts, strict=True)
        ]
        self._signs: list[list[torch.Tensor]] = []
        for window in windows:
            starts = [(offsets[p.tensor] + p.start) % BANK_LENGTH for p in window.pieces]
            self._signs.append(
                [
                    bank[start : start + piece.stop - piece.start]
                    for start, piece in zip(starts, window.pieces, strict=True)
                ]
            )

    def apply(self, pieces: list[torch.Tensor], window: Window) -> None:
        """Sign the pieces of a window in place, in one call for all tensors."""
        torch._foreach_mul_(pieces, self._signs[window.number])


def n_projections_of(numel: int, most: int) -> int:
    """Return how many projections a group of `numel` elements carries.

    Parameters
    ----------
    numel : int
        Elements of the group.
    most : int
        The most projections, a power of two, at most 64.

    Returns
    -------
    int
        The largest power of two that is at most `most` and ``numel / 4``; 0 below four elements.
    """
    if numel < 4:
        return 0
    return int(min(most, 2 ** int(np.log2(numel // 4))))


def projections_from_buckets(
    buckets: NDArray[np.float32], n_projections: int
) -> NDArray[np.float32]:
    """Mix signed bucket sums into projections.

    Parameters
    ----------
    buckets : ndarray of shape (M, 64)
        Signed sums over the coordinates whose index in their tensor is b modulo 64.
    n_projections : int
        A power of two, at most 64.

    Returns
    -------
    ndarray of shape (M, n_projections)
        Sums of all coordinates with signs, in the unit of the gradient.
    """
    folded = buckets.astype(np.float64).reshape(len(buckets), -1, n_projections).sum(axis=1)
    return np.asarray(folded @ hadamard(n_projections), dtype=np.float32)
