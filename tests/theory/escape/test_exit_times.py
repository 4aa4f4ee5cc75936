from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from noise_lens.theory.escape import EscapeTimes


def escape(times, end=math.inf, diverged=()):
    """The record of paths that would leave at `times`, watched until `end`."""
    times = np.array(times, dtype=float)
    lost = np.isin(np.arange(len(times)), diverged)
    censored = (times >= end) & ~lost
    return EscapeTimes(
        times=times.clip(max=end),
        censored=censored,
        diverged_paths=lost,
        exit_points=np.zeros((int((~censored & ~lost).sum()), 1)),
        step_size=0.1,
        max_time=end,
    )


def test_means_by_hand():
    """1, 2, 3, 6 watched until 4."""
    whole = escape([1, 2, 3, 6]).mean_with_error()
    assert whole == (3, pytest.approx(math.sqrt((4 + 1 + 0 + 9) / 3 / 4)), "mean")
    cut = escape([1, 2, 3, 6], end=4)
    assert (cut.n_paths, cut.n_exits, cut.diverged, cut.censored.sum()) == (4, 3, 0, 1)
    found = cut.mean_with_error()
    assert found.kind == "restricted mean"
    assert found.value == 2.5
    assert cut.mean_with_error(law="exponential") == (
        pytest.approx(10 / 3),
        pytest.approx(10 / 3 / math.sqrt(3)),
        "exponential",
    )
    assert str(cut) == (
        "3 of 4 paths left; 1 were still inside at time 4 (censored); "
        "exit time 2.5 ± 0.65 (restricted mean); 3.333 ± 1.9 (exponential)"
    )


def test_a_few_diverged_paths_are_named_in_the_kind():
    """2 of 40 diverged: the mean of the 38 others, by hand 19.5, and it says whose it is."""
    few = escape([*range(1, 39), 99, 99], diverged=[38, 39])
    found = few.mean_with_error()
    assert found.value == 19.5
    assert found.kind == "mean of paths that did not diverge"
    assert "19.5 ± 1.8 (mean of paths that did not diverge)" in str(few)
    cut = escape([*range(1, 39), 99, 99], end=20, diverged=[38, 39])
    assert cut.mean_with_error().kind == "restricted mean of paths that did not diverge"
    law = cut.mean_with_error(law="exponential")
    assert law.kind == "exponential of paths that did not diverge"
    none = escape([9.0] * 39 + [1], end=4, diverged=[39]).mean_with_error()
    assert str(none).endswith("no path left (of paths that did not diverge)")


def test_means_of_survivors_are_none():
    """Above 5 %: no mean, no law, and words that say how many and what to do."""
    many = escape(np.arange(1.0, 41), diverged=[37, 38, 39])
    for law in ("any", "exponential"):
        found = many.mean_with_error(law=law)
        assert found.kind == "no mean"
        assert math.isnan(found.value)
        assert str(found).startswith("no mean exit time: 3 of 40 paths diverged at step size 0.1,")
        assert "Take a smaller step" in str(found)
    assert str(found) in str(many)
    assert "±" not in str(many)
    assert "nan" not in str(many)
    with pytest.raises(ValueError, match="no law of exit times, and no mean exit time: 3 of 40"):
        many.exponential_test()


def test_censored_exponential_times_have_the_right_mean_and_error():
    """z-scores of 400 samples have mean 0 and spread 1."""
    rng = np.random.default_rng(0)
    z = []
    for _ in range(400):
        found = escape(rng.exponential(7.0, 300), end=5.0).mean_with_error(law="exponential")
        z.append((found.value - 7.0) / found.standard_error)
    assert abs(np.mean(z)) < 0.2  # 4 errors; skewness is 1/sqrt(exits) of it
    assert 0.87 < np.std(z) < 1.13


@pytest.mark.parametrize("end", [math.inf, 5.0])
def test_exponential_times_pass_as_often_as_they_should(end):
    """p-values of exponential samples are uniform, the mean fitted and censoring or not."""
    rng = np.random.default_rng(3)
    found = [
        escape(rng.exponential(7.0, 80), end).exponential_test(n_resamples=99, seed=k).pvalue
        for k in range(200)
    ]
    jitter = np.random.default_rng(1).uniform(0, 0.01, 200)
    assert stats.kstest(np.array(found) - jitter, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("end", [math.inf, 0.9])
def test_other_laws_fail(end):
    rng = np.random.default_rng(2)
    assert escape(rng.uniform(0, 2, 1000), end).exponential_test().pvalue < 0.01
    assert escape(rng.gamma(0.6, 1.0, 1000), end).exponential_test().pvalue < 0.01


def test_what_cannot_be_said_is_refused():
    with pytest.raises(ValueError, match="at least 5 exits, got 3 of 4 paths"):
        escape([1, 2, 3, 6], end=4).exponential_test()
    with pytest.raises(ValueError, match='"any" or "exponential", got \'normal\''):
        escape([1, 2]).mean_with_error(law="normal")
    with pytest.raises(ValueError, match="at least 2 paths, got 1"):
        escape([1]).mean_with_error()
    assert str(escape([1])) == "1 of 1 paths left"
