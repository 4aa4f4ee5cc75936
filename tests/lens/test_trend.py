from __future__ import annotations

import numpy as np
import pytest

from noise_lens.capture.groups import Group
from noise_lens.capture.passive import TrainingRows
from noise_lens.lens.trend import PAIRS, Trend


def trend_of(rows, steps, **options):
    """Feed rows of two tensors, of 3 and 2 columns, sixteen at a time."""
    windows = []
    groups = [Group("all", ("a", "b")), Group("first", ("a",))]
    trend = Trend(["a", "b"], [3, 2], groups, windows.append, **options)
    for start in range(0, len(rows), 16):
        part = rows[start : start + 16].astype(np.float32)
        norms = np.stack(
            [np.linalg.norm(part[:, :3], axis=1), np.linalg.norm(part[:, 3:], axis=1)], 1
        )
        trend.add(
            TrainingRows(part, norms.astype(np.float32), np.asarray(steps[start : start + 16]))
        )
    return windows, trend


@pytest.mark.parametrize("k", [2, 3, 5])
def test_under_accumulation_no_difference_crosses_a_step(rng, k):
    """Each step has a mean of its own, a thousand times the noise; an odd one out is left out."""
    n = 150 * k
    steps = np.arange(n) // k
    rows = 1000.0 * steps[:, None] + rng.standard_normal((n, 5))
    windows, _ = trend_of(rows, steps)
    assert windows[0]["differences"] == "at the same weights"
    assert windows[0]["n_rows"] == PAIRS
    assert windows[0]["last_step"] == -(-PAIRS // (k // 2))
    assert windows[0]["low"] < 2 <= windows[0]["high"]
    assert windows[0]["scale_spread"] < 0.2


def test_one_micro_batch_a_step_gives_differences_of_consecutive_weights(rng):
    windows, _ = trend_of(rng.standard_normal((2 * PAIRS, 5)), range(2 * PAIRS))
    assert [w["differences"] for w in windows] == ["of consecutive weights"]
    assert (windows[0]["first_step"], windows[0]["last_step"]) == (0, 2 * PAIRS)


def test_evaluations_of_one_step_of_lbfgs_are_not_at_the_same_weights(rng):
    steps = np.arange(2 * PAIRS) // 4
    rows = rng.standard_normal((2 * PAIRS, 5))
    windows, _ = trend_of(rows, steps, same_weights_in_a_step=False)
    assert windows[0]["differences"] == "of consecutive weights"


def test_a_dropped_step_is_no_accumulation(rng):
    """The step count stands still over a row that overflowed; pairs go on across steps."""
    rows = rng.standard_normal((300, 5))
    rows[7] = np.inf
    steps = np.arange(300)
    steps[8:] -= 1
    windows, _ = trend_of(rows, steps)
    assert windows[0]["n_not_finite"] == 1
    assert windows[0]["differences"] == "of consecutive weights"


def test_the_numbers_of_a_window_by_hand(rng):
    rows = rng.standard_normal((2 * PAIRS, 5))
    rows[:, 1] = 0  # a dead coordinate
    rows[:, 2] = np.round(rows[:, 2])  # values that repeat
    (window,), trend = trend_of(rows, range(2 * PAIRS))
    differences = (rows[::2] - rows[1::2]).astype(np.float32)
    assert window["zero_share"] == pytest.approx((differences == 0).mean())
    rms = np.sqrt((differences[:, [0, 2, 3, 4]] ** 2).sum(axis=0))
    assert window["scale_spread"] == pytest.approx(np.log(rms).std(), rel=1e-5)
    assert window["gradient_norm"] == pytest.approx(np.linalg.norm(rows, axis=1).mean(), rel=1e-5)
    rounded = np.abs(differences[differences[:, 2] != 0, 2])
    repeated = len(rounded) - len(np.unique(rounded))
    assert window["tie_share"] == pytest.approx(repeated / (differences != 0).sum())
    assert set(window["groups"]) == {"first"}
    assert np.array_equal(trend.rows["rows"], rows.astype(np.float32))
    assert trend.rows["steps"].tolist() == list(range(2 * PAIRS))


def test_a_window_under_way_is_ended_if_it_says_anything(rng):
    for n, found in ((60, 0), (64, 1)):
        windows, trend = trend_of(rng.standard_normal((n, 5)), range(n))
        trend.finish(n)
        assert len(windows) == found
    assert windows[0]["n_rows"] == 32
