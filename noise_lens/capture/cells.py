"""Sums over the cells of a layout, from the lines of one window at a time."""

from __future__ import annotations

import torch

from noise_lens.capture.layout import LINE, Layout
from noise_lens.capture.windows import Window


class CellSums:
    """Adds values of lines to their cells. Keeps no index of lines, only the cells' borders.

    Parameters
    ----------
    layout : Layout
        Its cells.
    device : torch.device
        Where the lines lie.
    """

    def __init__(self, layout: Layout, device: torch.device) -> None:
        self._ends = torch.from_numpy(layout.cell_lines[1:]).to(device)
        self.device = device
        self._last: tuple[Window | None, torch.Tensor] = (None, self._ends)

    def index(self, window: Window) -> torch.Tensor:
        """Return the cell of each line, worked out on the device.

        Parameters
        ----------
        window : Window
            Whose lines.

        Returns
        -------
        torch.Tensor
            Shape (n_lines,), int64.
        """
        if self._last[0] is not window:  # a model of one window works it out once
            first = window.start // LINE
            lines = torch.arange(first, first + window.n_lines, device=self.device)
            self._last = (window, torch.bucketize(lines, self._ends, right=True))
        return self._last[1]

    def add(self, into: torch.Tensor, values: torch.Tensor, window: Window) -> None:
        """Add up the lines of each cell.

        Parameters
        ----------
        into : torch.Tensor
            Shape (n_cells, ...), float32 or float64; changed in place.
        values : torch.Tensor
            Shape (n_lines, ...), float32 or float64.
        window : Window
            Whose lines they are.
        """
        if len(window.cells) == 1:
            into[window.cells[0]].add_(values.sum(dim=0, dtype=into.dtype))
        else:
            into.index_add_(0, self.index(window), values.to(into.dtype))
