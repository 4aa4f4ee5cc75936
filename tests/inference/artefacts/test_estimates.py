from __future__ import annotations

import pytest

from noise_lens import (
    SymmetricStable,
    characteristic_function,
    log_moments,
    maximum_likelihood,
    quantile,
)
from noise_lens.inference.artefacts import disagreement, sample_warnings, unused_columns


def test_laplace_noise_fits_no_stable_law(rng):
    x = rng.laplace(size=10_000)
    (found,) = [one for one in sample_warnings(x, maximum_likelihood(x)) if one.name == "misfit"]
    assert "no symmetric stable law fits these magnitudes (chi-square " in found.message
    assert f"(chi-square {found.value:.0f} on 20" in found.message
    assert "p = " in found.message


def test_contradictions_under_a_stable_law_are_rare(rng):
    """400 stable samples: at most 4 alarms (2 expected at most; chance .05 of more than 4)."""
    methods = (characteristic_function, maximum_likelihood, log_moments, quantile)
    found = 0
    for alpha in (1.0, 1.4, 1.8, 2.0):
        for _ in range(100):
            x = SymmetricStable(alpha).rvs(500, rng)
            found += len(disagreement([method(x) for method in methods]))
    assert found <= 4


def test_the_gap_of_a_contradiction_is_its_number(rng):
    """Laplace: the value is the distance of the two intervals that the sentence names."""
    x = rng.laplace(size=10_000)
    methods = (characteristic_function, maximum_likelihood, log_moments, quantile)
    intervals = [method(x).confidence_interval(0.99) for method in methods]
    (found,) = disagreement([method(x) for method in methods])
    gap = max(one.low for one in intervals) - min(one.high for one in intervals)
    assert (found.name, found.value) == ("disagreement", pytest.approx(gap))
    assert "contradict each other: their 99 % intervals" in str(found)


def test_columns_that_pooling_leaves_out_are_counted(rng):
    rows = rng.standard_normal((100, 4))
    assert unused_columns(rows) == []
    rows[:, 1], rows[15:, 2] = 3, 0
    (found,) = unused_columns(rows)
    assert (found.name, found.value) == ("unused_columns", 2)
    assert found.message.startswith("2 of 4 columns were left out of pooled estimates")
