"""Monte Carlo against exact moments of products of matrices.

The second moment of a product grows as the spectral radius of E[M x M], the fourth as that of
E[M x M x M x M] (Kronecker products), so alpha = 2 and 4 are where these are 1: exact for any
data set and any momentum. Seeds are fixed; |z| < 4 fails a right program once in 16,000.
"""

from __future__ import annotations

import math
from functools import reduce
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.optimize import brentq

from noise_lens.theory.kesten import (
    critical_step_size,
    gaussian_inputs,
    kesten_tail_of_inputs,
    lyapunov_exponent,
)
from noise_lens.theory.kesten.minibatches import Minibatches
from noise_lens.theory.kesten.population import long_run_variance

SMALL = {"n_particles": 1000, "n_steps": 120}


def z_score(tail, alpha: float) -> float:
    return float((tail - alpha) / tail.standard_error)


@pytest.mark.parametrize(("b", "d", "alpha"), [(1, 1, 1.0), (1, 2, 2.5), (3, 4, 1.5)])
def test_gaussian_inputs_have_the_index_of_the_closed_form(b, d, alpha):
    eta = critical_step_size(b, d, sigma=2, alpha=alpha)

    tail = kesten_tail_of_inputs(gaussian_inputs(d, sigma=2), eta, b, **SMALL)

    assert abs(z_score(tail, alpha)) < 4
    assert tail.standard_error < 0.1
    assert tail.lyapunov_exponent == pytest.approx(lyapunov_exponent(eta, b, d, 2), abs=0.01)


@pytest.mark.slow
def test_errors_are_honest():
    """z scores of 100 small runs: mean 0 and spread 1, to the bias that the page states."""
    eta = critical_step_size(1, 2, alpha=1.5)
    source = gaussian_inputs(2)

    z = [
        z_score(kesten_tail_of_inputs(source, eta, 1, n_particles=400, n_steps=80, seed=seed), 1.5)
        for seed in range(100)
    ]

    assert abs(np.mean(z)) < 0.4
    assert 0.8 < np.std(z) < 1.3


# -- exact moments ------------------------------------------------------------------------------


def step_matrix(hessian, eta: float, momentum: float):
    """Return what a step does to two successive iterates, or to one without momentum."""
    d = len(hessian)
    now = np.eye(d) - eta * hessian
    if not momentum:
        return now
    first = np.hstack([now + momentum * np.eye(d), -momentum * np.eye(d)])
    return np.vstack([first, np.hstack([np.eye(d), np.zeros((d, d))])])


def growth_of_moment(order: int, hessians, weights, eta: float, momentum: float) -> float:
    powers = [
        weight * reduce(np.kron, [step_matrix(hessian, eta, momentum)] * order)
        for hessian, weight in zip(hessians, weights, strict=True)
    ]
    return float(np.abs(np.linalg.eigvals(sum(powers))).max())


def step_size_of(order: int, hessians, weights, momentum: float) -> float:
    def excess(eta: float) -> float:
        return growth_of_moment(order, hessians, weights, eta, momentum) - 1

    high = 0.01
    while excess(high) < 0:
        high *= 1.1
    return float(brentq(excess, high / 1.1, high))


@pytest.fixture(scope="module")
def data():
    """Return 30 inputs whose coordinates have unequal scales: directions matter."""
    rng = np.random.default_rng(5)
    return rng.standard_normal((30, 3)) * [1.0, 0.6, 0.3]


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_a_data_set_has_index_two_where_its_second_moment_stands_still(data, momentum):
    hessians = [np.outer(a, a) for a in data]
    eta = step_size_of(2, hessians, np.full(30, 1 / 30), momentum)

    tail = kesten_tail_of_inputs(data, eta, 1, momentum=momentum, n_particles=1000, n_steps=200)

    assert abs(z_score(tail, 2)) < 4
    assert tail.standard_error < 0.06


def test_pairs_without_replacement(data):
    """All pairs are enumerated: with replacement the same step size has another index."""
    pairs = [(np.outer(a, a) + np.outer(c, c)) / 2 for a, c in combinations(data, 2)]
    eta = step_size_of(2, pairs, np.full(len(pairs), 1 / len(pairs)), 0.0)

    apart = kesten_tail_of_inputs(data, eta, 2, replace=False, **SMALL)
    perhaps_twice = kesten_tail_of_inputs(data, eta, 2, replace=True, **SMALL)

    assert abs(z_score(apart, 2)) < 4
    assert z_score(perhaps_twice, 2) < -5  # a row twice is a minibatch of one


