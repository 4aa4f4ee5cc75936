"""Bad input, the same for every estimator: one error that says what came and what to do."""

from __future__ import annotations

import numpy as np
import pytest

import noise_lens as nl

ESTIMATORS = {
    "hill": lambda x: nl.hill(x, 5),
    "mohammadi": nl.mohammadi,
    "characteristic_function": nl.characteristic_function,
    "pooled": nl.pooled,
}
BAD = {
    "nan": (np.array([[1.0, np.nan], [2.0, 3.0]] * 50), "50 NaN or inf among 200"),
    "inf": (np.array([[1.0, np.inf], [2.0, 3.0]] * 50), "50 NaN or inf among 200"),
    "text": (np.array([["a", "b"]] * 50), "needs real numbers, got text"),
    "complex": (np.ones((50, 2)) * 1j, "needs real numbers, got complex numbers"),
    "objects": (np.array([[{}, {}]] * 50), "needs real numbers, got Python objects"),
    "empty": (np.empty((0, 2)), "got an empty array of shape"),
    "zeros": (np.zeros((100, 2)), "got 200 times the value 0"),
    "one value": (np.full((100, 2), 3.5), "got 200 times the value 3.5"),
    "single": (np.array([[4.0]]), "got 1 times the value 4"),
    "three axes": (np.ones((5, 5, 5)), r"shape \(n,\) or \(n, d\), got shape \(5, 5, 5\)"),
    "scalar": (np.float64(3), r"got shape \(\)"),
}


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("case", BAD)
def test_bad_samples(estimator, case):
    array, message = BAD[case]
    with pytest.raises(nl.SamplesError, match=message) as caught:
        ESTIMATORS[estimator](array)
    assert str(caught.value).startswith(estimator)
    assert isinstance(caught.value, ValueError)


def test_input_is_left_alone(rng):
    x = rng.standard_normal((200, 3))
    x[:20] = 0
    before = x.copy()
    for estimator in ESTIMATORS.values():
        estimator(x)
    assert np.array_equal(x, before)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64])
def test_other_real_types_are_taken(dtype, rng):
    x = (100 * rng.standard_normal((300, 2))).astype(dtype)
    wide = nl.characteristic_function(x.astype(np.float64)).alpha
    assert nl.characteristic_function(x).alpha == pytest.approx(wide)
