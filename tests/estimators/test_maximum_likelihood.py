from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from noise_lens import LogHistogram, NotEnoughDataError, SamplesError, SymmetricStable
from noise_lens import maximum_likelihood as fit
from noise_lens.estimators import binned_likelihood
from noise_lens.estimators._maximum_likelihood import bound_deviations


def unbinned(x):
    """An independent maximum: Nelder-Mead on the sum of logpdf over the samples themselves."""

    def loss(parameters):
        alpha = 2 - 1.6 * np.exp(-max(parameters[0], 0.0))
        alpha = float(np.clip(alpha, 0.4, 2 - 1e-6))
        return -SymmetricStable(alpha, np.exp(parameters[1])).logpdf(x).sum()

    starts = [(-np.log((2 - alpha) / 1.6), np.log(np.median(np.abs(x)))) for alpha in (1.2, 1.8)]
    options = {"xatol": 1e-8, "fatol": 1e-9, "maxiter": 2000}
    best = min(
        (optimize.minimize(loss, s, method="Nelder-Mead", options=options) for s in starts),
        key=lambda one: one.fun,
    )
    return 2 - 1.6 * np.exp(-best.x[0]), np.exp(best.x[1])


@pytest.mark.parametrize("alpha", [0.5, 0.8, 1.0, 1.5, 1.8, 1.95])
@pytest.mark.parametrize("n", [300, 20_000])
def test_binning_moves_the_estimate_by_a_fraction_of_its_error(alpha, n, rng):
    """The largest of eight differences is below 1/6 of the standard error."""
    x = SymmetricStable(alpha, 3.7).rvs((n, 8), rng)
    found = fit(x)
    expected = np.array([unbinned(column) for column in x.T])
    error = np.interp(alpha, *bound_deviations()) / np.sqrt(n)
    assert np.abs(found.alpha - expected[:, 0]).max() < error / 6
    assert found.sigma == pytest.approx(expected[:, 1], rel=0.2 / np.sqrt(n))


@pytest.mark.parametrize("alpha", [1.0, 1.5, 1.8])
def test_error_bar_is_right(alpha, rng):
    """z-scores over 1000 samples of n = 4000: mean 0, spread 1; false alarm 2e-3 each."""
    found = fit(SymmetricStable(alpha, 7.0).rvs((4000, 1000), rng))
    z = (found.alpha - alpha) / found.standard_error
    assert abs(z.mean()) < 0.105 + 0.03
    assert abs(z.std() - 1) < 0.075


@pytest.mark.parametrize("alpha", [1.2, 1.8, 1.95])
def test_interval_covers(alpha, rng):
    """2000 intervals at n = 1000: 93.4 to 96.6 % is 3.3 standard errors about 95 %."""
    low, high = fit(SymmetricStable(alpha).rvs((1000, 2000), rng)).confidence_interval()
    assert 0.934 < np.mean((low <= alpha) & (alpha <= high)) < 0.966 + 0.01


def test_spread_is_the_cramer_rao_bound(rng):
    """4000 samples of n = 1000: the spread is the bound within four errors (4.5 %)."""
    found = fit(SymmetricStable(1.5).rvs((1000, 4000), rng)).alpha
    assert found.std() == pytest.approx(1.5354 / np.sqrt(1000), rel=0.045)


def test_gaussian_is_two_and_its_interval_reaches_it(rng):
    found = fit(rng.standard_normal((1000, 300)))
    low, high = found.confidence_interval()
    assert np.mean(found.alpha == 2) > 0.5
    assert np.mean(high == 2) > 0.9
    assert np.all(high - low > 0.01)


def test_below_the_range_the_end_of_the_range_and_an_open_interval(rng):
    """The cube of a stable variable of index .6 has index .2: alpha ends at .4, open below."""
    found = fit(SymmetricStable(0.6).rvs(2000, rng) ** 3)
    assert found.alpha == pytest.approx(0.4, abs=1e-6)
    assert found.confidence_interval().low == 0


def test_a_scale_far_from_the_geometric_mean_is_found(rng):
    """Nearly half the samples are 2**-20 of the rest: the pilot moves to a maximum."""
    x = SymmetricStable(1.5).rvs(2000, rng)
    x[:900] *= 2.0**-20
    found = fit(x)
    law = SymmetricStable(float(found.alpha), float(found.sigma))
    for factor in (0.8, 1.25):
        other = SymmetricStable(law.alpha, factor * law.sigma)
        assert law.logpdf(x).sum() > other.logpdf(x).sum()


def test_of_a_log_histogram_it_is_that_of_the_samples(rng):
    x = SymmetricStable(1.6, 1e-5).rvs(5000, rng).astype(np.float32)
    bins = (np.abs(x).view(np.uint32) >> 18).astype(np.int64)
    histogram = LogHistogram(np.bincount(bins, minlength=8192))
    assert fit(histogram).alpha == pytest.approx(fit(x).alpha, rel=1e-12)
    assert fit(histogram).sigma == pytest.approx(fit(x).sigma, rel=1e-12)


def test_long_columns_are_cut_into_pieces(rng, monkeypatch):
    x = rng.standard_cauchy((3000, 2))
    expected = fit(x)
    monkeypatch.setattr(binned_likelihood, "_CHUNK", 700)
    assert fit(x).alpha == pytest.approx(expected.alpha, rel=1e-9)


def test_against_scipys_own_fit(rng):
    """scipy's likelihood at our estimate is that of scipy's estimate, to its own rounding."""
    x = SymmetricStable(1.4).rvs(60, rng)
    with np.errstate(all="ignore"):
        alpha, _, _, scale = stats.levy_stable.fit(x, fbeta=0.0, floc=0.0)
    found = fit(x)
    ours = SymmetricStable(float(found.alpha), float(found.sigma)).logpdf(x).sum()
    theirs = SymmetricStable(alpha, scale).logpdf(x).sum()
    assert ours > theirs - 0.02
    assert found.alpha == pytest.approx(alpha, abs=0.03)


def test_too_few_and_degenerate():
    with pytest.raises(NotEnoughDataError, match="at least 20 non-zero samples, got 19"):
        fit(np.arange(1.0, 20))
    with pytest.raises(SamplesError, match="one magnitude repeated"):
        fit(np.tile([1.0, -1.0], 50))