@pytest.mark.parametrize(
    ("order", "momentum", "n_particles", "n_steps"),
    [(2, 0.5, 1000, 200), (4, 0.5, 8000, 120), (4, 0.0, 8000, 120), (2, 0.9, 1000, 400)],
)
def test_momentum_in_one_dimension(order, momentum, n_particles, n_steps):
    """Gaussian inputs; the mean Kronecker power by Gauss-Hermite nodes, exact for polynomials."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(2 * order + 2)
    weights = weights / weights.sum()
    hessians = [np.array([[node**2]]) for node in nodes]
    eta = step_size_of(order, hessians, weights, momentum)

    tail = kesten_tail_of_inputs(
        gaussian_inputs(1), eta, 1, momentum=momentum, n_particles=n_particles, n_steps=n_steps
    )

    assert abs(z_score(tail, order)) < 4
    assert tail.standard_error < 0.25


def test_a_minibatch_that_forgets_everything():
    """Inputs 1 and 2 at step size 1: M is 0 or -3, so 3^alpha = 2 although E log|M| = -inf."""
    tail = kesten_tail_of_inputs([[1.0], [2.0]], 1.0, 1, **SMALL)

    assert abs(z_score(tail, math.log(2) / math.log(3))) < 4
    assert tail.lyapunov_exponent == -math.inf


# -- what is not a number -----------------------------------------------------------------------


def test_light_where_no_minibatch_expands(data):
    edge = 2 / (data**2).sum(axis=1).max()

    light = kesten_tail_of_inputs(data, 0.999 * edge, 1, **SMALL)
    above = kesten_tail_of_inputs(data, 1.5 * edge, 1, **SMALL)

    assert light.regime == "light"
    assert float(light) == math.inf
    assert str(light).startswith("light tail: no minibatch ever expands, Lyapunov exponent -")
    assert above.regime == "heavy"


def test_beyond_measure_where_the_moment_is_carried_by_too_few():
    """At alpha = 10 the 20th moment decides, which 1000 directions do not see."""
    eta = critical_step_size(1, 1, alpha=10)

    tail = kesten_tail_of_inputs(gaussian_inputs(1), eta, 1, **SMALL)

    assert tail.regime == "beyond measure"
    assert 0.5 < tail.seen < 10
    with pytest.raises(ValueError, match="beyond measure, above"):
        float(tail)


def test_diverging_and_undecided():
    source = gaussian_inputs(1)

    assert kesten_tail_of_inputs(source, 4.0, 1, **SMALL).regime == "no stationary law"
    assert kesten_tail_of_inputs(source, 2.4212, 1, **SMALL).regime == "undecided"


def test_whole_data_as_a_minibatch_is_light(data):
    """Without replacement all 30 rows make a step without randomness."""
    tail = kesten_tail_of_inputs(data, 1.0, 30, replace=False, **SMALL)

    assert tail.regime == "light"


def test_momentum_lightens_no_step_by_proof(data):
    """With momentum a bound on minibatches proves nothing: beyond measure, not light."""
    tail = kesten_tail_of_inputs(data, 0.05, 1, momentum=0.5, **SMALL)

    assert tail.regime == "beyond measure"


# -- parts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_rows", "batch_size"), [(5, 2), (5, 5), (30, 3)])
def test_rows_without_replacement_are_uniform_on_sets(n_rows, batch_size):
    generator = torch.Generator().manual_seed(3)
    minibatches = Minibatches(np.eye(n_rows), batch_size, replace=False, generator=generator)

    ((_, drawn),) = minibatches.chunks(4000)
    rows = drawn.argmax(dim=2).sort(dim=1).values

    assert (rows.diff(dim=1) > 0).all()
    counts = rows.flatten().bincount(minlength=n_rows).numpy()
    assert stats.chisquare(counts).pvalue > 1e-4
    if n_rows == 5 and batch_size == 2:
        codes = (5 * rows[:, 0] + rows[:, 1]).unique(return_counts=True)[1].numpy()
        assert len(codes) == 10
        assert stats.chisquare(codes).pvalue > 1e-4


@pytest.mark.parametrize("correlation", [0.0, 0.7])
def test_long_run_variance_of_an_autoregression(rng, correlation):
    """x_k = c x_{k-1} + e_k: n times the variance of the mean tends to 1 / (1 - c)^2."""
    found = []
    for _ in range(50):
        noise, x = rng.standard_normal(500), np.zeros(500)
        for k in range(1, 500):
            x[k] = correlation * x[k - 1] + noise[k]
        found.append(long_run_variance(x))

    assert np.mean(found) == pytest.approx(1 / (1 - correlation) ** 2, rel=0.12)


def test_one_seed_is_one_answer_and_torch_is_left_alone():
    before = torch.get_rng_state()
    first, again, other = (
        kesten_tail_of_inputs(gaussian_inputs(1), 0.8, 1, seed=seed, n_particles=1000, n_steps=60)
        for seed in (1, 1, 2)
    )

    assert float(first) == float(again) != float(other)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((np.eye(2), -1.0, 1), {}, "step_size must be above 0, got -1"),
        ((np.eye(2), 1.0, 0), {}, "batch_size must be a whole number of at least 1, got 0"),
        ((np.eye(2), [0.1, 0.2], 1), {}, "one step size and one batch size at a time"),
        ((np.eye(2), 1.0, 1), {"momentum": 1.0}, r"momentum must lie in \[0, 1\), got 1"),
        ((np.eye(2), 1.0, 3), {"replace": False}, "at most the 2 rows of inputs.*got 3"),
        ((np.ones(4), 1.0, 1), {}, r"array of shape \(n, dim\).*got shape \(4,\)"),
        (([[1.0, math.nan]], 1.0, 1), {}, "inputs must be finite"),
        ((np.ones((5, 2)), 1.0, 1), {}, "must span their 2 dimensions, got rank 1"),
        ((lambda n, g: torch.ones(3), 1.0, 1), {}, r"must return n rows, asked for \d, got shape"),
        ((np.eye(2), 1.0, 1), {"n_particles": 10}, "n_particles must be a whole number of at"),
        ((np.eye(2), 1.0, 1), {"n_steps": 10}, "n_steps must be a whole number of at least 60"),
    ],
)
def test_bad_input(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        kesten_tail_of_inputs(*arguments, **options)
