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
from noise_lens.capture.reference import ExactReference
from noise_lens.capture.sketch import GroupSketch

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
        # float64: float32 stops counting at 2**24 elements
        self._squares = torch.zeros(n_rows, cells, dtype=torch.float64, device=device)
        self._nonzero = torch.zeros(n_rows, 2, cells, dtype=torch.float64, device=device)
        self._gradients_a_row = 1
        self._line_stats = torch.zeros(3, layout.size // LINE, device=device)
        self._chunk = _CPU_CHUNK_LINES if device.type == "cpu" else _GPU_CHUNK_LINES
        # Coordinates are gathered after signing; a second sign takes the first away.
        self._coordinate_signs = self._signs.at(self._flat, self._positions)
        self._flat.zero_()

    def record(
        self,
        minibatches: Iterator[Any],
        n_minibatches: int,
        pair: bool,
        on_minibatch: Callable[[int], None] | None,
    ) -> NDArray[np.float64]:
        """Fill all rows; only queues work on the device, then copies the losses once."""
        device = self._gradients.device
        losses = torch.zeros(n_minibatches, dtype=torch.float64, device=device)
        other = torch.zeros_like(self._flat) if pair else None
        other_views = self._layout.views(other) if other is not None else []
        self._gradients_a_row = 2 if pair else 1
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
        raw, nonzero, squares = self._line_stats
        raw.zero_()
        for first in range(0, len(self._line_cells), self._chunk):
            lines = slice(first, min(first + self._chunk, len(self._line_cells)))
            elements = slice(lines.start * LINE, lines.stop * LINE)
            part = self._flat[elements]
            raw[lines] += _nonzero_a_line(part)
            if other is not None:
                raw[lines] += _nonzero_a_line(other[elements])
                part.sub_(other[elements])
            if self._exact is not None:
                self._exact.subtract_from(part, elements.start)
            nonzero[lines] = _nonzero_a_line(part)
            squares[lines] = torch.linalg.vector_norm(part.view(-1, LINE), dim=1).square_()
            self._histogram.update(part, first)
        self._squares[row].index_add_(0, self._line_cells, squares.double())
        self._nonzero[row].index_add_(1, self._line_cells, self._line_stats[:2].double())
        self._signs.apply()
        torch.index_select(self._flat, 0, self._positions, out=self._coordinates[row])
        self._coordinates[row] *= self._coordinate_signs
        self._buckets[row] = bucket_sums(self._flat, self._line_cells, self._layout.n_cells)

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
        squares = self._squares.cpu().numpy()
        nonzero = self._nonzero.cpu().numpy()
        histogram = self._histogram.compute()
        ends = np.cumsum([len(part) for part in positions])
        sketches = []
        for index, group in enumerate(groups):
            cells = np.flatnonzero(layout.membership[index])
            numel = int(layout.cell_numels[cells].sum())
            p = n_projections_of(numel, n_projections)
            mixed = buckets[:, cells].sum(axis=1)
            tensor = np.searchsorted(layout.starts, positions[index], side="right") - 1
            elements = max(numel, 1) * np.array([self._gradients_a_row, 1])
            shares = 1 - nonzero[:, :, cells].sum(axis=2) / elements
            sketches.append(
                GroupSketch(
                    name=group.name,
                    n_parameters=numel,
                    coordinates=coordinates[:, ends[index] - len(positions[index]) : ends[index]],
                    positions=np.stack([tensor, positions[index] - layout.starts[tensor]], axis=1),
                    projections=projections_from_buckets(mixed, p)
                    if p
                    else np.empty((len(mixed), 0), np.float32),
                    norms=np.sqrt(squares[:, cells].sum(axis=1)),
                    gradient_zero_shares=shares[:, 0],
                    noise_zero_shares=shares[:, 1],
                    histogram=histogram[cells].sum(axis=0),
                )
            )
        return tuple(sketches)


def _nonzero_a_line(part: torch.Tensor) -> torch.Tensor:
    # A sign is -1, 0 or 1 (NaN for NaN, which must surface): exact counts without a sync.
    return part.sign().abs_().view(-1, LINE).sum(dim=1)
