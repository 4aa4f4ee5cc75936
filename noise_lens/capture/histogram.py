"""The log-histogram: magnitudes counted by their float bits, no logarithm taken."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from noise_lens.capture.layout import LINE, Layout

N_BINS = 8192
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


class LogHistogram:
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
        bins = (noise.view(torch.int32) & _MAGNITUDE_BITS) >> _SHIFT
        if noise.device.type != "cpu":
            # No bincount here: it reads its maximum back to the host.
            lines = slice(first_line, first_line + len(noise) // LINE)
            index = bins.view(-1, LINE) + self._line_offsets[lines, None]
            self._counts.scatter_add_(0, index.view(-1), torch.ones_like(index).view(-1))
            return
        end_line = first_line + len(noise) // LINE
        first_cell = int(np.searchsorted(self._cell_lines, first_line, side="right")) - 1
        for cell in range(first_cell, len(self._cell_lines) - 1):
            start = max(int(self._cell_lines[cell]), first_line)
            stop = min(int(self._cell_lines[cell + 1]), end_line)
            if start >= stop:
                break
            part = bins[(start - first_line) * LINE : (stop - first_line) * LINE]
            self._counts[cell * N_BINS : (cell + 1) * N_BINS] += torch.bincount(
                part, minlength=N_BINS
            )

    def compute(self) -> NDArray[np.int64]:
        """Return the counts, shape (n_cells, 8192), padding taken out. One copy to the host."""
        counts = self._counts.cpu().numpy().reshape(-1, N_BINS).copy()
        counts[:, 0] -= self._padding * self._updates
        return counts
