from __future__ import annotations

import numpy as np
import pytest
import torch

from noise_lens.capture.passive.rows import N_ROWS, Arrival, RowRing

COUNTS = [3, 1, 2]


class FakeEvent:
    """Of a copy that takes as long as the next sixteen rows."""

    def __init__(self, ring):
        self.ring, self.sent_at = ring, None

    def record(self):
        self.sent_at = self.ring.n_rows

    def synchronize(self):
        self.ring.waited |= not self.ring.draining and self.ring.n_rows == self.sent_at


def ring(kept, on_device):
    found = RowRing(COUNTS, torch.device("cpu"), kept.append)
    if on_device:  # the path of a GPU: two landing places, filled in turn
        found._cuda = True
        found._landed = torch.zeros(2, N_ROWS, found._width)
        found._events = [FakeEvent(found), FakeEvent(found)]
    found.n_rows, found.waited, found.draining = 0, False, False
    return found


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("n", [1, 15, 16, 17, 32, 50])
def test_every_row_comes_once_and_in_order_whatever_the_order_of_tensors(n, on_device):
    kept = []
    rows = ring(kept, on_device)
    orders = [(0, 1, 2), (2, 1, 0), (1,), (2, 0)]
    expected = np.zeros((n, 6), np.float32)
    norms = np.zeros((n, 3), np.float32)
    columns = [slice(0, 3), slice(3, 4), slice(4, 6)]
    for index in range(n):
        order = orders[(index // 5) % 4]
        values, sizes = rows.row()
        at = 0
        for place, tensor in enumerate(order):
            part = torch.arange(COUNTS[tensor]) + 10 * tensor + 100 * index
            values[at : at + COUNTS[tensor]] = part
            sizes[place] = tensor + 1 + index
            expected[index, columns[tensor]] = part
            norms[index, tensor] = tensor + 1 + index
            at += COUNTS[tensor]
        rows.n_rows += 1
        rows.advance(Arrival(index // 3, order))
    rows.draining = True
    rows.drain()
    assert not rows.waited  # for a copy that was only just sent
    assert np.array_equal(np.concatenate([one.values for one in kept]), expected)
    assert np.array_equal(np.concatenate([one.norms for one in kept]), norms)
    steps = np.concatenate([one.steps for one in kept])
    assert steps.tolist() == [index // 3 for index in range(n)]


def test_a_drained_ring_holds_nothing_and_goes_on():
    kept = []
    rows = ring(kept, on_device=False)
    rows.row()[0][:] = 1
    rows.advance(Arrival(0, (0, 1, 2)))
    rows.drain()
    assert rows._rows is None
    rows.row()[0][:] = 2
    rows.advance(Arrival(1, (0, 1, 2)))
    rows.drain()
    assert [one.values[0, 0] for one in kept] == [1, 2]
