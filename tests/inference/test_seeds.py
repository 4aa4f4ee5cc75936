from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from noise_lens.inference.seeds import over_seeds


def test_several_seeds_give_students_interval():
    values = [1.5, 1.6, 1.8]
    found = over_seeds(values, values, values)
    error = np.std(values, ddof=1) / np.sqrt(3)
    assert (found.low, found.high) == pytest.approx(
        stats.t(2, np.mean(values), error).interval(0.95)
    )
    assert found.source.startswith("Student's t over 3 seeds")


def test_seeds_that_agree_keep_the_probes_width():
    """Three seeds at the limit have no spread; the interval is the average of the probes'."""
    found = over_seeds([2.0, 2.0, 2.0], [1.97, 1.98, 1.99], [2, 2, 2], upper=2.0)
    assert (found.low, found.high) == pytest.approx((1.98, 2.0))


def test_one_seed_keeps_the_probes_interval():
    found = over_seeds([1.5], [1.4], [1.7])
    assert (found.mean, found.low, found.high, found.n) == (1.5, 1.4, 1.7, 1)
    assert "one seed" in found.source


def test_infinite_estimates_are_averaged_as_their_reciprocals():
    found = over_seeds([np.inf, 2.0], [3, 1.5], [np.inf, 4.0], reciprocal=True)
    assert (found.mean, found.n) == (4.0, 2)
    assert found.high == np.inf
    assert 0 < found.low < 2


def test_missing_values_are_left_out():
    assert over_seeds([1.5, np.nan], [1.4, np.nan], [1.6, np.nan]).n == 1
    assert np.isnan(over_seeds([np.nan], [0], [0]).mean)


def test_cut_at_the_upper_end():
    assert over_seeds([1.9, 2.0], [1, 1], [2, 2], upper=2.0).high == 2.0
