from __future__ import annotations

import numpy as np

from noise_lens import (
    SymmetricStable,
    characteristic_function,
    log_moments,
    maximum_likelihood,
    quantile,
)
from noise_lens.inference.artefacts import disagreement, sample_warnings, unused_columns


def test_clean_noise_has_no_warning():
    """10,000 columns of symmetric noise: at most 3 false alarms (0.6 expected, chance 3e-3)."""
    rng = np.random.default_rng(0)
    samples = rng.standard_t(2, (200, 10_000))
    found = sample_warnings(samples)
    assert not found or int(found[0].split()[0]) <= 3


def test_a_location_is_found_and_numbered(rng):
    samples = rng.standard_normal((500, 3))
    samples[:, 1] += 1
    (warning,) = sample_warnings(samples)
    assert warning.startswith("1 of 3 columns are not centred (")


def test_zeros_are_no_location(rng):
    samples = rng.standard_normal(1000)
    samples[:900] = 0
    assert sample_warnings(samples) == ["90.0 % of the values are exactly 0 and were dropped."]


def test_other_clean_noise_has_no_warning(rng):
    """100 stable series of 3000 with the fitted law: at most one warning (.05 expected)."""
    found = []
    for _ in range(100):
        x = SymmetricStable(1.5).rvs(3000, rng)
        found += sample_warnings(x, maximum_likelihood(x))
    assert len(found) <= 1


def test_float32_noise_has_no_ties_by_chance(rng):
    assert sample_warnings(rng.standard_normal(1_000_000).astype(np.float32)) == []


def only(warnings, word):
    (found,) = [warning for warning in warnings if word in warning]
    return found


def test_an_atom_is_named(rng):
    x = rng.standard_normal(3000)
    x[:600] = -0.7
    found = sample_warnings(rng.permutation(x))
    assert only(found, "an atom").startswith("20.0 % of the non-zero values are exactly -0.7")
    assert not any("more than once" in warning for warning in found)


def test_rounded_noise_has_ties(rng):
    found = sample_warnings(np.round(rng.standard_normal(5000) * 100))
    assert "occur more than once: rounded" in only(found, "more than once")


def test_autocorrelation_is_no_location(rng):
    """AR(.9) wanders to one side: the warning is of neighbours, not of a location."""
    x = np.empty(5000)
    noise, x[0] = rng.standard_normal(5000), 0.1
    for t in range(1, 5000):
        x[t] = 0.9 * x[t - 1] + noise[t]
    found = sample_warnings(x)
    assert "same sign too often" in only(found, "same sign")
    assert not any("centred" in warning for warning in found)


def test_scale_mixtures_are_suspected(rng):
    """One radius a row; scales put end to end; an unordered mixture, which fits no stable law."""
    radius = np.exp(rng.standard_normal((1000, 1)))
    rows = rng.standard_normal((1000, 30)) * radius
    assert "a scale mixture is suspected" in only(sample_warnings(rows), "of one row go together")
    coordinates = (rng.standard_normal((100, 40)) * np.exp(rng.standard_normal(40))).T.ravel()
    assert "unequal scale put end to end" in only(
        sample_warnings(coordinates), "similar magnitudes"
    )
    mixture = rng.standard_normal(20_000) * np.exp(rng.standard_normal(20_000))
    warnings = sample_warnings(mixture, maximum_likelihood(mixture))
    assert "no symmetric stable law fits" in only(warnings, "fits")


def test_laplace_noise_fits_no_stable_law(rng):
    x = rng.laplace(size=10_000)
    assert "p = " in only(sample_warnings(x, maximum_likelihood(x)), "no symmetric stable law")


def test_few_rows_and_zeros_do_not_break_it(rng):
    assert sample_warnings(rng.standard_normal((5, 3))) == []
    assert sample_warnings(np.zeros((50, 2))) == [
        "100.0 % of the values are exactly 0 and were dropped."
    ]
    one = np.append(rng.standard_normal(4999), 0.0)
    assert sample_warnings(one) == ["1 of 5,000 values are exactly 0 and were dropped."]


def test_contradictions_under_a_stable_law_are_rare(rng):
    """400 stable samples: at most 4 alarms (2 expected at most; chance .05 of more than 4)."""
    methods = (characteristic_function, maximum_likelihood, log_moments, quantile)
    found = 0
    for alpha in (1.0, 1.4, 1.8, 2.0):
        for _ in range(100):
            x = SymmetricStable(alpha).rvs(500, rng)
            found += len(disagreement([method(x) for method in methods]))
    assert found <= 4


def test_columns_that_pooling_leaves_out_are_counted(rng):
    rows = rng.standard_normal((100, 4))
    assert unused_columns(rows) == []
    rows[:, 1], rows[15:, 2] = 3, 0
    assert unused_columns(rows)[0].startswith("2 of 4 columns were left out")
