from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from noise_lens import SymmetricStable


def test_cauchy_is_alpha_one():
    """At alpha = 1 the survival function is that of scipy's Cauchy, five digits into the tail."""
    x = np.concatenate([-np.geomspace(0.01, 1e3, 40), [0.0], np.geomspace(0.01, 1e6, 60)])
    ours = SymmetricStable(1.0, 2.0).sf(x)
    assert ours == pytest.approx(stats.cauchy(scale=2).sf(x), rel=1e-12)
    assert SymmetricStable(1.0, 2.0).logpdf(x) == pytest.approx(
        stats.cauchy(scale=2).logpdf(x), rel=1e-12
    )


def test_gaussian_is_alpha_two():
    """sigma is the stable one: at alpha = 2 the variance is 2 sigma**2."""
    x = np.linspace(-8, 8, 33)
    assert SymmetricStable(2.0, 1.5).sf(x) == pytest.approx(
        stats.norm(scale=1.5 * np.sqrt(2)).sf(x), rel=1e-10
    )
    assert SymmetricStable(2.0, 1.5).logpdf(x) == pytest.approx(
        stats.norm(scale=1.5 * np.sqrt(2)).logpdf(x), rel=1e-12
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


ALPHAS = [0.4, 0.5, 0.7, 0.9, 1.0, 1.01, 1.2, 1.5, 1.8, 1.95, 1.999, 2.0]


@pytest.mark.parametrize("alpha", ALPHAS)
def test_draws_follow_the_law(alpha, rng):
    """Kolmogorov-Smirnov of 100,000 draws against the cdf; false alarm 1e-3 each, 1.2e-2 in all."""
    law = SymmetricStable(alpha, 3.0)
    assert stats.kstest(law.rvs(100_000, rng), law.cdf).pvalue > 1e-3


@pytest.mark.parametrize("alpha", ALPHAS)
def test_quantiles_undo_the_distribution_function(alpha):
    law = SymmetricStable(alpha, 0.2)
    share = np.array([1e-9, 0.01, 0.3, 0.5, 0.7, 0.999])
    assert law.cdf(law.ppf(share)) == pytest.approx(share, rel=1e-9)
    assert law.ppf(0.3) == pytest.approx(-law.ppf(0.7))


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.3, 1.9, 2.0])
def test_density_is_the_derivative_of_the_distribution_function(alpha):
    """Simpson's rule over the density between points gives the difference of the cdf."""
    law = SymmetricStable(alpha, 2.0)
    for low, high in [(-1.0, 0.5), (0.5, 4.0), (8.0, 30.0)]:
        x = np.linspace(low, high, 4001)
        h = x[1] - x[0]
        density = law.pdf(x)
        area = (
            h / 3 * (density[0] + density[-1] + 4 * density[1::2].sum() + 2 * density[2:-1:2].sum())
        )
        assert area == pytest.approx(float(law.cdf(high) - law.cdf(low)), abs=1e-7)


def test_the_special_laws_are_the_limits_of_their_neighbours():
    x = np.array([0.0, 0.3, 1.0, 3.0, 5.0])
    for alpha, near in [(1.0, 1 + 1e-9), (1.0, 1 - 1e-9), (2.0, 2 - 1e-9)]:
        assert SymmetricStable(near).logpdf(x) == pytest.approx(
            SymmetricStable(alpha).logpdf(x), abs=1e-6
        )


@pytest.mark.parametrize("alpha", [0.6, 1.0, 1.7, 2.0])
def test_points_at_the_ends(alpha):
    """inf has density 0, NaN stays NaN, and 1e300 does not overflow on the way."""
    law = SymmetricStable(alpha)
    assert law.logpdf([np.inf, -np.inf]).tolist() == [-np.inf, -np.inf]
    assert np.isnan(law.logpdf(np.nan))
    assert law.cdf([-np.inf, np.inf]).tolist() == [0, 1]
    if alpha < 2:
        expected = -(1 + alpha) * np.log(1e300)
        assert law.logpdf(1e300) == pytest.approx(expected, abs=2)


