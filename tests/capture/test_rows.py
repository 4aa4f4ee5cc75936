from __future__ import annotations

import numpy as np
import pytest
import torch

from noise_lens.capture.rows import RING_BYTES, Rows, ring_rows, row_bytes

FIELDS = [((3,), torch.float32), ((2, 4), torch.float64)]


def filled(device, n_rows=10):
    rows = Rows(n_rows, FIELDS, torch.device(device))
    for index in range(n_rows):
        one, two = rows.open(index)
        assert not one.any()
        one += index
        two[1] += 2 * index
        rows.close(index)
    return rows.arrays()


def test_rows_come_back_in_order():
    one, two = filled("cpu")
    assert np.array_equal(one, np.repeat(np.arange(10, dtype=np.float32), 3).reshape(10, 3))
    assert np.array_equal(two[:, 1, 0], 2 * np.arange(10))
    assert not two[:, 0].any()


@pytest.mark.parametrize("slots", [1, 3, 5, 10, 20])
def test_a_ring_hands_over_every_row(monkeypatch, slots):
    """The path of a GPU, on a device that is not told from one: any number of rows a ring."""
    monkeypatch.setattr("noise_lens.capture.rows.RING_BYTES", slots * row_bytes(FIELDS))
    monkeypatch.setattr("noise_lens.capture.rows._writes_directly", lambda device: False)
    one, two = filled("cpu")
    assert np.array_equal(one[:, 0], np.arange(10))
    assert np.array_equal(two[:, 1, 3], 2 * np.arange(10))


def test_a_ring_is_bounded():
    assert ring_rows(10**6, FIELDS) * row_bytes(FIELDS) <= RING_BYTES
    assert ring_rows(7, FIELDS) == 7
    assert ring_rows(7, [((RING_BYTES,), torch.float64)]) == 1
