"""Scales of columns and rows, each with a number that is known."""

from __future__ import annotations

import numpy as np
import pytest

from noise_lens.inference.artefacts import row_warnings

LOG_VARIANCE = np.pi**2 / 8  # of log|x| for Gaussian x


def test_unequal_columns_have_the_spread_of_their_log_scales(rng, named):
    """Half of 100 columns at e, half at 1/e: sd 1.005; its error is 2 * .035 / sqrt(100) / 2."""
    rows = rng.standard_normal((1000, 100)) * np.exp(np.repeat([-1.0, 1.0], 50))
    found = named(row_warnings(rows))
    assert set(found) == {"scale_spread"}
    assert found["scale_spread"].value == pytest.approx(np.sqrt(100 / 99), abs=4 * 0.0035)
    assert "sd of the log scale 1.0" in found["scale_spread"].message


def test_a_small_spread_is_not_worth_a_warning(rng):
    rows = rng.standard_normal((1000, 100)) * np.exp(np.repeat([-0.45, 0.45], 50))
    assert row_warnings(rows) == []


def test_errors_of_scales_are_no_spread(rng, named):
    """Two columns of 20 values each: log scales differ by .35 and more in one of three samples."""
    found = [row_warnings(rng.standard_cauchy((20, 2))) for _ in range(200)]
    assert not any("scale_spread" in named(one) for one in found)


def test_errors_of_scales_are_taken_off_a_spread(rng):
    """30 Cauchy values: log scales of +-.44 are seen with a variance of .19 + .08, not .25."""
    rows = rng.standard_cauchy((30, 1000)) * np.exp(np.tile([-0.44, 0.44], 500))
    assert {one.name for one in row_warnings(rows)} == {"few_rows"}


def test_a_shared_radius_has_its_intraclass_correlation(rng, named):
    """Log radius of sd 1: 1 / (1 + pi**2 / 8) = .448; error of a variance of 1000: sqrt(2/1000)."""
    rows = rng.standard_normal((1000, 60)) * np.exp(rng.standard_normal((1000, 1)))
    found = named(row_warnings(rows))
    assert set(found) == {"shared_scale"}
    share = 1 / (1 + LOG_VARIANCE)
    assert found["shared_scale"].value == pytest.approx(share, abs=4 * share * (1 - share) * 0.045)


@pytest.mark.parametrize("correlation", [0.5, 0.95])
def test_correlated_columns_share_no_scale(rng, correlation):
    """log|x| of Gaussian neighbours is correlated too, by the square of that of their signs."""
    distance = np.abs(np.subtract.outer(np.arange(40), np.arange(40)))
    root = np.linalg.cholesky(correlation**distance)
    for _ in range(10):
        rows = rng.standard_normal((1000, 40)) @ root.T
        assert row_warnings(rows) == []
        rows[rng.random(rows.shape) < 0.7] = 0
        assert {one.name for one in row_warnings(rows)} == {"zeros"}


def test_a_shared_radius_is_seen_through_zeros(rng, named):
    rows = rng.standard_normal((1000, 60)) * np.exp(rng.standard_normal((1000, 1)))
    rows[rng.random(rows.shape) < 0.7] = 0
    found = named(row_warnings(rows))
    assert set(found) == {"zeros", "shared_scale"}


def test_growth_is_the_ratio_of_tenths(named):
    """Norms 1, 2, ..., 100: medians 5.5 of the first ten and 95.5 of the last."""
    rows = (np.arange(1, 101) * (-1.0) ** (np.arange(100) // 2))[:, None]
    found = named(row_warnings(rows))["divergence"]
    assert found.value == pytest.approx(95.5 / 5.5)
    assert "the last tenth is 17.4 times as large as the first" in found.message
    assert "divergence" not in named(row_warnings(rows[::-1]))


def test_last_rows_that_are_large_by_chance_are_no_divergence(rng):
    """The last two of 20 Cauchy rows are twice the first two in a third of the samples."""
    found = [row_warnings(rng.standard_cauchy((20, 1))) for _ in range(200)]
    assert {one.name for each in found for one in each} == {"few_rows", "few_columns"}


def test_little_growth_and_one_late_outburst_are_no_divergence(rng, named):
    rows = rng.standard_normal((1000, 20))
    slow = rows * np.linspace(1, 1.8, 1000)[:, None]
    assert "divergence" not in named(row_warnings(slow))
    rows[900:] *= 10  # the rank correlation is .27: 8.5 errors, and a ratio of 10
    assert named(row_warnings(rows))["divergence"].value == pytest.approx(10, rel=0.15)
    burst = rng.standard_normal((1000, 20))
    burst[995:] *= 100
    assert "divergence" not in named(row_warnings(burst))
