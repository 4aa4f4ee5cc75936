"""What holds for every estimator: bad input, columns, units, zeros, memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

import noise_lens as nl

ESTIMATORS = {
    "characteristic_function": nl.characteristic_function,
    "maximum_likelihood": nl.maximum_likelihood,
    "mohammadi": nl.mohammadi,
    "log_moments": nl.log_moments,
    "quantile": nl.quantile,
    "hill": lambda x: nl.hill(x, 30),
    "moment": lambda x: nl.moment(x, 30),
}
WITH_SCALE = ("characteristic_function", "maximum_likelihood", "log_moments", "quantile")
every = pytest.mark.parametrize("name", ESTIMATORS)

GOOD = np.random.default_rng(7).standard_cauchy(400)
BAD = {
    "nan": (np.where(np.arange(400) == 3, np.nan, GOOD), "finite samples, got 1 NaN or inf"),
    "inf": (np.where(np.arange(400) < 2, -np.inf, GOOD), "finite samples, got 2 NaN or inf"),
    "empty": (np.empty(0), "empty array"),
    "constant": (np.full(400, 3.5), "400 times the value 3.5"),
    "zeros": (np.zeros(400), "400 times the value 0"),
    "text": (np.array(["1"] * 400), "real numbers, got text"),
    "complex": (GOOD + 1j, "real numbers, got complex numbers"),
    "objects": (np.array([{}] * 400), "real numbers, got Python objects"),
    "dates": (np.zeros(400, "datetime64[s]"), "real numbers, got datetime64"),
    "three axes": (np.ones((4, 10, 10)), r"shape \(n,\) or \(n, d\), got shape \(4, 10, 10\)"),
    "a number": (np.float64(1.0), r"got shape \(\)"),
    "masked": (np.ma.masked_greater(GOOD, 3), "plain samples, got a masked array"),
    "ragged": ([[1.0, 2.0], [3.0]], "an array of numbers, got list that NumPy cannot take"),
    "a tensor with a gradient": (
        torch.ones(400, requires_grad=True),
        r"got Tensor that NumPy cannot take.*x\.detach\(\)",
    ),
    "few": (GOOD[:12], r"needs at least \d+ non-zero samples, got 12|with n=12 samples"),
}


@every
@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_error_with_numbers(name, case):
    x, message = BAD[case]
    with pytest.raises(ValueError, match=message) as caught:
        ESTIMATORS[name](x)
    assert "\n" not in str(caught.value)


@every
def test_columns_are_estimated_one_by_one(name, rng):
    x = rng.standard_cauchy((400, 3)) * [1, 1e-6, 1e6]
    x[:50, 1] = 0
    together = ESTIMATORS[name](x)
    alone = [ESTIMATORS[name](x[:, column]) for column in range(3)]
    assert together.alpha == pytest.approx([one.alpha for one in alone], rel=1e-9)
    assert together.standard_error == pytest.approx([one.standard_error for one in alone])
    assert together.n.tolist() == [400, 350, 400]
    for end in ("low", "high"):
        expected = [getattr(one.confidence_interval(), end) for one in alone]
        assert getattr(together.confidence_interval(), end) == pytest.approx(expected)


@every
def test_a_column_that_cannot_be_estimated_is_nan_with_a_reason(name, rng):
    x = rng.standard_cauchy((400, 3))
    x[5:, 0] = 0
    x[:, 2] = 0
    found = ESTIMATORS[name](x)
    assert np.isfinite(found.alpha).tolist() == [False, True, False]
    assert set(found.reasons) == {0, 2}
    assert "5 non-zero samples" in found.reasons[0]
    assert found.alpha[1] == pytest.approx(ESTIMATORS[name](x[:, 1]).alpha)
    low, high = found.confidence_interval()
    assert np.isnan(low[[0, 2]]).all()
    assert np.isnan(high[[0, 2]]).all()


@every
def test_unit_sign_zeros_and_type_do_not_matter(name, rng):
    x = rng.standard_cauchy(400).astype(np.float32)
    expected = ESTIMATORS[name](x)
    mixed = np.concatenate([np.zeros(100), -(2.0**-30) * x.astype(np.float64)])
    found = ESTIMATORS[name](mixed)
    assert found.alpha == pytest.approx(expected.alpha, rel=1e-6)
    assert (found.n, found.n_zero) == (400, 100)
    if name in WITH_SCALE:
        assert found.sigma == pytest.approx(2.0**-30 * expected.sigma, rel=1e-6)


@every
def test_integers_and_lists_are_samples(name, rng):
    x = np.rint(100 * rng.standard_cauchy(400)).astype(np.int64)
    assert ESTIMATORS[name](x.tolist()).alpha == pytest.approx(ESTIMATORS[name](x * 1.0).alpha)


@every
@pytest.mark.parametrize("shape", [(5_000_000,), (1000, 5000)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_at_most_three_copies(name, shape, dtype, rng):
    """Traced peak of NumPy's memory while an estimator runs, over the bytes of its input."""
    x = rng.standard_cauchy(shape).astype(dtype)
    x[::7] = 0
    ESTIMATORS[name](x[:1000])  # tables that are loaded once
    tracemalloc.start()
    ESTIMATORS[name](x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * x.nbytes + 6e6  # fixed buffers of 65,536 to 262,144 samples


@pytest.mark.parametrize("name", ["mohammadi", "log_moments", "quantile"])
@pytest.mark.parametrize("alpha", [1.2, 1.5])
def test_error_bar_is_right(name, alpha, rng):
    """z-scores of 1/alpha over 1000 samples of n = 2000: mean 0, spread 1; false alarm 2e-3 each.

    Bias of order 1/n adds at most .06 to the mean.
    """
    found = ESTIMATORS[name](nl.SymmetricStable(alpha, 4.0).rvs((2000, 1000), rng))
    z = (1 / alpha - 1 / found.alpha) / (found.standard_error / found.alpha**2)
    assert abs(z.mean()) < 0.105 + 0.06
    assert abs(z.std() - 1) < 0.075


def test_two_methods_that_fit_the_same_law_agree(rng):
    """On stable samples characteristic function and likelihood differ by less than either errs."""
    x = nl.SymmetricStable(1.7, 3.0).rvs((2000, 200), rng)
    one, other = nl.characteristic_function(x), nl.maximum_likelihood(x)
    assert np.std(one.alpha - other.alpha) < 0.35 * np.mean(other.standard_error)
    assert np.median(other.sigma) == pytest.approx(3.0, rel=0.01)


@every
def test_one_huge_sample_leaves_an_estimate(name, rng):
    """1e300 beside 1e-10: the ratio overflows, the estimate is a number all the same."""
    found = ESTIMATORS[name](np.append(1e-10 * rng.standard_normal(500), 1e300))
    assert np.isfinite(found.alpha)


def test_a_log_histogram_where_samples_are_needed():
    histogram = nl.LogHistogram.of(GOOD)
    for estimate in (nl.characteristic_function, nl.mohammadi, nl.mohammadi_norm):
        with pytest.raises(nl.SamplesError, match="got a log-histogram, which keeps no order"):
            estimate(histogram)
