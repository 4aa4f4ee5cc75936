from __future__ import annotations

import numpy as np
import pytest

from noise_lens import NotEnoughDataError, SymmetricStable, mohammadi


def direct(x, m):
    """The published formula for one column, with zeros dropped before blocking."""
    x = x[x != 0]
    x = x[: len(x) // m * m]
    sums = x.reshape(-1, m).sum(axis=1)
    return np.log(m) / (np.log(np.abs(sums)).mean() - np.log(np.abs(x)).mean())


def test_two_blocks_by_hand():
    """Sums 4 and 4, singles 1, 3, -1, 5: log 2 over (log 16 - log 15 / 2) / 2."""
    expected = np.log(2) / (np.log(4) - np.log(15) / 4)
    assert mohammadi([1.0, 3.0, -1.0, 5.0], block_size=2).alpha == pytest.approx(expected)


@pytest.mark.parametrize("block_size", [2, 8, 31])
def test_columns_equal_the_formula(block_size, rng):
    """Zeros, and lengths that are no multiple of the block, in every column differently."""
    x = rng.standard_cauchy((500, 6)) * np.exp(rng.normal(size=6))
    x[rng.random((500, 6)) < np.linspace(0, 0.5, 6)] = 0
    expected = [direct(column, block_size) for column in x.T]
    assert mohammadi(x, block_size).alpha == pytest.approx(expected)


@pytest.mark.parametrize("alpha", [1.0, 1.5, 1.8])
def test_error_bar_is_right(alpha, rng):
    """z-scores of 1/alpha over 1000 samples: mean 0 and spread 1; false alarm 2e-3.

    The mean may be off by 3.3 / sqrt(1000), the spread by 3.3 / sqrt(2000) and a Student excess.
    """
    found = mohammadi(SymmetricStable(alpha).rvs((2000, 1000), rng))
    z = (1 / found.alpha - 1 / alpha) / (found.standard_error / found.alpha**2)
    assert abs(z.mean()) < 0.105
    assert abs(z.std() - 1) < 0.08


def test_interval_may_be_open_above(rng):
    """On few Gaussian samples no light tail can be ruled out."""
    low, high = mohammadi(rng.standard_normal(100)).confidence_interval()
    assert 0 < low < high
    negative = mohammadi(np.tile([1.0, -1.01], 50))
    assert negative.alpha == np.inf
    assert negative.confidence_interval().high == np.inf


def test_assumptions_that_fail_read_as_documented(rng):
    """The docstring's numbers: AR(0.9) near 1.06, a mean of one sd near 0.94, Laplace near 1.6."""
    noise = rng.standard_normal((4000, 50))
    ar = np.empty_like(noise)
    ar[0] = noise[0] / np.sqrt(1 - 0.9**2)
    for row in range(1, len(noise)):
        ar[row] = 0.9 * ar[row - 1] + noise[row]
    assert np.median(mohammadi(ar).alpha) == pytest.approx(1.06, abs=0.03)
    assert np.median(mohammadi(noise + 1).alpha) == pytest.approx(0.94, abs=0.03)
    assert np.median(mohammadi(rng.laplace(size=(4000, 50))).alpha) == pytest.approx(1.6, abs=0.05)


@pytest.mark.parametrize("block_size", [0, 1, 6, 100])
def test_block_size_out_of_range(block_size):
    with pytest.raises(ValueError, match=rf"block_size={block_size} with n=10 samples"):
        mohammadi(np.arange(1.0, 11), block_size)


def test_too_few_non_zero():
    x = np.zeros(40)
    x[:15] = np.arange(1, 16)
    with pytest.raises(NotEnoughDataError, match="at least 16 non-zero samples, got 15"):
        mohammadi(x)
