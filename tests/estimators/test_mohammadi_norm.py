from __future__ import annotations

import numpy as np
import pytest

from noise_lens import NotEnoughDataError, SamplesError, SymmetricStable, mohammadi, mohammadi_norm


def test_of_one_coordinate_it_is_the_scalar_form(rng):
    x = SymmetricStable(1.4).rvs(2000, rng)
    found, expected = mohammadi_norm(x[:, None]), mohammadi(x)
    assert found.alpha == pytest.approx(expected.alpha)
    assert found.standard_error == pytest.approx(expected.standard_error)


@pytest.mark.parametrize("alpha", [1.2, 1.5, 2.0])
def test_error_bar_is_right_for_independent_and_for_shared_radii(alpha, rng):
    """z-scores of 1/alpha over 400 samples of 1000 rows; false alarm 2e-3 each."""
    z = []
    for _ in range(400):
        rows = SymmetricStable(alpha).rvs((1000, 4), rng)
        found = mohammadi_norm(rows)
        z.append((found.reciprocal - 1 / alpha) / found.reciprocal_error)
    assert abs(np.mean(z)) < 0.16
    assert abs(np.std(z) - 1) < 0.12


def test_rotations_do_not_matter(rng):
    rows = SymmetricStable(1.5).rvs((400, 5), rng)
    turn = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    assert mohammadi_norm(rows @ turn).alpha == pytest.approx(mohammadi_norm(rows).alpha)


def test_rows_of_zeros_are_dropped_before_blocking(rng):
    rows = SymmetricStable(1.5).rvs((400, 5), rng)
    mixed = np.insert(rows, [3, 50, 50, 399], 0.0, axis=0)
    found = mohammadi_norm(mixed)
    assert found.alpha == pytest.approx(mohammadi_norm(rows).alpha)
    assert (found.n, found.n_zero) == (400, 4)


def test_errors(rng):
    rows = rng.standard_normal((40, 3))
    with pytest.raises(SamplesError, match=r"one vector a row, shape \(M, d\), got shape \(40,\)"):
        mohammadi_norm(rows[:, 0])
    with pytest.raises(ValueError, match="2 <= block_size <= n / 2, got block_size=21 with n=40"):
        mohammadi_norm(rows, 21)
    rows[15:] = 0
    with pytest.raises(NotEnoughDataError, match="at least 16 non-zero samples, got 15"):
        mohammadi_norm(rows)
    with pytest.raises(SamplesError, match="got 10 zero sums in 10 blocks"):
        mohammadi_norm(np.tile([[1.0, 2.0], [-1.0, -2.0]], (10, 1)), 2)
