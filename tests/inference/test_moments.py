from __future__ import annotations

import math

import numpy as np
import pytest

from noise_lens.inference.moments import excess_kurtosis, log_scale


def by_hand(column):
    n = len(column)
    return (n + 2) / n * n * sum(x**4 for x in column) / sum(x**2 for x in column) ** 2 - 3


def test_two_columns_by_hand():
    """(4 + 2)(1 + 16 + 0 + 1) / (1 + 4 + 0 + 1)**2 - 3 = 0, and one spike: 6 - 3."""
    rows = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 5.0], [-1.0, 0.0]])
    assert excess_kurtosis(rows[:, :1]) == pytest.approx(0)
    assert excess_kurtosis(rows[:, 1:]) == pytest.approx(3)
    assert excess_kurtosis(rows) == pytest.approx(1.5)


@pytest.mark.parametrize("n", [2, 5, 50])
def test_gaussian_rows_have_none_at_any_number(rng, n):
    """E of n sum x**4 / (sum x**2)**2 is 3 n / (n + 2) for Gaussian samples with zero mean, since
    the ratio does not depend on the norm. Bound: five standard errors, 6e-7.
    """
    columns = np.array([by_hand(column) for column in rng.normal(size=(20_000, n))])
    error = columns.std() / math.sqrt(len(columns))
    assert abs(columns.mean()) < 5 * error
    rows = rng.normal(size=(n, 500)) * np.exp(rng.normal(size=500))
    expected = np.mean([by_hand(column) for column in rows.T])
    assert excess_kurtosis(rows) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("law", "expected"), [("laplace", 3.0), ("uniform", -1.2)])
def test_known_laws(rng, law, expected):
    """Of 400,000 entries. Laplace: the variance of one is that of x**4 - 12 x**2, which is 1188 in
    its own unit, so the standard error is 0.054 and the bound 4.6 of them (4e-6).
    """
    size = (200_000, 2)
    draws = rng.laplace(size=size) if law == "laplace" else rng.uniform(-1, 1, size=size)
    assert excess_kurtosis(draws) == pytest.approx(expected, abs=0.25 if law == "laplace" else 0.02)


def test_units_do_not_matter_and_nothing_overflows(rng):
    rows = rng.standard_t(3, size=(100, 4))
    for unit in (1e-300, 1e-30, 1e30, 1e300):
        assert excess_kurtosis(rows * unit) == pytest.approx(excess_kurtosis(rows), rel=1e-12)
        shift = log_scale(rows * unit) - log_scale(rows)
        assert shift == pytest.approx(math.log(unit), rel=1e-12)
    single = rows.astype(np.float32)
    assert excess_kurtosis(single) == pytest.approx(
        excess_kurtosis(single.astype(float)), rel=1e-12
    )


def test_log_scale_by_hand():
    """Columns count alike, however many of their entries are zero."""
    rows = np.array([[1.0, math.e, 0.0], [0.0, -math.e, 0.0], [math.e**2, math.e, 0.0]])
    assert log_scale(rows) == pytest.approx((1 + 1) / 2)
    assert log_scale(rows[:, 2:]) is None
    assert log_scale(rows[:, :0]) is None


def test_dead_columns_are_left_out_and_broken_ones_are_not():
    rows = np.array([[1.0, 0.0], [2.0, 0.0], [-1.0, 0.0]])
    assert excess_kurtosis(rows) == excess_kurtosis(rows[:, :1])
    assert excess_kurtosis(rows[:, 1:]) is None
    assert excess_kurtosis(rows[:, :0]) is None
    assert excess_kurtosis(rows[:0]) is None
    for broken in (math.nan, math.inf, -math.inf):
        rows[1, 1] = broken
        assert excess_kurtosis(rows) is None
        assert log_scale(rows) is None


def test_rows_are_left_alone(rng):
    rows = rng.normal(size=(10, 3))
    kept = rows.copy()
    excess_kurtosis(rows)
    log_scale(rows)
    assert np.array_equal(rows, kept)
