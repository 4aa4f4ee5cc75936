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
    """1, 2, 3, 6 watched until 4, and a fifth path that diverged."""
    whole = escape([1, 2, 3, 6, 9], diverged=[4]).mean_with_error()
    assert whole == (3, pytest.approx(math.sqrt((4 + 1 + 0 + 9) / 3 / 4)), "mean")
    cut = escape([1, 2, 3, 6, 9], end=4, diverged=[4])
    assert (cut.n_paths, cut.n_exits, cut.diverged, cut.censored.sum()) == (5, 3, 1, 1)
    found = cut.mean_with_error()
    assert found.kind == "restricted mean"
    assert found.value == 2.5
    assert cut.mean_with_error(law="exponential") == (
        pytest.approx(10 / 3),
        pytest.approx(10 / 3 / math.sqrt(3)),
        "exponential",
    )
    assert str(cut) == (
        "3 of 5 paths left; 1 were still inside at time 4 (censored); 1 diverged at step size 0.1 "
        "and are not counted; exit time 2.5 ± 0.65 (restricted mean); 3.333 ± 1.9 (exponential)"
    )


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
    with pytest.raises(ValueError, match=r"2 of 3 paths diverged at step size 0\.1"):
        escape([1, 2, 3], diverged=[0, 1]).mean_with_error()
