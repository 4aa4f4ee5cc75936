"""Windows: all gradients of a minibatch pass through one small buffer, a window at a time.

A window is a stretch of the layout. Large tensors are cut, small ones share a window, so that the
number of kernel launches depends on the size of all gradients together and not on how many
tensors there are, and no buffer grows with the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from noise_lens.capture.layout import LINE, Layout
from noise_lens.capture.projections import BANK_LENGTH

CPU_WINDOW = 131_072
"""Elements: a dozen passes over a window stay in the cache."""

GPU_WINDOW = 524_288
"""Elements: enough to fill a GPU, and what a probe holds stays below 20 MB."""


@dataclass(frozen=True)
class Piece:
    """Part of one tensor in a window, at most as long as the bank of signs.

    Attributes
    ----------
    tensor : int
        Its number in the layout.
    start, stop : int
        Elements of what is held of it, flattened in row-major order.
    target : int
        Where the piece begins in the window.
    whole : bool
        Whether it is all of the tensor.
    """

    tensor: int
    start: int
    stop: int
    target: int
    whole: bool


@dataclass(frozen=True)
class Window:
    """A stretch of the layout, whole lines.

    Attributes
    ----------
    number : int
        Windows count from 0.
    start, stop : int
        Its places in the layout.
    pieces : tuple of Piece
        What lies in it, without overlap.
    holes : tuple of (int, int)
        Stretches of padding, begin and end in the window.
    cells : tuple of int
        Cells that its lines belong to, in order.
    cell_lines : ndarray
        First line in the window of each of them, and the end.
    """

    number: int
    start: int
    stop: int
    pieces: tuple[Piece, ...]
    holes: tuple[tuple[int, int], ...]
    cells: tuple[int, ...]
    cell_lines: NDArray[np.int64]

    @property
    def n_lines(self) -> int:
        """Number of its lines."""
        return (self.stop - self.start) // LINE


def window_length(layout: Layout, device: torch.device) -> int:
    """Return the places of every window but the last, which may be shorter.

    Parameters
    ----------
    layout : Layout
        What is cut.
    device : torch.device
        Where the windows lie.

    Returns
    -------
    int
        A multiple of 64.
    """
    return max(LINE, min(layout.size, CPU_WINDOW if device.type == "cpu" else GPU_WINDOW))


def plan_windows(layout: Layout, length: int) -> tuple[Window, ...]:
    """Cut a layout into windows.

    Parameters
    ----------
    layout : Layout
        What to cut.
    length : int
        Places a window, a multiple of 64.

    Returns
    -------
    tuple of Window
        In order; together they are the layout.
    """
    ends = layout.starts + layout.numels
    windows = []
    for number, start in enumerate(range(0, layout.size, length)):
        stop = min(start + length, layout.size)
        pieces, holes, reached = [], [], 0
        for tensor in range(int(np.searchsorted(ends, start, side="right")), len(ends)):
            first, last = int(layout.starts[tensor]), int(ends[tensor])
            if first >= stop:
                break
            if first == last:
                continue
            for begin in range(max(first, start), min(last, stop), BANK_LENGTH):
                end = min(begin + BANK_LENGTH, last, stop)
                whole = begin == first and end == last
                pieces.append(Piece(tensor, begin - first, end - first, begin - start, whole))
            if first - start > reached:
                holes.append((reached, first - start))
            reached = min(last, stop) - start
        if reached < stop - start:
            holes.append((reached, stop - start))
        lines = np.clip(layout.cell_lines * LINE, start, stop) - start
        cells = np.flatnonzero(np.diff(lines))
        cell_lines = np.append(lines[cells], stop - start) // LINE
        windows.append(
            Window(
                number, start, stop, tuple(pieces), tuple(holes), tuple(cells.tolist()), cell_lines
            )
        )
    return tuple(windows)


class Stage:
    """Copies what lies in a window into a buffer.

    Parameters
    ----------
    windows : sequence of Window
        Of the layout.
    buffer : torch.Tensor
        Flat, float32; of each window it holds all gradients, one after another.
    n_gradients : int
        Minibatch gradients that are looked at side by side.
    """

    def __init__(self, windows: Sequence[Window], buffer: torch.Tensor, n_gradients: int) -> None:
        kept: dict[tuple[int, int], torch.Tensor] = {}  # most windows of a large tensor share one

        def view(start: int, length: int) -> torch.Tensor:
            if (start, length) not in kept:
                kept[start, length] = buffer[start : start + length]
            return kept[start, length]

        self._targets: list[list[list[torch.Tensor]]] = []
        self._holes: list[list[torch.Tensor]] = []
        for window in windows:
            size = window.stop - window.start
            rows = [size * number for number in range(n_gradients)]
            self._targets.append(
                [[view(row + p.target, p.stop - p.start) for p in window.pieces] for row in rows]
            )
            self._holes.append([view(row + a, b - a) for row in rows for a, b in window.holes])

    def fill(
        self, window: Window, gradients: Sequence[Sequence[torch.Tensor | None]]
    ) -> list[torch.Tensor]:
        """Copy what lies in a window; padding and tensors without a gradient become 0.

        Parameters
        ----------
        window : Window
            Which part.
        gradients : sequence of sequence of torch.Tensor or None
            Of each minibatch, the gradient of each tensor of the layout, in any type and with
            any strides.

        Returns
        -------
        list of torch.Tensor
            The first gradient's pieces in the buffer, flat.
        """
        empty = self._holes[window.number]
        targets: dict[torch.dtype, list[torch.Tensor]] = {}
        sources: dict[torch.dtype, list[torch.Tensor]] = {}
        for views, minibatch in zip(self._targets[window.number], gradients, strict=True):
            for piece, target in zip(window.pieces, views, strict=True):
                gradient = minibatch[piece.tensor]
                if gradient is None:
                    empty = [*empty, target]
                elif gradient.is_contiguous():
                    # Flat, because one call for many tensors needs equal strides on a GPU, and
                    # by type, because it needs sources of one type.
                    flat = gradient.view(-1)
                    if not piece.whole:
                        flat = flat[piece.start : piece.stop]
                    targets.setdefault(gradient.dtype, []).append(target)
                    sources.setdefault(gradient.dtype, []).append(flat)
                else:
                    _copy_range(target, gradient, piece.start, piece.stop)
        for kind, views in targets.items():
            torch._foreach_copy_(views, sources[kind])
        if empty:
            torch._foreach_zero_(empty)
        return self.pieces(window)

    def pieces(self, window: Window) -> list[torch.Tensor]:
        """Return the first gradient's pieces of a window in the buffer, flat."""
        return self._targets[window.number][0]


def _copy_range(target: torch.Tensor, gradient: torch.Tensor, start: int, stop: int) -> None:
    """Copy elements `start` to `stop` of row-major order out of a tensor of any strides.

    Only boxes of it are read: flattening it would copy the whole.
    """
    if gradient.dim() == 1:
        target.copy_(gradient[start:stop])
        return
    row = gradient[0].numel()
    (first, head), (last, tail) = divmod(start, row), divmod(stop, row)
    if first == last:
        _copy_range(target, gradient[first], head, tail)
        return
    done = 0
    if head:
        done = row - head
        _copy_range(target[:done], gradient[first], head, row)
        first += 1
    middle = gradient[first:last]
    target[done : done + middle.numel()].view(middle.shape).copy_(middle)
    if tail:
        _copy_range(target[len(target) - tail :], gradient[last], 0, tail)
