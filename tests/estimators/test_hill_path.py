from __future__ import annotations

import numpy as np
import pytest

from noise_lens import (
    NotEnoughDataError,
    SamplesError,
    SymmetricStable,
    hill,
    hill_path,
    moment,
)


def test_every_point_is_hills_estimate(rng):
    x = rng.standard_t(3, 2000)
    x[:100] = 0
    path = hill_path(x, ks=[5, 40, 1500])
    for place, k in enumerate([5, 40, 1500]):
        one = hill(x, k)
        assert path.alpha[place] == pytest.approx(one.alpha)
        assert (path.low[place], path.high[place]) == pytest.approx(one.confidence_interval())
    assert path.n == 1900


def test_a_power_tail_is_flat_to_the_end(rng):
    """Of 100 Pareto samples the whole default path agrees in at least 90."""
    chosen = [hill_path(rng.pareto(1.5, 2000) + 1).choose_k() for _ in range(100)]
    assert np.mean([k == 400 for k in chosen]) > 0.9


def test_a_bias_stops_the_choice(rng):
    """Stable 1.8: at a fifth of the sample Hill reads above 2.3; the chosen k is smaller, and its
    estimate closer to the truth.
    """
    path = hill_path(SymmetricStable(1.8).rvs(100_000, rng))
    chosen = path.choose_k()
    assert chosen is not None
    assert chosen < 10_000
    at_chosen = path.alpha[path.k == chosen][0]
    assert abs(at_chosen - 1.8) < abs(path.alpha[-1] - 1.8)


def test_no_threshold_where_the_path_is_nowhere_flat():
    """Order statistics exp(700 / i**2): from k = 10 to 40 the index falls by a factor of four."""
    x = np.exp(700 / np.arange(1, 401) ** 2.0)
    assert hill_path(x).choose_k() is None


@pytest.mark.parametrize("draw", ["standard_normal", "laplace", "random"])
def test_light_tails_are_refused(draw, rng):
    """300 samples of 10,000 with tails lighter than any power: at most 20 get a k.

    The moment estimator's one-sided level is .5 %, plus the bias of Laplace at finite n.
    """
    chosen = [hill_path(getattr(rng, draw)(size=10_000)).choose_k() for _ in range(300)]
    assert sum(k is not None for k in chosen) <= 20


@pytest.mark.parametrize("alpha", [1.2, 1.5, 1.8])
def test_stable_tails_are_not_refused(alpha, rng):
    """200 samples of 10,000: at least 90 % get a k."""
    chosen = [hill_path(SymmetricStable(alpha).rvs(10_000, rng)).choose_k() for _ in range(200)]
    assert sum(k is not None for k in chosen) >= 180


def test_light_is_what_moment_says(rng):
    x = rng.standard_t(4, 3000)
    path = hill_path(x, ks=[30, 200, 600])
    expected = [np.isinf(moment(x, k).confidence_interval(0.99).high) for k in (30, 200, 600)]
    assert path.light.tolist() == expected


def test_ties_are_not_a_tail():
    """One magnitude, and three ties at the top: the index is 0, not rounding error of any sign."""
    path = hill_path(np.tile([3.0, 3.0, 3.0, 1.0, 2.0], 400))
    assert np.all((path.alpha > 0) | np.isinf(path.alpha))
    assert np.isinf(path.alpha[0])
    assert path.choose_k() is None


def test_errors(rng):
    with pytest.raises(SamplesError, match=r"one series of shape \(n,\), got shape \(100, 2\)"):
        hill_path(rng.standard_normal((100, 2)))
    with pytest.raises(NotEnoughDataError, match="at least 51 non-zero samples, got 50"):
        hill_path(rng.standard_normal(50))
    with pytest.raises(ValueError, match="got k=100 with n=100"):
        hill_path(rng.standard_normal(100), ks=[10, 100])
