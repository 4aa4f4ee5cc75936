"""What the noise at the solution does: without any there is no tail, and little takes longer."""

from __future__ import annotations

import numpy as np
import pytest

from noise_lens.theory.kesten import kesten_tail_index
from noise_lens.theory.stationary import simulate_stationary, stationary_tails, theoretical_tail

INPUTS = np.random.default_rng(0).normal(size=(50, 2))
ANY = kesten_tail_index(0.6, 1, 2)  # where what is looked at is not the theory
NOISE = np.random.default_rng(1).normal(size=50)


@pytest.mark.parametrize(
    ("targets", "batch_size", "start"),
    [(INPUTS[:, 0], 1, None), (1e9 * INPUTS[:, 0], 2, 0.0), (INPUTS[:, 0] + NOISE, 6, 5.0)],
)
def test_a_law_that_is_a_point_has_no_tail(targets, batch_size, start):
    """Every minibatch leaves the solution where it is: from there no run ever moves."""
    n = 6 if batch_size == 6 else 50  # of these all
    sample = simulate_stationary(
        0.6, batch_size, data=(INPUTS[:n], targets[:n]), n_replicas=600, start=start
    )
    assert sample.regime == "degenerate"
    assert "that point and has no tail" in str(sample)
    assert np.median(np.abs(sample.iterates)) < 1e-5 * np.abs(targets).max()
    for row in stationary_tails(sample, theory=ANY):
        assert row.estimate is None
        assert row.label == "of a law that is a point and has no tail"
        assert str(row).endswith("no estimate (of a law that is a point and has no tail)")


def test_the_theory_of_a_point_is_words():
    tail = theoretical_tail(
        simulate_stationary(0.6, 1, data=(INPUTS, INPUTS[:, 0]), n_replicas=300)
    )
    assert tail.regime == "degenerate"
    assert "the law is a point" in str(tail)
    with pytest.raises(ValueError, match="the law is a point"):
        float(tail)


def test_rows_of_zeros_are_no_noise():
    """What is left there pushes nothing: a r = 0."""
    inputs, targets = np.append(INPUTS, [[0, 0]], 0), np.append(INPUTS[:, 0], 7.0)
    assert simulate_stationary(0.6, 1, data=(inputs, targets), n_replicas=300).noiseless


def test_a_run_without_noise_beyond_stability_diverges():
    sample = simulate_stationary(
        5.0, 1, data=(INPUTS, INPUTS[:, 0]), n_replicas=300, start=1.0, n_steps=50
    )
    assert sample.regime == "diverging"


@pytest.mark.parametrize("start", [None, 0.0])
def test_the_unit_of_the_noise_is_no_matter(start):
    """About the solution the recursion is linear in the noise: 1e-6 of it is 1e-6 of the law.

    Hill on 5,000 replicas has an error of 0.3; what is left of a start reads 0.68.
    """
    data = INPUTS, INPUTS[:, 0] + 1e-6 * NOISE
    sample = simulate_stationary(0.6, 1, data=data, n_replicas=5000, start=start)
    assert sample.regime == "stationary"
    hill = stationary_tails(sample, theory=ANY)[0]
    assert hill.estimate.alpha == pytest.approx(2.16, abs=1.0)
    if start is None:
        large = simulate_stationary(0.6, 1, data=(INPUTS, INPUTS[:, 0] + NOISE), n_replicas=5000)
        assert np.allclose(1e6 * sample.iterates, large.iterates, rtol=1e-6, atol=1e-6)


def test_a_far_start_takes_longer():
    """exp(rho k) of a million noises: 14 / abs(rho) steps more."""
    data = INPUTS, INPUTS[:, 0] + 1e-6 * NOISE
    short = simulate_stationary(0.6, 1, data=data, n_replicas=300, n_steps=130, start=0.0)
    assert short.regime == "not mixed"
    near = simulate_stationary(0.6, 1, data=data, n_replicas=300, n_steps=130)
    assert near.regime == "stationary"
    assert short.needed_burn_in == pytest.approx(near.needed_burn_in * 2.4, rel=0.05)


@pytest.mark.parametrize(("cell", "theory"), [((2.0, 1, 1), 0.166)])
def test_an_index_below_one_takes_longer_to_mix(cell, theory):
    """Only moments below alpha settle. After 10 / abs(rho) steps Hill read 0.28 here.

    10,000 replicas: the error of Hill is 0.017.
    """
    sample = simulate_stationary(*cell, n_replicas=10_000, seed=1)
    assert sample.burn_in == sample.needed_burn_in
    assert sample.burn_in == pytest.approx(10 / (theory * -sample.lyapunov_exponent), rel=0.01)
    hill = stationary_tails(sample)[0]
    assert hill.theory.alpha == pytest.approx(theory, abs=1e-3)
    assert hill.estimate.alpha == pytest.approx(theory, abs=0.07)
    short = simulate_stationary(*cell, n_replicas=10, n_steps=200)
    assert short.burn_in * -short.lyapunov_exponent > 10
    assert short.regime == "not mixed"
