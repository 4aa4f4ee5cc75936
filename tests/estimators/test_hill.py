from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from noise_lens import NotEnoughDataError, hill


def test_three_point_sample_by_hand():
    """Log-spacings 1 and 2 above the threshold average to 3/2."""
    assert hill(np.exp([0.0, 1.0, 2.0]), k=2).alpha == pytest.approx(2 / 3)


@pytest.mark.parametrize("alpha", [0.7, 1.5, 3.0])
def test_pareto_pivot_is_gamma(alpha, rng):
    """k * alpha / estimate follows Gamma(k, 1) exactly, at any n; false alarm 1e-3 each."""
    k, n, repeats = 20, 200, 1000
    estimates = hill(rng.pareto(alpha, size=(n, repeats)) + 1, k).alpha
    assert stats.kstest(k * alpha / estimates, stats.gamma(k).cdf).pvalue > 1e-3


def test_interval_covers_as_it_says(rng):
    """2000 exact intervals at 95 %: between 93.4 and 96.6 %, false alarm 1e-3."""
    low, high = hill(rng.pareto(1.5, size=(200, 2000)) + 1, 20).confidence_interval()
    assert 0.934 < np.mean((low <= 1.5) & (high >= 1.5)) < 0.966


def test_columns_are_estimated_one_by_one(rng):
    x = rng.standard_t(3, size=(300, 4))
    together = hill(x, 30)
    alone = [hill(x[:, column], 30) for column in range(4)]
    assert together.alpha == pytest.approx([one.alpha for one in alone])
    assert together.standard_error == pytest.approx(together.alpha / np.sqrt(30))


def test_scale_signs_and_zeros_do_not_matter(rng):
    x = rng.standard_t(3, size=300)
    mixed = np.concatenate([-7.5 * x, np.zeros(50)])
    assert hill(mixed, 30).alpha == pytest.approx(hill(x, 30).alpha)
    assert (hill(mixed, 30).n, hill(mixed, 30).n_zero) == (300, 50)


def test_equal_largest_are_infinite():
    assert hill(np.array([1.0, 2.0, 5.0, 5.0, -5.0]), k=2).alpha == np.inf


@pytest.mark.parametrize("k", [0, -1, 5, 6, 2.5])
def test_k_out_of_range(k):
    with pytest.raises(ValueError, match=rf"1 <= k < n, got k={k} with n=5 samples"):
        hill(np.arange(5.0), k)


def test_too_few_non_zero():
    with pytest.raises(NotEnoughDataError, match="hill needs at least 3 non-zero samples, got 2"):
        hill(np.array([0.0, 0.0, 1.0, 2.0]), k=2)


def test_a_short_column_among_good_ones(rng):
    x = rng.standard_normal((50, 2))
    x[5:, 1] = 0
    found = hill(x, 10)
    assert np.isfinite(found.alpha[0])
    assert np.isnan(found.alpha[1])
    assert found.reasons == {1: "5 non-zero samples, hill with k=10 needs 11"}
