from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from noise_lens.contrasts import paired_difference, ratio_of_means

REPEATS = 4000
BAND = 4 * np.sqrt(0.05 * 0.95 / REPEATS)  # 1 false alarm in 15,000 tests


@pytest.mark.parametrize("correlation", [-0.9, 0.0, 0.95])
def test_coverage(rng, correlation):
    """Jointly Gaussian means of ratio 0.7, n = 6; the denominator is 8 standard errors from 0.

    There it is told from 0 in all but 1e-4 of samples, so the interval covers in 95 %.
    """
    n, shape = 6, [[1, correlation], [correlation, 1]]
    centre = 8 / np.sqrt(n)
    draws = rng.multivariate_normal([0.7 * centre, centre], shape, size=(REPEATS, n))

    found = [ratio_of_means(*sample.T) for sample in draws]

    given = [one for one in found if np.isfinite(one.low)]
    assert len(given) >= REPEATS - 20
    assert abs(np.mean([one.low < 0.7 < one.high for one in given]) - 0.95) < BAND


def test_the_ends_are_where_the_t_test_gives_way(rng):
    """At both ends numerator - r * denominator has a p-value of exactly .05."""
    numerator, denominator = rng.normal([[0.5], [1.0]], 0.2, size=(2, 7))
    found = ratio_of_means(numerator, denominator)
    for end in (found.low, found.high):
        pvalue = stats.ttest_1samp(numerator - end * denominator, 0).pvalue
        assert pvalue == pytest.approx(0.05, rel=1e-6)
    inside = stats.ttest_1samp(numerator - found.value * denominator, 0).pvalue
    assert inside == pytest.approx(1)
    assert found.value == pytest.approx(numerator.mean() / denominator.mean())


def test_withheld_exactly_where_the_denominator_has_zero(rng):
    n_withheld = 0
    for _ in range(300):
        numerator, denominator = rng.normal(1, 1, size=(2, 6))
        found = ratio_of_means(numerator, denominator)
        told = paired_difference(denominator, np.zeros(6)).excludes_zero
        assert np.isfinite([found.value, found.low, found.high]).all() == told
        assert (found.reason is None) == told
        n_withheld += not told
    assert 30 < n_withheld < 270
    assert (
        "the denominator is not told from 0: its interval is"
        in ratio_of_means([1, 2, 3], [-1, 0, 1.5]).reason
    )


def test_a_known_constant_needs_no_fieller():
    """Denominators that barely vary: Student's interval of the numerator, divided."""
    numerator = np.array([1.0, 1.4, 0.8, 1.1, 1.3])
    found = ratio_of_means(numerator, 2 + 1e-9 * np.arange(5))
    plain = paired_difference(numerator, np.zeros(5))
    assert (found.low, found.high) == pytest.approx((plain.low / 2, plain.high / 2))


def test_proportional_values_have_no_interval():
    """Averages at both weights read the limit in all seeds: the share is 1, its error unknown."""
    gaps = np.array([0.61, 0.58, 0.7, 0.66, 0.63])
    found = ratio_of_means(gaps, gaps)
    assert found.value == 1
    assert np.isnan([found.low, found.high]).all()
    assert "proportional in all 5 seeds" in found.reason


def test_few_seeds_have_an_interval_and_no_claim():
    found = ratio_of_means([0.6, 0.62, 0.65], [0.65, 0.66, 0.71])
    assert np.isfinite([found.low, found.high]).all()
    assert found.reason == "3 seeds: a claim needs 5"


def test_incomplete_seeds_are_counted():
    found = ratio_of_means([0.6, np.nan, 0.65, 0.6], [0.65, 0.66, np.nan, 0.7])
    assert (found.n, found.n_dropped) == (2, 2)
    assert found.value == pytest.approx(1.2 / 1.35)


def test_as_many_numerators():
    with pytest.raises(ValueError, match="got 1 and 2"):
        ratio_of_means([1.0], [1.0, 2.0])
