from __future__ import annotations

import numpy as np
import pytest

from noise_lens import SymmetricStable
from noise_lens.inference.dependence import SharedScale, effective_columns, shared_scale


def elliptical(alpha, n, d, rng):
    a = alpha / 2
    angle, wait = rng.uniform(0, np.pi, (n, 1)), rng.exponential(size=(n, 1))
    square = np.sin(a * angle) / np.sin(angle) ** (1 / a)
    square *= (np.sin((1 - a) * angle) / wait) ** ((1 - a) / a)
    return np.sqrt(square) * rng.standard_normal((n, d))


@pytest.mark.parametrize("alpha", [1.2, 1.5, 1.8])
def test_correlation_of_one_radius_rows(alpha):
    """The closed form (1/a^2 - 1/4) / (1/a^2 + 1/2): mean of 40 data sets of 1000 x 20 rows,
    within five of its standard errors (false alarm 6e-7).
    """
    found = [
        shared_scale(elliptical(alpha, 1000, 20, np.random.default_rng([8, seed]))).correlation
        for seed in range(40)
    ]
    expected = (1 / alpha**2 - 0.25) / (1 / alpha**2 + 0.5)
    assert abs(np.mean(found) - expected) < 5 * np.std(found) / np.sqrt(40) + 0.002


def test_independent_coordinates_and_their_error():
    """100 data sets of independent stable rows: correlations are about 0 with the stated error
    (chi-square of 100 at false alarm 1e-4).
    """
    ratios = []
    for seed in range(100):
        rows = SymmetricStable(1.5).rvs((200, 10), np.random.default_rng([9, seed]))
        found = shared_scale(rows * np.arange(1, 11))
        ratios.append(found.correlation / found.standard_error)
    assert 60 < np.sum(np.square(ratios)) < 160


def test_shares_by_hand():
    """At alpha = 1 one radius has the correlation .75 / 1.5 = .5."""
    alphas = np.array([1.0, 2.0])
    assert SharedScale(0.25, 0.0).share(alphas).tolist() == [0.5, 1.0]
    assert SharedScale(-0.1, 0.01).share(alphas).tolist() == [0.0, 1.0]
    assert SharedScale(0.6, 0.0).share(alphas)[0] == 1.0


def test_one_column_counts_as_shared(rng):
    found = shared_scale(rng.standard_normal((100, 1)))
    assert np.isnan(found.correlation)
    assert found.share(np.array([1.5])) == 1.0


def test_zeros_are_left_out(rng):
    """Half the entries gone, the same correlation (1000 x 30 rows; five errors)."""
    rows = elliptical(1.5, 1000, 30, rng)
    whole = shared_scale(rows).correlation
    holes = shared_scale(np.where(rng.random(rows.shape) < 0.5, 0, rows)).correlation
    assert holes == pytest.approx(whole, abs=0.03)


def test_effective_columns(rng):
    """Independent: all of them. Copies of one: one. Two blocks of copies: two."""
    rows = rng.standard_normal((2000, 40))
    assert effective_columns(rows) == pytest.approx(40, rel=0.05)
    one = rows[:, :1] * np.arange(1, 41)
    assert effective_columns(one) == pytest.approx(1, rel=0.02)
    two = np.where(np.arange(40) % 2, rows[:, :1], rows[:, 1:2])
    assert effective_columns(two) == pytest.approx(2, rel=0.02)


def test_effective_columns_of_an_equicorrelated_gaussian(rng):
    """Correlation .5: d**2 / (d + d (d - 1) / 4) = 3.71 for d = 40."""
    rows = rng.standard_normal((5000, 1)) + rng.standard_normal((5000, 40))
    assert effective_columns(rows) == pytest.approx(40 / (1 + 39 / 4), rel=0.1)
