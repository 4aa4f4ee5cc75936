from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from noise_lens import TailIndexEstimate


def test_normal_interval():
    found = TailIndexEstimate(1.5, 0.1, 100, "any").confidence_interval(0.9)
    assert found == pytest.approx(stats.norm(1.5, 0.1).interval(0.9))


def test_student_interval_is_wider():
    found = TailIndexEstimate(1.5, 0.1, 100, "any", degrees_of_freedom=19.0)
    assert found.confidence_interval() == pytest.approx(stats.t(19, 1.5, 0.1).interval(0.95))


def test_reciprocal_interval():
    """The interval of 1/alpha, turned over: asymmetric, and open above when it holds 0."""
    parts = {"pivot": "reciprocal", "reciprocal": 0.5}
    found = TailIndexEstimate(2.0, 0.4, 100, "any", reciprocal_error=0.1, **parts)
    reach = 1.959964 * 0.1
    assert found.confidence_interval() == pytest.approx((1 / (0.5 + reach), 1 / (0.5 - reach)))
    wide = TailIndexEstimate(2.0, 4.0, 100, "any", reciprocal_error=1.0, **parts)
    assert wide.confidence_interval().high == np.inf


def test_no_power_tail_has_an_interval():
    """1/alpha below 0: alpha is inf, and the interval of 1/alpha says how small it may be."""
    parts = {"pivot": "reciprocal", "reciprocal_error": 0.1}
    near = TailIndexEstimate(np.inf, np.inf, 100, "any", reciprocal=-0.1, **parts)
    assert near.confidence_interval() == pytest.approx((1 / 0.0959964, np.inf))
    far = TailIndexEstimate(np.inf, np.inf, 100, "any", reciprocal=-0.3, **parts)
    assert far.confidence_interval() == (np.inf, np.inf)


def test_square_reciprocal_interval():
    """An interval of alpha**-2: ends are square roots."""
    found = TailIndexEstimate(
        2.0, 0.4, 100, "any", pivot="reciprocal", reciprocal=0.25, reciprocal_error=0.05, power=2
    )
    reach = 1.959964 * 0.05
    expected = ((0.25 + reach) ** -0.5, (0.25 - reach) ** -0.5)
    assert found.confidence_interval() == pytest.approx(expected)


def test_cut_at_the_upper_end():
    found = TailIndexEstimate(1.95, 0.1, 100, "any", upper=2.0).confidence_interval()
    assert found.high == 2.0
    assert found.low == pytest.approx(1.95 - 0.1959964)


@pytest.mark.parametrize("level", [0, 1, 95, -0.1])
def test_level_out_of_range(level):
    with pytest.raises(ValueError, match=f"between 0 and 1, got {level}"):
        TailIndexEstimate(1.5, 0.1, 100, "any").confidence_interval(level)
