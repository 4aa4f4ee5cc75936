"""A bounded ring of rows on the device, spooled to the host without stopping it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

N_ROWS = 16
"""Rows that are sent to the host together."""


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
    """Rows on the device, sent to the host a few at a time.

    Nothing waits for the device: rows are copied to pinned memory in the stream's own order, so
    they may be overwritten at once, and are read there when the next ones have been sent.

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
        self._device, self._cuda = device, device.type == "cuda"
        self._width = int(self._starts[-1]) + len(counts)  # the norms stand behind
        self._rows: torch.Tensor | None = None
        if self._cuda:
            self._landed = torch.zeros(2, N_ROWS, self._width, pin_memory=True)
            new_event: Callable[..., torch.cuda.Event] = torch.cuda.Event
            self._events = [new_event() for _ in range(2)]
        self._arrivals: list[list[Arrival]] = [[], []]
        self._half = self._row = 0

    @property
    def state_bytes(self) -> int:
        """Bytes on the device."""
        return 4 * N_ROWS * self._width

    @property
    def host_bytes(self) -> int:
        """Bytes of pinned memory on the host."""
        return 2 * self.state_bytes if self._cuda else 0

    def row(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the present row and its norms, views to be filled in the order of arrival."""
        if self._rows is None:
            self._rows = torch.zeros(N_ROWS, self._width, device=self._device)
        row = self._rows[self._row]
        return row[: self._starts[-1]], row[self._starts[-1] :]

    def advance(self, arrival: Arrival) -> None:
        """End the present row.

        Parameters
        ----------
        arrival : Arrival
            How it was filled.
        """
        self._arrivals[self._half].append(arrival)
        self._row += 1
        if self._row == N_ROWS:
            self._send()
            if self._cuda:
                self._collect(self._half)  # sent sixteen rows ago

    def drain(self) -> None:
        """Hand over every row, and let go of the device's memory; waits for the device."""
        if self._row:
            self._send()
        if self._cuda:
            self._collect(self._half)
            self._collect(1 - self._half)
        self._rows = None

    def drop(self) -> None:
        """Forget the rows that were not handed over."""
        self._arrivals = [[], []]
        self._row = 0
        self._rows = None

    def _send(self) -> None:
        rows, self._row = self._rows, 0
        if rows is None:
            return
        if not self._cuda:
            self._deliver(0, rows)
            return
        self._landed[self._half].copy_(rows, non_blocking=True)
        self._events[self._half].record()
        self._half = 1 - self._half

    def _collect(self, half: int) -> None:
        if self._arrivals[half]:
            self._events[half].synchronize()
            self._deliver(half, self._landed[half])

    def _deliver(self, half: int, landed: torch.Tensor) -> None:
        arrivals, self._arrivals[half] = self._arrivals[half], []
        if not arrivals:
            return
        rows = np.zeros((len(arrivals), int(self._starts[-1])), dtype=np.float32)
        sizes = np.zeros((len(arrivals), len(self._counts)), dtype=np.float32)
        came, lengths = np.split(landed.numpy(), [int(self._starts[-1])], axis=1)
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
