"""How a minibatch gradient becomes a row of a sketch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from noise_lens.capture.cells import CellSums
from noise_lens.capture.groups import Group
from noise_lens.capture.histogram import CellHistograms
from noise_lens.capture.layout import LINE, Layout
from noise_lens.capture.projections import Signs, n_projections_of, projections_from_buckets
from noise_lens.capture.published import PublishedEstimator
from noise_lens.capture.reference import ExactReference, Reference
from noise_lens.capture.rows import Field, Rows
from noise_lens.capture.sketch import GroupSketch
from noise_lens.capture.windows import Stage, Window, plan_windows, window_length
from noise_lens.capture.workspace import Buffers, Workspace
from noise_lens.inference.jackknife import group_labels


class Recorder:
    """Makes rows of noise: each minibatch passes through one window after another.

    Parameters
    ----------
    layout : Layout
        Of the gradients.
    device : torch.device
        Where they are.
    exact : ExactReference or None
        What is subtracted; None for "pair", and for vectors that are noise already.
    positions : ndarray of shape (d,)
        Places in the layout of all groups' coordinates, one group after another.
    n_rows : int
        Rows to come.
    seed : int
        Of the signs.
    reference : {"full", "pair", "mean"}
        What is subtracted.
    block_sums : bool
        Whether sums of gradients are kept for their squared norms.
    published : PublishedEstimator, optional
        Is given all noise, in the layout's order.
    """

    def __init__(
        self,
        layout: Layout,
        device: torch.device,
        exact: ExactReference | None,
        positions: NDArray[np.int64],
        n_rows: int,
        seed: int,
        reference: Reference,
        block_sums: bool = True,
        published: PublishedEstimator | None = None,
    ) -> None:
        self._layout, self._exact, self._published = layout, exact, published
        self._pair = reference == "pair"
        self._waiting: list[Sequence[torch.Tensor | None]] = []
        self._n_filled = 0
        length = window_length(layout, device)
        self._windows = plan_windows(layout, length)
        self._sums = CellSums(layout, device)
        self._signs = Signs(layout, self._windows, device, seed)
        self._histogram = CellHistograms(layout, self._sums)
        buffers = Buffers(length, 2 if self._pair else 1, device)
        self._stage = Stage(self._windows, buffers.gradients, buffers.n_gradients)
        sizes = {window.stop - window.start for window in self._windows}
        self._spaces = {size: Workspace(buffers, size) for size in sizes}
        self._rows = Rows(n_rows, row_fields(layout, len(positions), reference), device)
        # Rising places, so that those of a window lie together; `unsort` puts groups in order.
        order = np.argsort(positions, kind="stable")
        borders = [window.start for window in self._windows] + [layout.size]
        picked = np.searchsorted(positions[order], borders).tolist()
        places = torch.from_numpy(positions[order] % length).to(device)
        self._unsort = torch.from_numpy(np.argsort(order)).to(device)
        self._sorted = torch.zeros(len(positions), device=device)
        self._picked = [
            (places[start:stop], self._sorted[start:stop]) if start < stop else None
            for start, stop in pairwise(picked)
        ]
        # Squared norms of sums of many gradients give |G|**2 where no full gradient does.
        self._blocks = group_labels(n_rows)
        n_blocks = int(self._blocks[-1]) + 1 if keeps_blocks(reference, block_sums) else 0
        self._block_sum = torch.zeros(layout.size, device=device) if n_blocks else None
        self._block_squares = torch.zeros(
            n_blocks, layout.n_cells, dtype=torch.float64, device=device
        )

    @torch.no_grad()
    def update(self, vector: Sequence[torch.Tensor | None]) -> None:
        """Add one minibatch's vector; only queues work on the device.

        Parameters
        ----------
        vector : sequence of torch.Tensor or None
            One a parameter, in the layout's order; nobody may write to them before the next call.
            What comes after the last row is left.
        """
        self._waiting.append(vector)
        if len(self._waiting) == (2 if self._pair else 1):
            self._fill(self._n_filled, self._waiting)
            self._n_filled += 1
            # No gradient is held longer than it is needed: each is as large as the model.
            self._waiting.clear()

    def _fill(self, row: int, minibatches: Sequence[Sequence[torch.Tensor | None]]) -> None:
        coordinates, buckets, sums = self._rows.open(row)
        for window in self._windows:
            pieces = self._stage.fill(window, minibatches)
            self._fill_window(window, pieces, buckets, sums)
        torch.index_select(self._sorted, 0, self._unsort, out=coordinates)
        self._rows.close(row)
        if row + 1 == len(self._blocks) or self._blocks[row + 1] != self._blocks[row]:
            self._close_block(int(self._blocks[row]))

    def _fill_window(
        self,
        window: Window,
        pieces: list[torch.Tensor],
        buckets: torch.Tensor,
        sums: torch.Tensor,
    ) -> None:
        space = self._spaces[window.stop - window.start]
        space.measure_raw()
        if self._block_sum is not None:
            block = self._block_sum[window.start : window.stop]
            for gradient in space.raw:
                block.add_(gradient)
        if self._pair:
            space.noise.sub_(space.raw[1])
        if self._exact is not None:
            self._exact.subtract_from(space.noise, window)
        if self._published is not None:
            for piece in window.pieces:
                length = piece.stop - piece.start
                self._published.update(space.noise[piece.target : piece.target + length])
        space.measure_noise()
        space.square()
        self._sums.add(sums, space.line_values, window)
        self._histogram.update(space, window)
        picked = self._picked[window.number]
        if picked is not None:
            torch.index_select(space.noise, 0, picked[0], out=picked[1])
        self._signs.apply(pieces, window)
        self._sums.add(buckets, space.noise_lines, window)

    def _close_block(self, block: int) -> None:
        if self._block_sum is None:
            return
        for window in self._windows:
            part = self._block_sum[window.start : window.stop].view(-1, LINE)
            squares = torch.linalg.vector_norm(part, dim=1).square_()
            self._sums.add(self._block_squares[block], squares, window)
        self._block_sum.zero_()

    def finish(
        self,
        groups: tuple[Group, ...],
        positions: list[NDArray[np.int64]],
        n_projections: int,
    ) -> tuple[GroupSketch, ...]:
        """Wait for the rows and sum cells into groups.

        Parameters
        ----------
        groups : tuple of Group
            Of the layout.
        positions : list of ndarray
            Places of each group's coordinates.
        n_projections : int
            The most projections a group.

        Returns
        -------
        tuple of GroupSketch
            One a group.
        """
        layout = self._layout
        coordinates, buckets, sums = self._rows.arrays()
        n = 2 if self._pair else 1  # gradients a row
        block_squares = self._block_squares.cpu().numpy()
        reference_squares = (
            np.full(layout.n_cells, np.nan)
            if self._exact is None
            else self._exact.squares(self._sums, layout.n_cells).cpu().numpy()
        )
        histogram = self._histogram.compute()
        ends = np.cumsum([len(part) for part in positions])
        wholes = dict(zip(layout.names, layout.wholes.tolist(), strict=True))
        sketches = []
        for index, group in enumerate(groups):
            cells = np.flatnonzero(layout.membership[index])
            numel = int(layout.cell_numels[cells].sum())
            p = n_projections_of(sum(wholes[name] for name in group.parameters), n_projections)
            mixed = buckets[:, cells].sum(axis=1)
            own = sums[:, cells].sum(axis=1)
            raw_nonzero, nonzero = own[:, :n].sum(axis=1), own[:, n]
            raw_squares, squares = own[:, n + 1 : -1].sum(axis=1), own[:, -1]
            # A NaN counts as not zero: where there is one, the share is not known.
            raw_nonzero[np.isnan(raw_squares)] = np.nan
            nonzero[np.isnan(squares)] = np.nan
            elements = max(numel, 1)
            sketches.append(
                GroupSketch(
                    name=group.name,
                    n_parameters=numel,
                    coordinates=coordinates[:, ends[index] - len(positions[index]) : ends[index]],
                    positions=layout.indices(positions[index]),
                    projections=projections_from_buckets(mixed, p)
                    if p
                    else np.empty((len(mixed), 0), np.float32),
                    norms=np.sqrt(squares),
                    gradient_squares=raw_squares,
                    block_squares=block_squares[:, cells].sum(axis=1),
                    reference_square=float(reference_squares[cells].sum()),
                    gradient_zero_shares=1 - raw_nonzero / (n * elements),
                    noise_zero_shares=1 - nonzero / elements,
                    histogram=histogram[cells].sum(axis=0),
                )
            )
        return tuple(sketches)


def row_fields(layout: Layout, n_coordinates: int, reference: str) -> list[Field]:
    """Return what a row holds: coordinates, bucket sums, and counts and squares a cell.

    Parameters
    ----------
    layout : Layout
        Its cells.
    n_coordinates : int
        Of all groups.
    reference : {"full", "pair", "mean"}
        What is subtracted.

    Returns
    -------
    list of (shape, dtype)
        Counts of elements that are not zero come first, then squared norms: of the raw
        gradients and of the noise, in float64, because float32 stops counting at 2**24.
    """
    n_sums = 6 if reference == "pair" else 4
    return [
        ((n_coordinates,), torch.float32),
        ((layout.n_cells, LINE), torch.float32),
        ((layout.n_cells, n_sums), torch.float64),
    ]


def keeps_blocks(reference: str, block_sums: bool) -> bool:
    """Return whether a sum of gradients is kept: a full gradient needs none."""
    return block_sums and reference != "full"
