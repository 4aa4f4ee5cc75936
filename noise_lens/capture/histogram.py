"""Log-histograms of a probe: magnitudes counted by their float bits, no logarithm taken."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from noise_lens.capture.cells import CellSums
from noise_lens.capture.layout import LINE, Layout
from noise_lens.capture.windows import Window
from noise_lens.capture.workspace import Workspace
from noise_lens.estimators.log_histogram import N_BINS

_SHIFT = 18  # keeps the exponent and five bits of the mantissa: 32 bins an octave
_MAGNITUDE_BITS = 0x7FFFFFFF


def bin_edges() -> NDArray[np.float64]:
    """Return the lower edge of each bin, shape (8192,).

    Bin 0 holds exact zeros (and magnitudes below 4e-40), bin 8160 inf, those above it NaN.

    Returns
    -------
    ndarray of shape (8192,)
        In the unit of the gradient.
    """
    bits = (np.arange(N_BINS, dtype=np.uint32) << _SHIFT).astype(np.uint32)
    with np.errstate(invalid="ignore"):
        return bits.view(np.float32).astype(np.float64)


def magnitude_bits(noise: torch.Tensor) -> torch.Tensor:
    """Return the bits of float32 magnitudes as int32: 0 for a zero of either sign, else more."""
    return noise.view(torch.int32) & _MAGNITUDE_BITS


def bins_of_bits(bits: torch.Tensor) -> torch.Tensor:
    """Return the bin of each magnitude by its bits; bin 0 is for zeros and all below 4e-40."""
    return bits >> _SHIFT


def bins_into(bins: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Write the bin of each magnitude into `bins`, and return it; nothing is allocated.

    Parameters
    ----------
    bins : torch.Tensor of shape (n,)
        int32, overwritten.
    noise : torch.Tensor of shape (n,)
        float32; signs are dropped.

    Returns
    -------
    torch.Tensor
        `bins`.
    """
    shifted = torch.bitwise_right_shift(noise.view(torch.int32), _SHIFT, out=bins)
    return shifted.bitwise_and_(N_BINS - 1)


def count_into(counts: torch.Tensor, bins: torch.Tensor) -> None:
    """Add one to the counts of each bin; only queues work on a device.

    Parameters
    ----------
    counts : torch.Tensor
        int64, changed in place.
    bins : torch.Tensor of shape (n,)
        Integers below the number of counts.
    """
    if counts.device.type == "cpu":
        counts += torch.bincount(bins, minlength=len(counts))
        return
    # No bincount here: it reads its maximum back to the host.
    index = bins.long()
    counts.scatter_add_(0, index, torch.ones_like(index))


class CellHistograms:
    """Counts of magnitudes a cell; state is int64 on the device, 64 KiB a cell.

    Parameters
    ----------
    layout : Layout
        Cells of the windows that come.
    sums : CellSums
        Knows the cell of each line.
    """

    def __init__(self, layout: Layout, sums: CellSums) -> None:
        self._counts = torch.zeros(layout.n_cells, N_BINS, dtype=torch.int64, device=sums.device)
        self._one = torch.ones(1, dtype=torch.int64, device=sums.device)
        self._sums = sums
        self._padding = np.diff(layout.cell_lines) * LINE - layout.cell_numels
        self._updates = 0

    def update(self, space: Workspace, window: Window) -> None:
        """Count the noise of a window; all windows must come, once a row.

        Parameters
        ----------
        space : Workspace
            That holds it.
        window : Window
            Which.
        """
        self._updates += window.number == 0
        bins = space.bins
        torch.bitwise_right_shift(space.bits, _SHIFT, out=bins).bitwise_and_(N_BINS - 1)
        if bins.dtype == torch.int32:
            if len(window.cells) == 1:
                count_into(self._counts[window.cells[0]], bins)
                return
            borders = (window.cell_lines * LINE).tolist()
            for cell, start, stop in zip(window.cells, borders[:-1], borders[1:], strict=True):
                count_into(self._counts[cell], bins[start:stop])
            return
        counts = self._counts[window.cells[0]]
        if len(window.cells) > 1:
            counts = self._counts.view(-1)
            bins.view(-1, LINE).add_((self._sums.index(window) * N_BINS)[:, None])
        counts.scatter_add_(0, bins, self._one.expand(bins.shape))

    def compute(self) -> NDArray[np.int64]:
        """Return the counts, shape (n_cells, 8192), padding taken out. One copy to the host."""
        counts = self._counts.cpu().numpy().copy()
        counts[:, 0] -= self._padding * self._updates
        return counts
