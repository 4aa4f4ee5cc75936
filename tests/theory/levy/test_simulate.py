from __future__ import annotations

import math

import pytest
import torch

from noise_lens.theory.levy import gradient_system, simulate

WELL = gradient_system(lambda x: x, epsilon=0.2, alpha=1.5)


def test_kept_positions_are_those_of_the_same_paths():
    """Every fifth of all positions is what keep_every=5 keeps, across blocks of steps."""
    options = {"n_steps": 3000, "step_size": 0.1, "n_paths": 100, "seed": 3}
    every = simulate(WELL, 0.5, keep_every=1, **options)
    fifth = simulate(WELL, 0.5, keep_every=5, **options)
    ends = simulate(WELL, 0.5, **options)
    assert every.positions.shape == (3001, 100, 1)
    assert torch.equal(fifth.positions, every.positions[::5])
    assert torch.equal(ends.positions, every.positions[[0, -1]])
    assert fifth.times[:3].tolist() == [0, 0.5, 1.0]
    assert ends.times.tolist() == [0, pytest.approx(300)]


def test_a_driftless_walk_sums_its_noise():
    """The sum over a block at once is the sum step by step."""
    at_once = gradient_system(epsilon=0.2, alpha=1.5)
    by_steps = gradient_system(lambda x: 0 * x, epsilon=0.2, alpha=1.5)
    options = {"n_steps": 200, "step_size": 0.1, "n_paths": 9, "keep_every": 1}
    torch.testing.assert_close(
        simulate(at_once, 0.0, **options).positions, simulate(by_steps, 0.0, **options).positions
    )


def test_seeds_and_starts():
    before = torch.random.get_rng_state()
    options = {"n_steps": 5, "step_size": 0.1, "n_paths": 3}
    one = simulate(WELL, [[0.0], [1.0], [2.0]], seed=1, **options)
    assert one.positions[0, :, 0].tolist() == [0, 1, 2]
    assert torch.equal(
        one.positions, simulate(WELL, [[0.0], [1.0], [2.0]], seed=1, **options).positions
    )
    assert not torch.equal(one.positions[-1], simulate(WELL, 0.0, seed=2, **options).positions[-1])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_steps_beyond_stability_diverge():
    """Curvature times step 3: every step doubles the distance, until it is infinite."""
    options = {"n_steps": 2000, "n_paths": 20}
    beyond = simulate(WELL, 0.0, step_size=3.0, **options)
    assert beyond.n_diverged == 20
    assert beyond.diverged.all()
    assert simulate(WELL, 0.0, step_size=1.9, **options).n_diverged == 0


def test_a_path_lost_in_the_potential_is_counted_and_others_are_not():
    """V = log x has no value at -1 and below; a path that jumps there is lost, for itself."""
    pit = gradient_system(potential=lambda x: x.sqrt().sum(1), epsilon=0.5, alpha=1.5)
    found = simulate(pit, 3.0, n_steps=20, step_size=0.1, n_paths=500)
    assert 0 < found.n_diverged < 500
    assert torch.equal(found.positions[-1].isfinite().all(1), ~found.diverged)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"step_size": -0.1}, "step_size must be positive and finite, got -0.1"),
        ({"step_size": math.inf}, "step_size must be positive"),
        ({"n_steps": 0}, "n_steps must be a whole number of at least 1, got 0"),
        ({"n_paths": 2.5}, "n_paths must be a whole number"),
        ({"keep_every": 11}, r"\[1, n_steps=10\], got 11"),
        ({"start": math.nan}, "start must be finite, got"),
        ({"start": [[0.0], [1.0]]}, r"each of the 7 paths, got shape \(2, 1\)"),
    ],
)
def test_what_cannot_be_simulated_is_refused(options, said):
    options = {"start": 0.0, "n_steps": 10, "step_size": 0.1, "n_paths": 7} | options
    with pytest.raises(ValueError, match=said):
        simulate(WELL, options.pop("start"), **options)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_potential_without_a_value_at_the_start_is_refused(value):
    hole = gradient_system(lambda x: x * value, epsilon=0.1, alpha=1.5)
    with pytest.raises(ValueError, match=r"the drift at the start \[1.0\] is NaN or infinite"):
        simulate(hole, 1.0, n_steps=1, step_size=0.1)
