"""A bounded ring of rows on the device, spooled to the host without stopping it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

HALF = 16
"""Rows of one half of the ring: while one is filled, the other is on its way to the host."""


@dataclass(frozen=True)
class TrainingRows:
    """Rows of training gradients, in the order in which they came.

    Attributes
    ----------
    values : ndarray of shape (k, d)
        Sampled coordinates of single micro-batches, float32; zero where a parameter took no part.
    norms : ndarray of shape (k, T)
        Euclidean norm of each tensor's gradient; zero where it took no part.
    steps : ndarray of shape (k,)
        Optimizer steps done when each was computed: equal numbers, equal weights.
    """

    values: NDArray[np.float32]
    norms: NDArray[np.float32]
    steps: NDArray[np.int64]


class Arrival(NamedTuple):
    """How a row was filled: tensors in the order of their hooks, which is not the model's."""

    step: int
    order: tuple[int, ...]


class RowRing:
    """Two halves of rows; a full half is copied while the other one is filled.

    Nothing waits for the device: a half is read on the host when the other half is full, and its
    copy is done long before.

    Parameters
    ----------
    counts : sequence of int
        Coordinates of each tensor.
    device : torch.device
        Where gradients are.
    on_rows : callable
        Called with :class:`TrainingRows`.
    """

    def __init__(
        self, counts: list[int], device: torch.device, on_rows: Callable[[TrainingRows], None]
    ) -> None:
        self._counts = np.array(counts, dtype=np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self._counts)]).astype(np.int64)
        self._on_rows = on_rows
        width, tensors = int(self._starts[-1]), len(counts)
        self._cuda = device.type == "cuda"
        halves = 2 if self._cuda else 1  # a host's own memory needs no copy
        self._values = torch.zeros(halves, HALF, width, device=device)
        self._norms = torch.zeros(halves, HALF, tensors, device=device)
        if self._cuda:
            self._landed = torch.zeros(2, HALF, width, pin_memory=True)
            self._landed_norms = torch.zeros(2, HALF, tensors, pin_memory=True)
            self._events = [torch.cuda.Event() for _ in range(2)]
        self._arrivals: list[list[Arrival]] = [[], []]
        self._half = self._row = 0

    @property
    def state_bytes(self) -> int:
        """Bytes on the device."""
        return 4 * (self._values.numel() + self._norms.numel())

    @property
    def host_bytes(self) -> int:
        """Bytes of pinned memory on the host."""
        return self.state_bytes if self._cuda else 0

    def row(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the present row and its norms, views to be filled in the order of arrival."""
        return self._values[self._half, self._row], self._norms[self._half, self._row]

    def advance(self, arrival: Arrival) -> None:
        """End the present row.

        Parameters
        ----------
        arrival : Arrival
            How it was filled.
        """
        self._arrivals[self._half].append(arrival)
        self._row += 1
        if self._row < HALF:
            return
        self._row = 0
        if not self._cuda:
            self._deliver(0, self._values[0], self._norms[0])
            return
        self._send(self._half)
        self._half = 1 - self._half
        self._collect(self._half)  # its copy was sent sixteen rows ago

    def drain(self) -> None:
        """Hand over every row; waits for the device."""
        if self._cuda:
            self._collect(1 - self._half)
            self._send(self._half)
            self._collect(self._half)
        else:
            self._deliver(0, self._values[0], self._norms[0])
        self._row = 0

    def drop(self) -> None:
        """Forget the rows that were not handed over."""
        self._arrivals = [[], []]
        self._row = 0

    def _send(self, half: int) -> None:
        self._landed[half].copy_(self._values[half], non_blocking=True)
        self._landed_norms[half].copy_(self._norms[half], non_blocking=True)
        self._events[half].record()

    def _collect(self, half: int) -> None:
        if self._arrivals[half]:
            self._events[half].synchronize()
            self._deliver(half, self._landed[half], self._landed_norms[half])

    def _deliver(self, half: int, values: torch.Tensor, norms: torch.Tensor) -> None:
        arrivals, self._arrivals[half] = self._arrivals[half], []
        if not arrivals:
            return
        rows = np.zeros((len(arrivals), int(self._starts[-1])), dtype=np.float32)
        sizes = np.zeros((len(arrivals), len(self._counts)), dtype=np.float32)
        came, lengths = values.numpy(), norms.numpy()
        first = 0
        for order, alike in itertools.groupby(arrivals, key=lambda arrival: arrival.order):
            lines = slice(first, first := first + sum(1 for _ in alike))
            sizes[lines, list(order)] = lengths[lines, : len(order)]
            stop = 0
            for tensor in order:
                start, stop = stop, stop + int(self._counts[tensor])
                columns = slice(int(self._starts[tensor]), int(self._starts[tensor + 1]))
                rows[lines, columns] = came[lines, start:stop]
        steps = np.array([arrival.step for arrival in arrivals], dtype=np.int64)
        self._on_rows(TrainingRows(rows, sizes, steps))
