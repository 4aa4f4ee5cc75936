"""Log-histograms of a probe: magnitudes counted by their float bits, no logarithm taken."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from noise_lens.capture.layout import LINE, Layout
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
        Cells of the buffers that come.
    device : torch.device
        Where they lie.
    """

    def __init__(self, layout: Layout, device: torch.device) -> None:
        self._counts = torch.zeros(layout.n_cells * N_BINS, dtype=torch.int64, device=device)
        self._cell_lines = layout.cell_lines
        self._padding = np.diff(layout.cell_lines) * LINE - layout.cell_numels
        self._updates = 0
        self._line_offsets = torch.from_numpy(
            np.repeat(np.arange(layout.n_cells) * N_BINS, np.diff(layout.cell_lines))
        ).to(device)

    def update(self, noise: torch.Tensor, first_line: int) -> None:
        """Count part of a flat float32 buffer.

        Parameters
        ----------
        noise : torch.Tensor
            Whole lines of the buffer, shape (n * 64,).
        first_line : int
            The first of them.
        """
        if first_line == 0:
            self._updates += 1
        bins = bins_of_bits(magnitude_bits(noise))
        if noise.device.type != "cpu":
            lines = slice(first_line, first_line + len(noise) // LINE)
            index = bins.view(-1, LINE) + self._line_offsets[lines, None]
            count_into(self._counts, index.view(-1))
            return
        end_line = first_line + len(noise) // LINE
        first_cell = int(np.searchsorted(self._cell_lines, first_line, side="right")) - 1
        for cell in range(first_cell, len(self._cell_lines) - 1):
            start = max(int(self._cell_lines[cell]), first_line)
            stop = min(int(self._cell_lines[cell + 1]), end_line)
            if start >= stop:
                break
            part = bins[(start - first_line) * LINE : (stop - first_line) * LINE]
            count_into(self._counts[cell * N_BINS : (cell + 1) * N_BINS], part)

    def compute(self) -> NDArray[np.int64]:
        """Return the counts, shape (n_cells, 8192), padding taken out. One copy to the host."""
        counts = self._counts.cpu().numpy().reshape(-1, N_BINS).copy()
        counts[:, 0] -= self._padding * self._updates
        return counts
