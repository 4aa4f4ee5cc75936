from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from noise_lens import SymmetricStable


def test_cauchy_is_alpha_one():
    """At alpha = 1 the survival function is that of scipy's Cauchy, five digits into the tail."""
    x = np.concatenate([-np.geomspace(0.01, 1e3, 40), [0.0], np.geomspace(0.01, 1e6, 60)])
    ours = SymmetricStable(1.0, 2.0).sf(x)
    assert ours == pytest.approx(stats.cauchy(scale=2).sf(x), rel=1e-4, abs=1e-12)


def test_gaussian_is_alpha_two():
    """sigma is the stable one: at alpha = 2 the variance is 2 sigma**2."""
    x = np.linspace(-8, 8, 33)
    assert SymmetricStable(2.0, 1.5).sf(x) == pytest.approx(
        stats.norm(scale=1.5 * np.sqrt(2)).sf(x), rel=1e-10
    )


@pytest.mark.parametrize("alpha", [0.5, 0.8, 1.2, 1.5, 1.8, 1.95])
def test_survival_against_scipy(alpha):
    """Where scipy's quadrature is right (x between .5 and 30), both agree to 1e-6."""
    x = np.array([0.5, 1.0, 2.0, 5.0, 10.0, 30.0])
    assert SymmetricStable(alpha).sf(x) == pytest.approx(
        stats.levy_stable(alpha, 0).sf(x), rel=1e-6
    )


@pytest.mark.parametrize("alpha", [0.6, 1.0, 1.3, 1.7, 1.95])
def test_tail_constant(alpha):
    """Far out the survival function is Gamma(alpha) sin(pi alpha / 2) / pi x**-alpha."""
    x = np.array([1e9, 1e11]) ** (1 / alpha)
    expected = special.gamma(alpha) * np.sin(np.pi * alpha / 2) / np.pi * x**-alpha

    assert SymmetricStable(alpha).sf(x) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("alpha", [0.7, 1.0, 1.5, 1.9, 2.0])
def test_draws_follow_the_law(alpha, rng):
    """Kolmogorov-Smirnov of 20,000 draws against the survival function; false alarm 1e-3."""
    law = SymmetricStable(alpha, 3.0)
    draws = law.rvs(20_000, rng)
    assert stats.kstest(draws, lambda x: 1 - law.sf(x)).pvalue > 1e-3


def test_characteristic_function():
    law = SymmetricStable(1.5, 2.0)
    assert law.characteristic_function([0.0, 0.5, -0.5]) == pytest.approx(
        [1.0, np.exp(-1), np.exp(-1)]
    )


@pytest.mark.parametrize(
    ("alpha", "sigma"), [(0.3, 1), (2.1, 1), (1.5, 0), (1.5, -1), (1.5, np.inf)]
)
def test_parameters_out_of_range(alpha, sigma):
    with pytest.raises(ValueError, match=r"alpha must lie in \[0.4, 2\]|sigma must be positive"):
        SymmetricStable(alpha, sigma)
