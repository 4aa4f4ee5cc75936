"""A probe: a burst of minibatch gradients at frozen weights, kept as a sketch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from noise_lens.capture.budget import memory_budget
from noise_lens.capture.coordinates import sample_coordinates
from noise_lens.capture.gradients import Loss, MinibatchGradients, trainable_parameters
from noise_lens.capture.groups import Group, GroupSpec, build_groups
from noise_lens.capture.histogram import LogHistogram
from noise_lens.capture.layout import LINE, Layout, build_layout
from noise_lens.capture.preserve import Mode, preserved
from noise_lens.capture.projections import (
    Signs,
    bucket_sums,
    n_projections_of,
    projections_from_buckets,
)
from noise_lens.capture.reference import (
    ExactReference,
    Minibatches,
    choose_reference,
    mean_gradient,
)
from noise_lens.capture.seeding import derived_seed
from noise_lens.errors import CaptureError

FEWEST_MINIBATCHES = 50
_CPU_CHUNK_LINES = 1_024  # 65,536 elements: four passes over a chunk stay in the cache
_GPU_CHUNK_LINES = 65_536


@dataclass(frozen=True)
class GroupSketch:
    """What a probe keeps of one group; NumPy arrays, R rows.

    Attributes
    ----------
    name : str
        The group.
    n_parameters : int
        Its elements.
    coordinates : ndarray of shape (R, d)
        Noise of the sampled coordinates, float32, in the gradient's unit.
    positions : ndarray of shape (d, 2)
        Number of the tensor in the probe's `tensors`, and the index in it.
    projections : ndarray of shape (R, P)
        Sums of all coordinates with random signs, float32.
    norms : ndarray of shape (R,)
        Euclidean norm of the noise.
    gradient_zero_shares : ndarray of shape (R,)
        Exact zeros among the elements of each row's raw minibatch gradient, or of its two.
    noise_zero_shares : ndarray of shape (R,)
        Exact zeros among the elements of each row's noise.
    histogram : ndarray of shape (8192,)
        The log-histogram of all elements of all rows.
    """

    name: str
    n_parameters: int
    coordinates: NDArray[np.float32]
    positions: NDArray[np.int64]
    projections: NDArray[np.float32]
    norms: NDArray[np.float64]
    gradient_zero_shares: NDArray[np.float64]
    noise_zero_shares: NDArray[np.float64]
    histogram: NDArray[np.int64]


@dataclass(frozen=True)
class Sketch:
    """The result of a probe.

    Attributes
    ----------
    groups : tuple of GroupSketch
        ``all`` first.
    tensors : tuple of str
        Names that `positions` refer to.
    n_minibatches, batch_size : int
        What was drawn.
    reference, reference_reason : str
        What was subtracted, and why that.
    mode : str
        "train", "eval", or "as training".
    sampling : str
        How minibatches were drawn.
    losses : ndarray of shape (n_minibatches,)
        Minibatch losses at the frozen weights.
    budget : dict of str to int
        Bytes held on the device, line by line.
    """

    groups: tuple[GroupSketch, ...]
    tensors: tuple[str, ...]
    n_minibatches: int
    batch_size: int
    reference: str
    reference_reason: str
    mode: str
    sampling: str
    losses: NDArray[np.float64]
    budget: dict[str, int]


def probe(
    model: nn.Module,
    loss: Loss,
    data: Minibatches,
    *,
    n_minibatches: int = 1024,
    batch_size: int = 32,
    reference: str = "auto",
    groups: GroupSpec = "tensor",
    mode: Mode | Mapping[str, bool] = "train",
    seed: int = 0,
    sketch_seed: int | None = None,
    n_coordinates: int = 128,
    n_projections: int = 64,
    on_budget: Callable[[dict[str, int]], None] | None = None,
    on_minibatch: Callable[[int], None] | None = None,
) -> Sketch:
    """Capture the noise of minibatch gradients at the model's present weights.

    Weights, buffers, ``.grad``, modes and random states are afterwards what they were.

    Parameters
    ----------
    model : torch.nn.Module
        The model; its weights are not changed.
    loss : callable
        ``loss(model, batch)`` -> mean loss over the minibatch.
    data : Minibatches
        Where minibatches come from.
    n_minibatches : int
        M, at least 50.
    batch_size : int
        Examples a minibatch.
    reference : {"auto", "full", "pair", "mean"}
        What is subtracted; see the glossary.
    groups : str or sequence of str or mapping of str to str
        ``all`` and these; see :func:`~noise_lens.capture.groups.build_groups`.
    mode : {"train", "eval"} or mapping of str to bool
        Mode to measure in.
    seed : int
        Of the minibatches and of dropout.
    sketch_seed : int, optional
        Of the coordinates and the signs; `seed` if not given. Probes that are to be compared
        share it.
    n_coordinates : int
        d, sampled coordinates a group.
    n_projections : int
        P, random projections a group: a power of two, at most 64.
    on_budget : callable, optional
        Called with the memory budget before anything is allocated.
    on_minibatch : callable, optional
        Called with 1 after each minibatch.

    Returns
    -------
    Sketch
        R = M rows, or M // 2 for "pair".

    Raises
    ------
    CaptureError
        Fewer than 50 minibatches, or gradients that cannot be captured as asked.
    """
    if n_minibatches < FEWEST_MINIBATCHES:
        raise CaptureError(
            f"a probe needs at least {FEWEST_MINIBATCHES} minibatches, got {n_minibatches}. "
            "About 1000 can support a statement, fewer can only reject one."
        )
    if batch_size < 1:
        raise CaptureError(f"batch_size must be at least 1, got {batch_size}")
    if n_coordinates < 1 or n_projections not in (1, 2, 4, 8, 16, 32, 64):
        raise CaptureError(
            "a sketch needs n_coordinates >= 1 and n_projections a power of two up to 64, "
            f"got {n_coordinates} and {n_projections}"
        )
    parameters = trainable_parameters(model)
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    built = build_groups(list(shapes), groups)
    layout = build_layout(shapes, built)
    gradients = MinibatchGradients(model, loss, layout)
    sketch_seed = seed if sketch_seed is None else sketch_seed
    minibatch_seed = derived_seed(seed, "minibatches")
    model_seed = derived_seed(seed, "model")

    with preserved(model, mode, model_seed):
        chosen, reason = choose_reference(reference, gradients, model, data, batch_size)
        n_rows = n_minibatches // 2 if chosen == "pair" else n_minibatches
        positions = [
            sample_coordinates(layout, group, n_coordinates, sketch_seed) for group in built
        ]
        budget = memory_budget(
            layout, n_rows=n_rows, n_coordinates=sum(map(len, positions)), reference=chosen
        )
        if on_budget is not None:
            on_budget(budget)
        exact: ExactReference | None = None
        if chosen == "full":
            exact = mean_gradient(gradients, layout, data.whole(max(batch_size, 256)))
        elif chosen == "mean":
            torch.manual_seed(model_seed)
            drawn = data.draw(n_minibatches, batch_size, minibatch_seed)
            exact = mean_gradient(gradients, layout, ((batch, 1) for batch in drawn))
        torch.manual_seed(model_seed)  # dropout sees the same masks whatever came before
        recorder = _Recorder(
            layout, gradients, exact, np.concatenate(positions), n_rows, sketch_seed
        )
        minibatches = data.draw(n_minibatches, batch_size, minibatch_seed)
        losses = recorder.record(minibatches, n_minibatches, chosen == "pair", on_minibatch)
    _check_losses(losses)
    return Sketch(
        groups=recorder.finish(built, positions, n_projections),
        tensors=layout.names,
        n_minibatches=n_minibatches,
        batch_size=batch_size,
        reference=chosen,
        reference_reason=reason,
        mode=mode if isinstance(mode, str) else "as training",
        sampling=data.sampling,
        losses=losses,
        budget=budget,
    )


class _Recorder:
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
        self._histogram = LogHistogram(layout, device)
        self._line_cells = torch.from_numpy(
            np.repeat(np.arange(cells), np.diff(layout.cell_lines))
        ).to(device)
        self._positions = torch.from_numpy(positions).to(device)
        self._signs = Signs(layout, self._flat, seed)
        self._coordinates = torch.zeros(n_rows, len(positions), device=device)
        self._buckets = torch.zeros(n_rows, cells, LINE, device=device)
        self._squares = torch.zeros(n_rows, cells, device=device)
        self._nonzero = torch.zeros(n_rows, 2, cells, device=device)
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
        self._squares[row].index_add_(0, self._line_cells, squares)
        self._nonzero[row].index_add_(1, self._line_cells, self._line_stats[:2])
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
        squares = self._squares.cpu().numpy().astype(np.float64)
        nonzero = self._nonzero.cpu().numpy().astype(np.float64)
        histogram = self._histogram.compute()
        ends = np.cumsum([len(part) for part in positions])
        sketches = []
        for index, group in enumerate(groups):
            cells = np.flatnonzero(layout.membership[index])
            numel = int(layout.cell_numels[cells].sum())
            p = n_projections_of(numel, n_projections)
            mixed = buckets[:, cells].sum(axis=1)
            tensor = np.searchsorted(layout.starts, positions[index], side="right") - 1
            elements = numel * np.array([self._gradients_a_row, 1])
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


def _check_losses(losses: NDArray[np.float64]) -> None:
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad):
        raise CaptureError(
            f"the loss is not finite on {len(bad)} of {len(losses)} minibatches, first on number "
            f"{bad[0]}. Noise of a diverging model has no tail index: measure an earlier "
            "checkpoint, or mend the data."
        )
