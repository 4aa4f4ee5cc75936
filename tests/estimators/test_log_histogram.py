from __future__ import annotations

import numpy as np
import pytest

import noise_lens as nl
from noise_lens import LogHistogram, NotEnoughDataError, SamplesError


def counted(x):
    """A log-histogram by way of float32 bits."""
    bits = np.abs(np.asarray(x, dtype=np.float32)).view(np.uint32)
    return LogHistogram(np.bincount(bits >> 18, minlength=8192))


SAMPLE = np.random.default_rng(5).standard_t(2, 100_000).astype(np.float32)


@pytest.mark.parametrize("k", [20, 300, 5000, 60_000])
def test_hill_and_moment_at_any_k(k):
    """Within .5 % of those of the samples: the position inside a bin of 2 to 3 % is lost."""
    histogram = counted(SAMPLE)
    assert nl.hill(histogram, k).alpha == pytest.approx(nl.hill(SAMPLE, k).alpha, rel=5e-3)
    error = nl.moment(SAMPLE, k).reciprocal_error
    assert abs(nl.moment(histogram, k).reciprocal - nl.moment(SAMPLE, k).reciprocal) < 0.1 * error


def test_the_other_estimators():
    histogram = counted(SAMPLE)
    for estimate, rel in [(nl.log_moments, 1e-4), (nl.quantile, 2e-3), (nl.maximum_likelihood, 0)]:
        found, expected = estimate(histogram), estimate(SAMPLE)
        assert found.alpha == pytest.approx(expected.alpha, rel=rel or 1e-12)
        assert found.sigma == pytest.approx(expected.sigma, rel=5e-3)
        assert found.standard_error == pytest.approx(expected.standard_error, rel=5e-3)
        assert (found.n, found.n_zero) == (expected.n, expected.n_zero)


def test_hill_path():
    path, expected = nl.hill_path(counted(SAMPLE)), nl.hill_path(SAMPLE)
    assert np.array_equal(path.k, expected.k)
    # The threshold's place in its bin, 2 to 3 % wide, is lost: half a bin at most.
    assert 1 / path.alpha == pytest.approx(1 / expected.alpha, abs=0.016)


def test_survival_and_quantiles():
    """Exact at the edges of bins, interpolated between them."""
    histogram = counted(SAMPLE)
    magnitudes = np.abs(SAMPLE.astype(np.float64))
    edges = np.array([0.125, 1.0, 2.0, 7.0, 1.03125])
    expected = [(magnitudes >= edge).mean() for edge in edges]
    assert histogram.survival(edges) == pytest.approx(expected, abs=1e-9)
    assert histogram.survival([1e-30, 1e30]).tolist() == [1, 0]
    share = np.array([0.01, 0.5, 0.9, 0.999])
    assert histogram.quantile(share) == pytest.approx(np.quantile(magnitudes, share), rel=0.01)


def test_what_it_counted():
    x = np.array([0.0, -0.0, 1.0, -3.0, 1e-39, np.inf, np.nan, np.nan], dtype=np.float32)
    histogram = LogHistogram(counted(x).counts, n_beyond=2)
    assert (histogram.n, histogram.n_zero, histogram.n_subnormal) == (5, 2, 1)
    assert (histogram.n_inf, histogram.n_nan, histogram.n_beyond) == (1, 2, 2)


@pytest.mark.parametrize(
    "name", ["hill", "moment", "maximum_likelihood", "log_moments", "quantile"]
)
def test_what_cannot_be_estimated(name):
    def estimate(histogram):
        function = getattr(nl, name)
        return function(histogram, 10) if name in ("hill", "moment") else function(histogram)

    with pytest.raises(SamplesError, match=r"finite samples, got 1 inf and 0 NaN among 101"):
        estimate(counted(np.append(SAMPLE[:100], np.inf)))
    with pytest.raises(NotEnoughDataError, match=r"at least \d+ non-zero samples, got 5"):
        estimate(counted(np.append(SAMPLE[:5], np.zeros(100))))
    with pytest.raises(SamplesError, match="got 100 in one bin"):
        estimate(counted(np.full(100, 1.5)))
    with pytest.raises(SamplesError, match=r"got 3 of 2\*\*128 or more"):
        estimate(LogHistogram(counted(SAMPLE).counts, n_beyond=3))
    with pytest.raises(SamplesError, match=r"8192 integer counts, got shape \(3,\)"):
        LogHistogram(np.array([1, 2, 3]))


def test_k_out_of_range():
    with pytest.raises(ValueError, match="got k=100 with n=100 samples"):
        nl.hill(counted(np.append(SAMPLE[:90], np.zeros(10))), 100)


def test_of_counts_as_float32_bits_do():
    x = np.append(SAMPLE[:1000], [0.0, 1e-39, np.inf, np.nan]).astype(np.float32)
    found, expected = LogHistogram.of(x), counted(x)
    assert np.array_equal(found.counts[32:8161], expected.counts[32:8161])
    assert (found.n_zero, found.n_subnormal, found.n_inf, found.n_nan) == (1, 1, 1, 1)
    assert LogHistogram.of([1e39, 1.0]).n_beyond == 1
