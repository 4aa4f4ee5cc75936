from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from noise_lens.theory.levy import StepHalving, adam_system, gradient_system, step_halving


def cosine(positions):
    return positions[:, 0].cos()


def exact_mean_cosine(alpha, epsilon, start, h, n):
    """E cos X_n of the scheme, and (h = None) of the equation at time n, of dX = -X dt + eps dL."""
    if h is None:
        decay = epsilon**alpha * -math.expm1(-alpha * n) / alpha
        return math.cos(start * math.exp(-n)) * math.exp(-decay)
    decay = epsilon**alpha * h * sum((1 - h) ** (alpha * j) for j in range(n))
    return math.cos(start * (1 - h) ** n) * math.exp(-decay)


@pytest.mark.parametrize("alpha", [1.0, 1.5, 2.0])
def test_both_schemes_have_their_exact_means(alpha):
    """Means at h, at h/2 and their difference, with errors that are right; and what it removes."""
    epsilon, h, n = 0.8, 0.2, 5
    well = gradient_system(lambda x: x, epsilon=epsilon, alpha=alpha)
    found = step_halving(well, 1.0, cosine, n_steps=n, step_size=h, n_paths=100_000, seed=5)
    coarse = exact_mean_cosine(alpha, epsilon, 1.0, h, n)
    fine = exact_mean_cosine(alpha, epsilon, 1.0, h / 2, 2 * n)
    for values, mean in ((found.coarse, coarse), (found.fine, fine)):
        assert abs(values.mean() - mean) < 4.5 * values.std() / math.sqrt(len(values))
    moved = found.difference
    assert abs(moved.value - (fine - coarse)) < 4.5 * moved.standard_error
    # The same paths: the difference is known far better than either.
    assert moved.standard_error < 0.3 * found.fine.std() / math.sqrt(len(found.fine))
    end = found.extrapolated()
    assert abs(end.value - (2 * fine - coarse)) < 4.5 * end.standard_error
    truth = exact_mean_cosine(alpha, epsilon, 1.0, None, n * h)
    assert abs(2 * fine - coarse - truth) < abs(fine - truth) / 3


def test_without_noise_the_difference_is_the_schemes():
    flow = gradient_system(lambda x: x, epsilon=0.0, alpha=1.5)
    found = step_halving(flow, 1.0, lambda x: x[:, 0], n_steps=3, step_size=0.5, n_paths=2)
    assert found.difference == (pytest.approx(0.75**6 - 0.5**3), 0)
    assert found.extrapolated(order=2).value == pytest.approx(0.75**6 + (0.75**6 - 0.125) / 3)


def test_adam_has_a_halving_too():
    system = adam_system(lambda x: x, epsilon=0.05, alpha=1.7)
    found = step_halving(system, 1.0, cosine, n_steps=40, step_size=0.05, n_paths=200)
    assert np.corrcoef(found.coarse, found.fine)[0, 1] > 0.95


def test_paths_that_diverge_are_left_out_and_said():
    """At curvature times step 3 the coarse scheme is infinite, at 1.5 the fine one is not."""
    well = gradient_system(lambda x: x, epsilon=0.1, alpha=1.5)
    found = step_halving(well, 0.1, cosine, n_steps=3000, step_size=3.0, n_paths=5)
    assert found.n_diverged == 5
    with pytest.raises(ValueError, match="5 of 5 paths diverged at step 3 or half of it"):
        found.extrapolated()
    said = str(StepHalving(0.1, np.array([1.0, 2.0]), np.array([1.5, 2.5]), 1.0, n_diverged=3))
    assert said == (
        "no extrapolation to step size 0: 3 of 5 paths diverged at step 0.1 or half of it, and "
        "the others do not speak for them: take a smaller step"
    )
    few = StepHalving(0.1, np.array([1.0, 2.0] * 20), np.array([1.5, 2.5] * 20), 1.0, n_diverged=2)
    assert str(few) == (
        "1.5 at step 0.1, 2 at half of it: moved by 0.5 ± 0; extrapolated at order 1: "
        "2.5 ± 0.08; 2 paths that diverged are left out"
    )


def test_what_cannot_be_halved_is_refused():
    well = gradient_system(lambda x: x, epsilon=0.1, alpha=1.5)
    with pytest.raises(ValueError, match=r"one number for each of 4 paths, got shape \(4, 1\)"):
        step_halving(well, 0.0, torch.cos, n_steps=2, step_size=0.1, n_paths=4)
    with pytest.raises(ValueError, match="order must be positive, got 0"):
        StepHalving(0.1, np.zeros(3), np.zeros(3), 1.0).extrapolated(order=0)
