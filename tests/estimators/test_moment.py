from __future__ import annotations

import numpy as np
import pytest

from noise_lens import SamplesError, moment


def test_three_points_by_hand():
    """Excesses 1 and 2: M1 = 3/2, M2 = 5/2, index 5/2 - 1 / (2 (1 - 9/10)) = -5/2."""
    found = moment(np.exp([0.0, 1.0, 2.0]), k=2)
    assert found.reciprocal == pytest.approx(-2.5)
    assert found.alpha == np.inf


@pytest.mark.parametrize("alpha", [1.0, 3.0])
def test_error_bar_is_right_on_a_power_tail(alpha, rng):
    """z-scores of 1/alpha over 1000 Pareto samples, k = 2000 of 10,000: mean 0, spread 1.

    False alarm 2e-3 each; bias of order 1/k adds at most .15 to the mean.
    """
    found = moment(rng.pareto(alpha, (10_000, 1000)) + 1, 2000)
    z = (found.reciprocal - 1 / alpha) / found.reciprocal_error
    assert abs(z.mean()) < 0.105 + 0.15
    assert abs(z.std() - 1) < 0.075


def test_a_light_tail_is_no_power_tail(rng):
    """Uniform: index -1. The interval rules a power tail out in nearly every of 200 samples."""
    found = moment(rng.random((5000, 200)), 500)
    assert np.all(np.isinf(found.alpha))
    assert found.reciprocal.mean() == pytest.approx(-1, abs=0.05)
    z = (found.reciprocal + 1) / found.reciprocal_error
    assert 0.8 < z.std() < 1.2
    low, high = found.confidence_interval()
    assert np.isinf(low).mean() > 0.99
    assert np.isinf(high).all()


def test_exponential_tail_is_not_ruled_out_as_light(rng):
    """Laplace: index 0, so the upper end is inf in about 97 % of samples (bias helps)."""
    high = moment(rng.laplace(size=(20_000, 200)), 200).confidence_interval().high
    assert np.isinf(high).mean() > 0.85


def test_equal_largest_have_a_reason(rng):
    x = rng.standard_normal((100, 2))
    x[:50, 1] = 7.0
    found = moment(x, 10)
    assert np.isnan(found.alpha[1])
    assert found.reasons == {1: "the 10 largest magnitudes are equal"}


def test_equal_largest_alone_are_an_error():
    x = np.append(np.random.default_rng(0).random(100), np.full(50, 3.0))
    with pytest.raises(SamplesError, match="got 10 equal ones above the threshold"):
        moment(x, 10)


@pytest.mark.parametrize("k", [0, 1, 400, 2.5, True])
def test_k_out_of_range(k):
    with pytest.raises(ValueError, match=rf"2 <= k < n, got k={k} with n=400 samples"):
        moment(np.random.default_rng(0).standard_normal(400), k)
