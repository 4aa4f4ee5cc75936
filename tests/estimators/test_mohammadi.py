from __future__ import annotations

import numpy as np
import pytest

from noise_lens import NotEnoughDataError, SamplesError, SymmetricStable, mohammadi


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


def published(x):
    # The arithmetic of the released code, written from its description: all entries in one
    # sequence, blocks of the largest divisor up to the root, 2.2e-16 inside both logarithms.
    x = np.ravel(x)
    size = next(m for m in range(int(len(x) ** 0.5), 0, -1) if len(x) % m == 0)
    singles = np.mean([np.log(abs(value) + 2.2204460492503131e-16) for value in x])
    sums = [sum(x[start : start + size]) for start in range(0, len(x), size)]
    blocks = np.mean([np.log(abs(value) + 2.2204460492503131e-16) for value in sums])
    return np.log(size) / (blocks - singles)


COMPAT = {
    "Gaussian": lambda rng: rng.standard_normal(3000),
    "heavy": lambda rng: rng.standard_cauchy(3000),
    "half zeros": lambda rng: rng.standard_normal(3000) * (rng.random(3000) < 0.5),
    "rows": lambda rng: rng.standard_normal((60, 50)) * np.exp(rng.standard_normal(50)),
    "float32": lambda rng: rng.standard_normal((61, 45)).astype(np.float32),
    "centred by its own mean": lambda rng: np.tile([1.0, -1.0], 50) * rng.random(),
}


@pytest.mark.parametrize("case", COMPAT)
def test_compat_is_the_published_arithmetic(case, rng):
    x = COMPAT[case](rng)
    found = mohammadi(x, compat="simsekli2019")
    assert found.alpha == pytest.approx(published(x), abs=1e-6, rel=1e-6)
    assert found.method == "mohammadi, compat simsekli2019"
    assert found.n == x.size


def test_compat_says_why_a_prime_length_fails(rng):
    with pytest.raises(SamplesError, match="997 is prime: the published code divides by log"):
        mohammadi(rng.standard_normal(997), compat="simsekli2019")
    with pytest.raises(ValueError, match="has its own block size, got block_size=5"):
        mohammadi(rng.standard_normal(1000), 5, compat="simsekli2019")
    with pytest.raises(ValueError, match='must be "simsekli2019" or None'):
        mohammadi(rng.standard_normal(1000), compat="other")


def test_zeros_beside_blocks_that_cancel():
    """A block with a zero and one whose sum is 0: inf and -inf in the unchecked first pass."""
    x = np.array([1.0, -1, 2, -2, 0, 1, 3, 5, 1, 2, -4, 8, 1, 1, 2, 6])
    dense = x[x != 0][:12].reshape(3, 4)[1:]
    expected = (np.log(np.abs(dense.sum(axis=1))) - np.log(np.abs(dense)).mean(axis=1)).mean()
    assert mohammadi(x, 4).alpha == pytest.approx(np.log(4) / expected)


@pytest.mark.parametrize("scale", [1e-60, 1.0, 1e60])
@pytest.mark.parametrize("block_size", [3, 8, 20])
def test_products_that_leave_the_range_do_not_matter(scale, block_size, rng):
    """One logarithm of a product of eight, or of each sample: the same to 1e-9."""
    x = rng.standard_cauchy(2000)
    assert mohammadi(scale * x, block_size).alpha == pytest.approx(direct(x, block_size), rel=1e-9)
