"""Tensor hooks on the parameters: each micro-batch's own gradient, as training computes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from noise_lens.capture.passive.every import EveryCoordinate
from noise_lens.capture.passive.picks import choose_picks
from noise_lens.capture.passive.rows import Arrival, RowRing, TrainingRows
from noise_lens.capture.passive.shards import IndexPick, local_part, whole_shape
from noise_lens.capture.passive.taps import Taps

_HELD_BYTES = 8 * 2**20
"""Gradients that may wait to be read together: fewer launches, bounded memory."""

Scale = Callable[[], "torch.Tensor | None"]


class PassiveCapture:
    """Reads training's gradients where each is computed: in tensor hooks.

    A hook sees the gradient of one micro-batch, on this rank: before accumulation, clipping and
    any reduction between ranks, but after a loss scale, which is divided out. Hooks return
    nothing and keep views, never copies, so training goes on with the same bits. Views of up to
    8 MB wait for one gather and one norm call; what waits is read at the end of the backward
    pass at the latest. Where something wrote into a gradient before that (an optimizer step
    inside the backward pass), rows are marked lost and from then on every hook reads at once.

    Parameters
    ----------
    parameters : mapping of str to Parameter
        What is watched, by the name that tables show; on one device.
    n_coordinates : int
        Coordinates of all parameters together; at least two a tensor are taken.
    seed : int
        Of the choice of coordinates.
    on_rows : callable
        Called with :class:`TrainingRows` of 16 rows or fewer.
    on_problem : callable
        Called with an exception once, after which the capture is off: training goes on.
    scale : callable, optional
        Returns the loss scale as a tensor on the device, or None.
    loss_divisor : float
        What the loop divides the loss of a micro-batch by.
    every : EveryCoordinate, optional
        Also fed with gradients, each tensor's ``Taps.own``.
    taps : Taps, optional
        Where gradients are seen; in hooks on the parameters if not given.

    Attributes
    ----------
    picks : tuple of Pick
        The coordinates of each tensor, in the columns' order, as they are seen on this rank.
    names : tuple of str
        The tensors, in the order of `picks`.
    n_lost : int
        Rows that were dropped because something wrote into a gradient before it was read.
    n_rows_since_step : int
        Rows that were ended since the last step.
    weights_moved : bool
        Whether something wrote to the first parameter between two rows of one step.
    micro_batches_a_step : int
        Rows of the last step; 0 where no gradient came.
    loss_divisor : float
        As given; may be changed between micro-batches.
    not_read : set of str
        Tensors whose gradients came in another placement than their parameters: partial sums.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        *,
        n_coordinates: int,
        seed: int,
        on_rows: Callable[[TrainingRows], None],
        on_problem: Callable[[Exception], None],
        scale: Scale | None = None,
        loss_divisor: float = 1.0,
        every: EveryCoordinate | None = None,
        taps: Taps | None = None,
    ) -> None:
        self.taps = taps or Taps(parameters)
        shapes = {name: whole_shape(parameter) for name, parameter in parameters.items()}
        self._whole = choose_picks(shapes, n_coordinates, seed)
        self.names = tuple(pick.name for pick in self._whole)
        self.picks = tuple(self.taps.pick(pick) for pick in self._whole)
        self._placements = [self.taps.placements(name) for name in self.names]
        self._distributed = any(self._placements)
        self._own = [self.taps.own(name) for name in self.names]
        self.not_read: set[str] = set()
        self._ring = RowRing([pick.count for pick in self.picks], self.taps.device, on_rows)
        self._on_problem = on_problem
        self._scale, self.loss_divisor, self._every = scale, loss_divisor, every
        self.n_lost = 0
        self._marker = parameters[self.names[0]]
        self._version = self._marker._version
        self.weights_moved = False
        self._kinds: set[torch.dtype] = set()
        self._held: list[tuple[int, torch.Tensor, int]] = []  # tensor, gradient, its version
        self._held_bytes = 0
        self._bytes = [4 * shapes[name].numel() for name in self.names]
        self._order: list[int] = []
        self._there: set[int] = set()
        self._filled = 0
        self._lost = False
        self._task = -1
        self._step = 0
        self.n_rows_since_step = 0
        self.micro_batches_a_step = 1
        self._indices: dict[int, tuple[torch.Tensor, ...]] = {}
        # Where training itself writes into gradients inside the backward pass, read at once.
        self._at_once = self.taps.at_once
        self._handles: list[Any] = self.taps.register(
            [(name, self._hook(index)) for index, name in enumerate(self.names)]
        )

    @property
    def dtypes(self) -> set[str]:
        """Types of the gradients that were seen."""
        return {str(kind).removeprefix("torch.") for kind in self._kinds}

    @property
    def state_bytes(self) -> int:
        """Bytes held on the device between steps."""
        every = 0 if self._every is None else self._every.state_bytes
        return self._ring.state_bytes + every

    @property
    def host_bytes(self) -> int:
        """Bytes of pinned memory on the host."""
        return self._ring.host_bytes

    @property
    def positions(self) -> list[NDArray[np.int64]]:
        """Indices of the kept coordinates in each whole tensor that is held here in full."""
        return [pick.positions for pick in self._whole]

    def end_step(self) -> int:
        """End the row of the last micro-batch of an optimizer step.

        Returns
        -------
        int
            Optimizer steps done.
        """
        self._guard(self._end_row)
        self.micro_batches_a_step = self.n_rows_since_step
        self.n_rows_since_step = 0
        self._step += 1
        return self._step

    def set_step(self, step: int) -> None:
        """Continue the count of a run that was resumed."""
        self._step = step

    def drain(self) -> None:
        """Hand over every row that is complete; waits for the device."""
        self._guard(self._end_row)
        self._guard(self._ring.drain)

    def remove(self) -> None:
        """Take the hooks away; rows that were not drained are forgotten."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._held.clear()
        self._ring.drop()

    def _hook(self, index: int) -> Callable[[torch.Tensor], None]:
        # Called once a tensor, between kernels that have emptied the caches: it does no more than
        # it must, and leaves all else to the reading of many.
        there, held, n_bytes = self._there, self._held, self._bytes[index]

        def see(gradient: torch.Tensor) -> None:
            try:
                if index in there:  # the next micro-batch begins
                    self._end_row()
                there.add(index)
                if not held:
                    self._announce()
                view = gradient.detach()
                held.append((index, view, view._version))
                self._held_bytes += n_bytes
                if self._held_bytes > _HELD_BYTES or self._at_once:
                    self._read()
            except Exception as error:
                self._fail(error)

        return see

    def _announce(self) -> None:
        """Have what will be held read at the end of this backward pass."""
        if len(self._there) == 1:  # a row begins
            version = self._marker._version
            self.weights_moved |= self.n_rows_since_step > 0 and version != self._version
            self._version = version
        task = torch._C._current_graph_task_id()
        if task < 0:
            self._at_once = True  # no backward pass: nothing would come back to it
        elif task != self._task:
            self._task = task
            torch.autograd.Variable._execution_engine.queue_callback(self._backward_ended)

    def _taken(self) -> tuple[list[int], list[torch.Tensor]]:
        """Return what was held and can be read, as it lies on this rank, and hold nothing."""
        which, gradients = [], []
        for index, gradient, version in self._held:
            if gradient._version != version:
                self._at_once = self._lost = True
            if gradient.layout != torch.strided:
                continue  # a sparse gradient has no fixed coordinates; its columns stay zero
            if self._distributed and self._is_elsewhere(index, gradient):
                continue
            which.append(index)
            gradients.append(local_part(gradient) if self._distributed else gradient)
        self._held.clear()  # the hooks have this very list
        self._held_bytes = 0
        return which, gradients

    def _is_elsewhere(self, index: int, gradient: torch.Tensor) -> bool:
        if getattr(gradient, "placements", None) == self._placements[index]:
            return False
        self.not_read.add(self.names[index])  # its columns stay zero
        return True

    def _guard(self, call: Callable[..., None], *arguments: Any) -> None:
        if not self._handles:
            return
        try:
            call(*arguments)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.remove()
        self._on_problem(error)

    def _backward_ended(self) -> None:
        self._guard(self._read)

    def _read(self) -> None:
        which, gradients = self._taken()
        if not which:
            return
        with torch.no_grad():
            self._gather(which, gradients)
            if self._every is not None and not self._lost:
                scale = None if self._scale is None else self._scale()
                if self.loss_divisor != 1:
                    one = torch.ones((), device=gradients[0].device) if scale is None else scale
                    scale = one / self.loss_divisor
                parts = [g.reshape(-1)[self._own[i]] for i, g in zip(which, gradients, strict=True)]
                self._every.update(
                    [(i, part) for i, part in zip(which, parts, strict=True) if len(part)], scale
                )

    def _gather(self, which: list[int], gradients: list[torch.Tensor]) -> None:
        values, norms = self._ring.row()
        pieces = [self._piece(i, g) for i, g in zip(which, gradients, strict=True)]
        first, n_before = self._filled, len(self._order)
        self._filled += sum(self.picks[i].count for i in which)
        self._order.extend(which)
        row, sizes = values[first : self._filled], norms[n_before : len(self._order)]
        kinds = {gradient.dtype for gradient in gradients}
        self._kinds |= kinds
        if kinds == {torch.float32}:
            torch.cat(pieces, out=row)
            torch.stack(torch._foreach_norm(gradients), out=sizes)
        else:
            row.copy_(torch.cat(pieces))
            found = torch._foreach_norm(gradients, 2, dtype=torch.float32)
            torch.stack([size.float() for size in found], out=sizes)
        scale = None if self._scale is None else self._scale()
        if scale is not None:
            row.div_(scale)
            sizes.div_(scale)
        if self.loss_divisor != 1:
            row.mul_(self.loss_divisor)
            sizes.mul_(self.loss_divisor)

    def _piece(self, index: int, gradient: torch.Tensor) -> torch.Tensor:
        pick = self.picks[index]
        if gradient.is_contiguous():
            if isinstance(pick, IndexPick):  # a shard by columns: no stretch of the whole
                return pick.view(gradient.view(-1))
            start = gradient.storage_offset() + pick.offset
            return gradient.as_strided((pick.count,), (pick.stride,), start)
        if index not in self._indices:  # another memory format: no copy of the whole
            places = np.unravel_index(pick.positions, tuple(gradient.shape))
            self._indices[index] = tuple(torch.from_numpy(p).to(gradient.device) for p in places)
        return gradient[self._indices[index]]

    def _end_row(self) -> None:
        self._read()  # nothing waits unless a backward pass broke off
        self.n_rows_since_step += bool(self._order)
        if self._order and self._lost:
            self.n_lost += 1
        elif self._order:
            self._ring.advance(Arrival(self._step, tuple(self._order)))
        self._order, self._filled, self._lost = [], 0, False
        self._there.clear()
