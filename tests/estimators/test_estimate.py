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
    found = TailIndexEstimate(2.0, 0.4, 100, "any", pivot="reciprocal").confidence_interval()
    reach = 1.959964 * 0.4 / 4
    assert found == pytest.approx((1 / (0.5 + reach), 1 / (0.5 - reach)))
    wide = TailIndexEstimate(2.0, 4.0, 100, "any", pivot="reciprocal").confidence_interval()
    assert wide.high == np.inf


def test_cut_at_the_upper_end():
    found = TailIndexEstimate(1.95, 0.1, 100, "any", upper=2.0).confidence_interval()
    assert found.high == 2.0
    assert found.low == pytest.approx(1.95 - 0.1959964)


@pytest.mark.parametrize("level", [0, 1, 95, -0.1])
def test_level_out_of_range(level):
    with pytest.raises(ValueError, match=f"between 0 and 1, got {level}"):
        TailIndexEstimate(1.5, 0.1, 100, "any").confidence_interval(level)
