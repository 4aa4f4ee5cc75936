from __future__ import annotations

import numpy as np
import pytest

from noise_lens import SymmetricStable, aggregation_curve, pooled


def test_first_level_is_the_pooled_estimate(rng):
    rows = rng.laplace(size=(400, 20))
    curve = aggregation_curve(rows, np.random.default_rng(0))
    assert curve.alpha[0] == pytest.approx(pooled(rows).alpha)


def test_stable_rows_are_flat():
    """20 data sets of stable(1.5): |drift| / error averages below 1.3 (half-normal: 0.80,
    standard error .14; false alarm 2e-4).
    """
    ratios = []
    for seed in range(20):
        rng = np.random.default_rng([3, seed])
        rows = SymmetricStable(1.5).rvs((1000, 50), rng) * np.exp(rng.standard_normal(50))
        curve = aggregation_curve(rows, rng)
        assert curve.block_sizes.tolist() == [1, 2, 4, 8, 16]
        ratios.append(abs(curve.drift) / curve.drift_standard_error)
    assert np.mean(ratios) < 1.3


def test_finite_variance_rises_to_two(rng):
    """Laplace noise: 1.6 alone, close to 2 in sums of 16, a drift of many errors."""
    curve = aggregation_curve(rng.laplace(size=(1000, 50)), rng)
    assert curve.alpha[0] < 1.7
    assert curve.alpha[-1] > 1.95
    assert curve.drift > 5 * curve.drift_standard_error


@pytest.mark.parametrize(
    ("shape", "sizes"), [((40, 30), [1]), ((200, 64), [1, 2, 4]), ((1000, 4), [1, 2, 4, 8])]
)
def test_largest_block_leaves_enough(shape, sizes, rng):
    """50 blocks and 400 entries at least, whatever is fewer."""
    assert aggregation_curve(rng.standard_normal(shape), rng).block_sizes.tolist() == sizes


def test_the_curve_ends_where_sums_say_nothing():
    """Sparse rows that have an estimate have a curve, if only of one point. Zeros count in it: the
    law that is summed is heavier than that of its non-zero values.
    """
    for seed in range(30):
        rng = np.random.default_rng(seed)
        rows = rng.standard_normal((500, 3))
        rows[rng.random(rows.shape) < 0.93] = 0
        assert aggregation_curve(rows, rng).alpha[0] < 1.2 < 1.7 < pooled(rows).alpha


def test_same_generator_same_curve(rng):
    rows = rng.standard_t(3, size=(300, 10))
    one, two = (aggregation_curve(rows, np.random.default_rng(1)) for _ in range(2))
    assert np.array_equal(one.alpha, two.alpha)
