from __future__ import annotations

import itertools

import numpy as np
import pytest

from noise_lens import SymmetricStable, theory

BETAS = (0.0, 0.1, 0.5, 0.9, 0.99, 0.999)
WINDOWS = (1, 2, 7, 44, 500)
CASES = list(itertools.product(BETAS, WINDOWS))


def recursion(beta, steps):
    """Weights as an optimizer makes them: m = beta m + (1 - beta) g, then / (1 - beta^t)."""
    moment = np.zeros(steps)
    for step in range(steps):
        moment *= beta
        moment[step] += 1 - beta
    return moment[::-1] / (1 - beta**steps)


@pytest.mark.parametrize(("beta", "window"), CASES)
def test_weights_are_those_of_the_recursion(beta, window):
    found = theory.ema_weights(beta, window)
    assert found == pytest.approx(recursion(beta, window), rel=1e-10)
    assert found.sum() == pytest.approx(1, rel=1e-12)
    assert np.all(np.diff(found) <= 0), "the newest first"


@pytest.mark.parametrize(("beta", "window"), CASES)
def test_closed_forms_are_the_sums(beta, window):
    """Each series summed term by term, to 1e-9."""
    w = recursion(beta, window)
    for alpha in (0.3, 1.0, 1.2, 1.5, 1.8, 2.0):
        ratio = theory.stable_scale_ratio(alpha, beta, window)
        assert ratio == pytest.approx(np.sum(w**alpha) ** (1 / alpha), rel=1e-9)
    factor = np.sum(w**4) / np.sum(w**2) ** 2
    assert theory.variance_factor(beta, window) == pytest.approx(np.sum(w**2), rel=1e-9)
    assert theory.excess_kurtosis_factor(beta, window) == pytest.approx(factor, rel=1e-9)
    assert theory.equivalent_minibatches(beta, window) == pytest.approx(1 / factor, rel=1e-9)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.99])
def test_no_window_is_the_limit_of_long_ones(beta):
    for alpha in (0.8, 1.5, 2.0):
        assert theory.stable_scale_ratio(alpha, beta) == pytest.approx(
            theory.stable_scale_ratio(alpha, beta, 10_000), rel=1e-12
        )
    limit = (1 - beta**2) / (1 + beta**2)
    assert theory.excess_kurtosis_factor(beta) == pytest.approx(limit, rel=1e-12)
    assert theory.variance_factor(beta) == pytest.approx((1 - beta) / (1 + beta), rel=1e-12)


@pytest.mark.parametrize(
    ("alpha", "ratio"), [(1.0, 1.0), (1.2, 0.590), (1.5, 0.360), (1.8, 0.265), (2.0, 0.229)]
)
def test_anchors_at_nine_tenths(alpha, ratio):
    """Worked out elsewhere, three digits."""
    assert theory.stable_scale_ratio(alpha, 0.9) == pytest.approx(ratio, abs=5e-4)


def test_anchors_of_the_kurtosis():
    assert theory.excess_kurtosis_factor(0.9) == pytest.approx(0.105, abs=5e-4)
    assert theory.equivalent_minibatches(0.9) == pytest.approx(9.5, abs=0.05)
    assert 1 / theory.variance_factor(0.9) == pytest.approx(19)


def test_near_one_it_is_the_plain_mean():
    """beta = 1 - 1e-13 over 10 minibatches is their mean; digits are not lost on the way."""
    beta = 1 - 1e-13
    assert theory.variance_factor(beta, 10) == pytest.approx(1 / 10, rel=1e-9)
    assert theory.equivalent_minibatches(beta, 10) == pytest.approx(10, rel=1e-9)
    assert theory.stable_scale_ratio(1.5, beta, 10) == pytest.approx(10 ** (1 / 1.5 - 1), rel=1e-9)


def test_at_two_the_scale_is_the_standard_deviation():
    ratio = theory.stable_scale_ratio(2, 0.9, 30)
    assert ratio**2 == pytest.approx(theory.variance_factor(0.9, 30), rel=1e-12)


def test_no_averaging_changes_nothing():
    for alpha in (0.5, 1.5, 2.0):
        assert theory.stable_scale_ratio(alpha, 0.0) == 1
        assert theory.stable_scale_ratio(alpha, 0.9, 1) == pytest.approx(1, rel=1e-12)
    assert theory.excess_kurtosis_factor(0.0) == 1
    assert theory.variance_factor(0.0, 5) == 1


def test_beyond_float64_is_infinite():
    assert theory.stable_scale_ratio(1e-3, 0.9) == np.inf


@pytest.mark.parametrize("alpha", [1.2, 1.5, 2.0])
def test_averages_of_stable_noise_follow_the_law(rng, alpha):
    """Quantiles of 20,000 averages against SymmetricStable(alpha, ratio).

    The count below a quantile is binomial; each of 12 counts within 4 standard deviations, so
    a false alarm comes in less than 1 of 1000 such tests.
    """
    beta, window, n = 0.9, 20, 20_000
    noise = SymmetricStable(alpha).rvs((n, window), rng)
    averages = noise @ theory.ema_weights(beta, window)
    law = SymmetricStable(alpha, theory.stable_scale_ratio(alpha, beta, window))
    below = law.cdf(averages)
    for share in (0.05, 0.25, 0.6, 0.95):
        error = np.sqrt(share * (1 - share) / n)
        assert abs(np.mean(below < share) - share) < 4 * error


def test_averages_of_laplace_noise_follow_the_cumulants(rng):
    """Laplace noise has excess kurtosis 3; 400 means over 1000 averages each, z below 4."""
    beta, window = 0.5, 12
    noise = rng.laplace(size=(400, 1000, window))
    averages = noise @ theory.ema_weights(beta, window)
    fourth, second = np.mean(averages**4, axis=1), 2 * theory.variance_factor(beta, window)
    found = fourth / second**2 - 3  # unbiased: the variance is known
    z = (found.mean() - 3 * theory.excess_kurtosis_factor(beta, window)) / (found.std() / 20)
    assert abs(z) < 4


@pytest.mark.parametrize("beta", [-0.1, 1.0, 1.5, np.nan])
def test_beta_out_of_range(beta):
    for function in (theory.variance_factor, theory.excess_kurtosis_factor):
        with pytest.raises(ValueError, match=r"beta must lie in \[0, 1\), got"):
            function(beta)
    with pytest.raises(ValueError, match="beta must lie"):
        theory.ema_weights(beta, 3)


@pytest.mark.parametrize("window", [0, -2, 2.5])
def test_window_out_of_range(window):
    with pytest.raises(ValueError, match=f"whole number of at least 1, got {window}"):
        theory.equivalent_minibatches(0.9, window)


@pytest.mark.parametrize("alpha", [0, -1, 2.01, np.nan])
def test_alpha_out_of_range(alpha):
    with pytest.raises(ValueError, match=r"alpha must lie in \(0, 2\], got"):
        theory.stable_scale_ratio(alpha, 0.9)
