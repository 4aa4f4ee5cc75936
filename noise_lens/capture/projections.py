"""Random projections of the whole gradient: signed bucket sums, then a small Hadamard transform.

Every coordinate enters every projection with a sign. Signs come from one fixed bank that is read
cyclically from an offset that depends on the seed and the tensor's name, so the sign of a
coordinate is a function of (seed, name, index) and shards add up. The bank's length is a prime:
rows of a matrix start at different places of it, and a rank-one gradient stays Gaussian in
projection, where signs that are a product of a row's and a column's would not.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import hadamard

from noise_lens.capture.layout import LINE, Layout
from noise_lens.capture.seeding import derived_seed

BANK_LENGTH = 262_139  # the largest prime below 2**18: about 1 MB of float32


@cache
def sign_bank() -> torch.Tensor:
    """Return the bank of +1 and -1, written twice so that any window is one slice."""
    bits = np.random.default_rng(20261121).integers(0, 2, BANK_LENGTH, dtype=np.int8)
    signs = torch.from_numpy(2 * bits - 1).to(torch.float32)
    return torch.cat([signs, signs])


class Signs:
    """Multiplies a flat gradient by its signs, in place, in one call for all tensors.

    Parameters
    ----------
    layout : Layout
        Where the tensors lie.
    flat : torch.Tensor
        The buffer that :meth:`apply` will sign, shape (layout.size,).
    seed : int
        The run's seed.
    """

    def __init__(self, layout: Layout, flat: torch.Tensor, seed: int) -> None:
        self._bank = sign_bank().to(flat.device)
        self._views: list[torch.Tensor] = []
        self._signs: list[torch.Tensor] = []
        for name, start, numel in zip(layout.names, layout.starts, layout.numels, strict=True):
            offset = derived_seed(seed, "signs", name) % BANK_LENGTH
            for first in range(0, int(numel), BANK_LENGTH):
                length = min(BANK_LENGTH, int(numel) - first)
                self._views.append(flat[start + first : start + first + length])
                # A whole bank further on the window is the same again.
                self._signs.append(self._bank[offset : offset + length])

    def apply(self) -> None:
        """Sign the buffer."""
        torch._foreach_mul_(self._views, self._signs)

    def at(self, flat: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Return the signs at `positions` of the buffer `flat`, which is overwritten."""
        flat.fill_(1.0)
        self.apply()
        return flat[positions].clone()


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


def bucket_sums(signed: torch.Tensor, line_cells: torch.Tensor, n_cells: int) -> torch.Tensor:
    """Sum the lines of a signed buffer a cell.

    Parameters
    ----------
    signed : torch.Tensor
        Shape (layout.size,).
    line_cells : torch.Tensor
        Cell of each line, shape (layout.size / 64,).
    n_cells : int
        Number of cells.

    Returns
    -------
    torch.Tensor
        Shape (n_cells, 64).
    """
    lines = signed.view(-1, LINE)
    if n_cells == 1:
        return lines.sum(dim=0, keepdim=True)
    return lines.new_zeros(n_cells, LINE).index_add_(0, line_cells, lines)
