from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from noise_lens.contrasts import mean_over_seeds, paired_difference

REPEATS = 4000
# A count of REPEATS draws at 5 % leaves this band in 1 of 15,000 tests (4 standard deviations).
BAND = 4 * np.sqrt(0.05 * 0.95 / REPEATS)


def test_the_interval_is_that_of_the_t_test(rng):
    values, baseline = rng.normal(size=(2, 9))
    found = paired_difference(values, baseline)
    theirs = stats.ttest_rel(values, baseline)
    assert (found.low, found.high) == pytest.approx(theirs.confidence_interval(0.95))
    assert found.pvalue == pytest.approx(theirs.pvalue)
    assert (found.n, found.n_dropped) == (9, 0)


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_coverage_and_false_claims(rng, n):
    """Seeds shift both runs alike by much more than they differ: pairing takes that out."""
    shared = 10 * rng.normal(size=(REPEATS, n))
    values, baseline = shared + 0.3 + rng.normal(size=shared.shape), shared
    found = [paired_difference(*pair) for pair in zip(values, baseline, strict=True)]

    covered = np.mean([one.low < 0.3 < one.high for one in found])
    claims = np.mean([paired_difference(v - 0.3, b).claim is not None
                      for v, b in zip(values, baseline, strict=True)])  # fmt: skip

    assert abs(covered - 0.95) < BAND
    assert claims == 0 if n < 5 else abs(claims - 0.05) < BAND


def test_fewer_than_five_pairs_claim_nothing():
    values = np.arange(5) * 0.01 + 1.0
    assert paired_difference(values, np.zeros(5)).claim == "higher"
    found = paired_difference(values[:4], np.zeros(4))
    assert found.excludes_zero
    assert (found.claim, found.reason) == (None, "4 pairs: a claim needs 5")


def test_an_interval_with_zero_claims_nothing():
    found = paired_difference([1, -1, 2, -2, 0.5], [0] * 5)
    assert (found.claim, found.reason) == (None, "the interval includes 0")
    assert not found.excludes_zero


def test_words_follow_the_sign():
    up = [1.0, 1.1, 1.2, 1.3, 1.4]
    assert paired_difference(up, [0] * 5, words=("heavier", "lighter")).claim == "lighter"
    assert paired_difference([0] * 5, up, words=("heavier", "lighter")).claim == "heavier"
    assert paired_difference(up, [0] * 5).reason is None


def test_equal_differences_have_no_interval():
    """All read the upper limit: an interval of width 0 would be a claim without any evidence."""
    for values, baseline in (
        ([2.0] * 6, [2.0] * 6),
        ([2.0] * 6, [1.5] * 6),
        (np.array([0.1, 0.2, 0.3]) + 0.6, np.array([0.1, 0.2, 0.3])),  # equal but for rounding
    ):
        found = paired_difference(values, baseline)
        assert found.mean == pytest.approx(np.mean(np.subtract(values, baseline)))
        assert np.isnan([found.low, found.high, found.pvalue]).all()
        assert found.claim is None
        assert "are equal: no spread" in found.reason


def test_pairs_that_are_not_complete_are_counted():
    found = paired_difference([1, np.nan, 3, np.inf, 5], [0, 0, np.nan, 0, 0])
    assert (found.n, found.n_dropped, found.mean) == (2, 3, 3.0)


def test_too_few_pairs():
    one = paired_difference([1.5], [1.0])
    assert (one.mean, one.n, one.reason) == (0.5, 1, "one seed: an interval needs two")
    none = paired_difference([np.nan], [1.0])
    assert (none.n, none.reason) == (0, "no seed has a value")
    assert np.isnan(none.mean)
    assert paired_difference([], []).n == 0


def test_pairs_need_partners():
    with pytest.raises(ValueError, match="got 3 values and 2 baselines"):
        paired_difference([1, 2, 3], [1, 2])


def test_means_over_seeds():
    found = mean_over_seeds([-1.0, 0.5, np.nan, 2.0])
    theirs = stats.ttest_1samp([-1.0, 0.5, 2.0], 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(theirs)
    assert (found.n, found.n_dropped, found.reason) == (3, 1, None)
    assert mean_over_seeds([]).reason == "no seed has a value"