def test_scale_and_shape():
    law = SymmetricStable(1.6, 5.0)
    x = np.arange(6.0).reshape(2, 3)
    assert law.logpdf(x) == pytest.approx(SymmetricStable(1.6).logpdf(x / 5) - np.log(5))
    assert law.pdf(x).shape == law.cdf(x).shape == (2, 3)
    assert law.logpdf(1).shape == ()
    assert law.pdf(x) == pytest.approx(np.exp(law.logpdf(x)))


@pytest.mark.parametrize("alpha", [0.7, 1.0, 1.5, 2.0])
def test_log_moments(alpha, rng):
    """Mean and variance of log|X| of 200,000 draws; 4 standard errors, false alarm 1e-4 each."""
    logs = np.log(np.abs(SymmetricStable(alpha, 3.0).rvs(200_000, rng)))
    mean, variance = SymmetricStable(alpha, 3.0).log_moments()
    assert abs(logs.mean() - mean) < 4 * np.sqrt(variance / len(logs))
    spread = np.std((logs - logs.mean()) ** 2) / np.sqrt(len(logs))
    assert abs(logs.var() - variance) < 4 * spread


def test_fisher_information():
    """Cauchy: 1/2 on log sigma; the Cramer-Rao errors of statistics published beside it."""
    cauchy = SymmetricStable(1.0, 4.0).fisher_information()
    assert cauchy[1, 1] * 16 == pytest.approx(0.5, rel=1e-5)
    known = {0.8: 0.854, 1.0: 1.103, 1.2: 1.325, 1.5: 1.535, 1.8: 1.383, 1.9: 1.127, 1.95: 0.884}
    for alpha, deviation in known.items():
        information = SymmetricStable(alpha).fisher_information()
        assert np.sqrt(np.linalg.inv(information)[0, 0]) == pytest.approx(deviation, abs=6e-4)
    assert np.array_equal(SymmetricStable(2.0, 2.0).fisher_information(), [[np.inf, 0], [0, 0.5]])


@pytest.mark.parametrize("alpha", [1.0, 1.6])
def test_fisher_information_is_the_variance_of_the_score(alpha, rng):
    """From 400,000 draws and differences of logpdf, to four errors; false alarm 2.4e-4 each."""
    x = SymmetricStable(alpha, 2.0).rvs(400_000, rng)
    h = 1e-4
    scores = np.stack(
        [
            SymmetricStable(alpha + h, 2.0).logpdf(x) - SymmetricStable(alpha - h, 2.0).logpdf(x),
            SymmetricStable(alpha, 2 + h).logpdf(x) - SymmetricStable(alpha, 2 - h).logpdf(x),
        ]
    ) / (2 * h)
    products = scores[:, None, :] * scores[None, :, :]
    error = products.std(axis=-1) / np.sqrt(products.shape[-1])
    expected = SymmetricStable(alpha, 2.0).fisher_information()
    assert np.all(np.abs(products.mean(axis=-1) - expected) < 4 * error)


def test_frozen_is_scipys_law():
    """The same law in scipy's words: the densities agree to scipy's own error near 1e-6."""
    law = SymmetricStable(1.7, 3.0)
    x = np.array([0.5, 2.0, 10.0, 40.0])
    assert law.frozen().pdf(x) == pytest.approx(law.pdf(x), rel=1e-6)
    assert law.frozen().ppf([0.6, 0.9]) == pytest.approx(law.ppf([0.6, 0.9]), rel=1e-5)


@pytest.mark.parametrize("share", [0, 1, -0.1, np.nan])
def test_probabilities_out_of_range(share):
    with pytest.raises(ValueError, match="probabilities must lie between 0 and 1"):
        SymmetricStable(1.5).ppf([0.5, share])


def test_characteristic_function():
    law = SymmetricStable(1.5, 2.0)
    assert law.characteristic_function([0.0, 0.5, -0.5]) == pytest.approx(
        [1.0, np.exp(-1), np.exp(-1)]
    )


@pytest.mark.parametrize(
    ("alpha", "sigma"),
    [(0.3, 1), (2.1, 1), (np.nan, 1), (1.5, 0), (1.5, -1), (1.5, np.inf), (1.5, np.nan)],
)
def test_parameters_out_of_range(alpha, sigma):
    with pytest.raises(ValueError, match=r"alpha must lie in \[0.4, 2\]|sigma must be positive"):
        SymmetricStable(alpha, sigma)
