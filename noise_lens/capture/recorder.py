"""The rows of a sketch on the device, and how a minibatch gradient becomes one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from noise_lens.capture.gradients import MinibatchGradients
from noise_lens.capture.groups import Group
from noise_lens.capture.histogram import CellHistograms
from noise_lens.capture.layout import LINE, Layout
from noise_lens.capture.projections import (
    Signs,
    bucket_sums,
    n_projections_of,
    projections_from_buckets,
)
from noise_lens.capture.reference import ExactReference, Reference
from noise_lens.capture.sketch import GroupSketch
from noise_lens.inference.jackknife import group_labels

_CPU_CHUNK_LINES = 1_024  # 65,536 elements: four passes over a chunk stay in the cache
_GPU_CHUNK_LINES = 65_536


class Recorder:
    """The rows of a sketch on the device, and the buffers that fill them."""

    def __init__(
        self,
        layout: Layout,
        gradients: MinibatchGradients,
        exact: ExactReference | None,
        positions: NDArray[np.int64],
        n_rows: int,
        seed: int,
        reference: Reference,
    ) -> None:
        device = gradients.device
        cells = layout.n_cells
        self._layout, self._gradients, self._exact = layout, gradients, exact
        self._flat = torch.zeros(layout.size, device=device)
        self._views = layout.views(self._flat)
        self._histogram = CellHistograms(layout, device)
        self._line_cells = torch.from_numpy(
            np.repeat(np.arange(cells), np.diff(layout.cell_lines))
        ).to(device)
        self._positions = torch.from_numpy(positions).to(device)
        self._signs = Signs(layout, self._flat, seed)
        self._coordinates = torch.zeros(n_rows, len(positions), device=device)
        self._buckets = torch.zeros(n_rows, cells, LINE, device=device)
        # Non-zero elements and sum of squares, of the raw gradients and of the noise; float64
        # because float32 stops counting at 2**24 elements.
        self._sums = torch.zeros(n_rows, 4, cells, dtype=torch.float64, device=device)
        self._pair = reference == "pair"
        # Squared norms of sums of many gradients give |G|**2 where no full gradient does.
        self._blocks = group_labels(n_rows)
        n_blocks = 0 if reference == "full" else int(self._blocks[-1]) + 1
        self._block_sum = torch.zeros_like(self._flat) if n_blocks else None
        self._block_squares = torch.zeros(n_blocks, cells, dtype=torch.float64, device=device)
        self._line_sums = torch.zeros(4, layout.size // LINE, device=device)
        self._chunk = _CPU_CHUNK_LINES if device.type == "cpu" else _GPU_CHUNK_LINES
        # Coordinates are gathered after signing; a second sign takes the first away.
        self._coordinate_signs = self._signs.at(self._flat, self._positions)
        self._flat.zero_()

    def record(
        self,
        minibatches: Iterator[Any],
        n_minibatches: int,
        on_minibatch: Callable[[int], None] | None,
    ) -> NDArray[np.float64]:
        """Fill all rows; only queues work on the device, then copies the losses once."""
        device = self._gradients.device
        losses = torch.zeros(n_minibatches, dtype=torch.float64, device=device)
        pair = self._pair
        other = torch.zeros_like(self._flat) if pair else None
        other_views = self._layout.views(other) if other is not None else []
        with torch.no_grad():
            for index in range(n_minibatches):
                second = pair and index % 2 == 1
                views = other_views if second else self._views
                with torch.enable_grad():
                    losses[index] = self._gradients.write(next(minibatches), views)
                if on_minibatch is not None:
                    on_minibatch(1)
                if pair and not second:
                    continue
                self._fill(index // 2 if pair else index, other)
        return losses.cpu().numpy()

    def _fill(self, row: int, other: torch.Tensor | None) -> None:
        raw_nonzero, nonzero, raw_squares, squares = self._line_sums
        for first in range(0, len(self._line_cells), self._chunk):
            lines = slice(first, min(first + self._chunk, len(self._line_cells)))
            elements = slice(lines.start * LINE, lines.stop * LINE)
            part = self._flat[elements]
            raw_nonzero[lines] = _nonzero_a_line(part)
            raw_squares[lines] = _squares_a_line(part)
            if self._block_sum is not None:
                self._block_sum[elements].add_(part)
            if other is not None:
                second = other[elements]
                raw_nonzero[lines].add_(_nonzero_a_line(second))
                raw_squares[lines].add_(_squares_a_line(second))
                if self._block_sum is not None:
                    self._block_sum[elements].add_(second)
                part.sub_(second)
            if self._exact is not None:
                self._exact.subtract_from(part, elements.start)
            nonzero[lines] = _nonzero_a_line(part)
            squares[lines] = _squares_a_line(part)
            self._histogram.update(part, first)
        self._sums[row, :2].index_add_(1, self._line_cells, self._line_sums[:2].double())
        self._sums[row, 2:].index_add_(1, self._line_cells, self._line_sums[2:].double())
        if row + 1 == len(self._blocks) or self._blocks[row + 1] != self._blocks[row]:
            self._close_block(int(self._blocks[row]))
        self._signs.apply()
        torch.index_select(self._flat, 0, self._positions, out=self._coordinates[row])
        self._coordinates[row] *= self._coordinate_signs
        self._buckets[row] = bucket_sums(self._flat, self._line_cells, self._layout.n_cells)

    def _close_block(self, block: int) -> None:
        if self._block_sum is not None:
            squares = _squares_a_line(self._block_sum).double()
            self._block_squares[block].index_add_(0, self._line_cells, squares)
            self._block_sum.zero_()

    def finish(
        self,
        groups: tuple[Group, ...],
        positions: list[NDArray[np.int64]],
        n_projections: int,
    ) -> tuple[GroupSketch, ...]:
        """Copy the rows to the host once and sum cells into groups."""
        layout = self._layout
        coordinates = self._coordinates.cpu().numpy()
        buckets = self._buckets.cpu().numpy()
        sums = self._sums.cpu().numpy()
        block_squares = self._block_squares.cpu().numpy()
        gradients_a_row = 2 if self._pair else 1
        reference_squares = (
            np.full(layout.n_cells, np.nan)
            if self._exact is None
            else self._exact.squares(self._line_cells, layout.n_cells).cpu().numpy()
        )
        histogram = self._histogram.compute()
        ends = np.cumsum([len(part) for part in positions])
        sketches = []
        for index, group in enumerate(groups):
            cells = np.flatnonzero(layout.membership[index])
            numel = int(layout.cell_numels[cells].sum())
            p = n_projections_of(numel, n_projections)
            mixed = buckets[:, cells].sum(axis=1)
            tensor = np.searchsorted(layout.starts, positions[index], side="right") - 1
            raw_nonzero, nonzero, raw_squares, squares = sums[:, :, cells].sum(axis=2).T
            elements = max(numel, 1)
            sketches.append(
                GroupSketch(
                    name=group.name,
                    n_parameters=numel,
                    coordinates=coordinates[:, ends[index] - len(positions[index]) : ends[index]],
                    positions=np.stack([tensor, positions[index] - layout.starts[tensor]], axis=1),
                    projections=projections_from_buckets(mixed, p)
                    if p
                    else np.empty((len(mixed), 0), np.float32),
                    norms=np.sqrt(squares),
                    gradient_squares=raw_squares,
                    block_squares=block_squares[:, cells].sum(axis=1),
                    reference_square=float(reference_squares[cells].sum()),
                    gradient_zero_shares=1 - raw_nonzero / (gradients_a_row * elements),
                    noise_zero_shares=1 - nonzero / elements,
                    histogram=histogram[cells].sum(axis=0),
                )
            )
        return tuple(sketches)


def _nonzero_a_line(part: torch.Tensor) -> torch.Tensor:
    # A sign is -1, 0 or 1 (NaN for NaN, which must surface): exact counts without a sync.
    return part.sign().abs_().view(-1, LINE).sum(dim=1)


def _squares_a_line(part: torch.Tensor) -> torch.Tensor:
    norms: torch.Tensor = torch.linalg.vector_norm(part.view(-1, LINE), dim=1)
    return norms.square_()
