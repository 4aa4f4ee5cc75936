"""Rows of a sketch on their way from the device to the host."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from numpy.typing import NDArray

RING_BYTES = 2**21

Field = tuple[tuple[int, ...], torch.dtype]
"""Shape of one row, and its type."""


class Rows:
    """Arrays on the host that are filled row by row on a device.

    On a CPU a row is written where it stays. On a GPU rows collect in a ring of at most 2 MB
    (one row, where that is more), and a full ring goes to pinned memory without a wait. That copy
    is queued on the stream that fills the ring, so it ends before the ring is written again, and
    no event is needed.

    Parameters
    ----------
    n_rows : int
        Rows in all; each is opened once, in order.
    fields : sequence of (shape, dtype)
        What a row holds.
    device : torch.device
        Where rows are filled.
    """

    def __init__(self, n_rows: int, fields: Sequence[Field], device: torch.device) -> None:
        self._device, self._n_rows = device, n_rows
        self._direct = _writes_directly(device)
        self._pinned = device.type == "cuda"
        self._host = [
            torch.zeros(n_rows, *shape, dtype=dtype, pin_memory=self._pinned)
            for shape, dtype in fields
        ]
        self._n_slots = n_rows if self._direct else ring_rows(n_rows, fields)
        self._ring = (
            self._host
            if self._direct
            else [
                torch.zeros(self._n_slots, *shape, dtype=dtype, device=device)
                for shape, dtype in fields
            ]
        )

    def open(self, row: int) -> list[torch.Tensor]:
        """Return the fields of a row on the device, all zero."""
        fields = [field[row % self._n_slots] for field in self._ring]
        if row >= self._n_slots:
            for field in fields:
                field.zero_()
        return fields

    def close(self, row: int) -> None:
        """End a row; hands a full ring over."""
        slots = row % self._n_slots + 1
        if self._direct or (slots < self._n_slots and row + 1 < self._n_rows):
            return
        for host, ring in zip(self._host, self._ring, strict=True):
            host[row + 1 - slots : row + 1].copy_(ring[:slots], non_blocking=self._pinned)

    def arrays(self) -> list[NDArray[Any]]:
        """Return all rows, a field each, shape (n_rows, ...); waits for the device."""
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()
        return [field.numpy() for field in self._host]


def _writes_directly(device: torch.device) -> bool:
    return device.type == "cpu"


def row_bytes(fields: Sequence[Field]) -> int:
    """Return the bytes of one row."""
    return sum(prod(shape) * dtype.itemsize for shape, dtype in fields)


def ring_rows(n_rows: int, fields: Sequence[Field]) -> int:
    """Return how many rows the ring of a GPU holds."""
    return max(1, min(n_rows, RING_BYTES // max(row_bytes(fields), 1)))
