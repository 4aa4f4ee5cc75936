from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from noise_lens.stable import SymmetricStable
from noise_lens.theory.escape import (
    Ball,
    Interval,
    escape_times,
    escape_times_from,
    getoor_mean_exit_time,
    jump_density_constant,
    linear_well_exit_time,
)
from noise_lens.theory.levy import adam_system, gradient_system, simulate

UNIT = Interval(-1, 1)


def well(epsilon, alpha, curvature=1.0):
    return gradient_system(lambda x: curvature * x, epsilon=epsilon, alpha=alpha)


class Half:
    """x > -1: infinity belongs to it."""

    def contains(self, points):
        return points[:, 0] > -1


def test_drift_alone_leaves_when_it_must():
    """dX = X dt from 1/2 by steps of 0.1: 1.1^8 / 2 is the first beyond 1. It is no divergence."""
    flow = gradient_system(lambda x: -x, epsilon=0.0, alpha=1.5)
    found = escape_times(flow, UNIT, 0.5, n_paths=3, step_size=0.1, max_time=5)
    np.testing.assert_allclose(found.times, 0.8)
    np.testing.assert_allclose(found.exit_points, 1.1**8 / 2)
    assert (found.n_exits, found.diverged, found.censored.any()) == (3, 0, False)


@pytest.mark.parametrize("alpha", [1.0, 1.5, 2.0])
def test_first_steps_leave_with_their_exact_probability(alpha):
    """One step from the centre leaves with P(abs(epsilon h^(1/alpha) xi) > 1)."""
    h, epsilon, n = 0.1, 1.5, 20_000
    motion = gradient_system(epsilon=epsilon, alpha=alpha)
    found = escape_times(motion, UNIT, 0.0, n_paths=n, step_size=h, max_time=3 * h)
    p = 2 * float(SymmetricStable(alpha, epsilon * h ** (1 / alpha)).sf(1.0))
    at_once = int((found.times[found.exited] == h).sum())
    assert abs(at_once - n * p) < 4.5 * math.sqrt(n * p * (1 - p))
    assert (found.times[found.censored] == 3 * h).all()
    assert (np.abs(found.exit_points) > 1).all()


@pytest.mark.parametrize("alpha", [1.5, 2.0])
def test_paths_that_are_left_keep_their_own_state(alpha):
    """Times of the compacted batch have the law of whole paths, looked through one by one."""
    system, n, h, steps = well(0.6, alpha), 8000, 0.05, 100
    found = escape_times(system, UNIT, 0.3, n_paths=n, step_size=h, max_time=steps * h, seed=1)
    paths = simulate(
        system, 0.3, n_steps=steps, step_size=h, n_paths=n, keep_every=1, seed=2
    ).positions[..., 0]
    outside = paths.abs() > 1
    left = outside.any(0)
    first = outside.to(torch.uint8).argmax(0)[left].double() * h
    assert 0.02 < found.censored.mean() < 0.98
    assert abs(found.n_exits - int(left.sum())) < 4.5 * math.sqrt(n / 2)
    test = stats.ks_2samp(found.times[found.exited], first.numpy(), method="asymp")
    assert test.pvalue > 1e-4


def test_linear_well_has_its_exact_mean_and_exponential_law():
    """Against the series at alpha 1.8, epsilon 0.2: extrapolated, within 4.5 errors and 1 %."""
    found = escape_times(
        well(0.25, 1.8), UNIT, 0.0, n_paths=4000, step_size=0.02, max_time=1e5, halving=True
    )
    exact = linear_well_exit_time(1.8, 0.25)
    mean, error = found.halving.extrapolated()
    assert abs(mean - exact) < 4.5 * error + 0.01 * exact
    assert found.exponential_test().pvalue > 1e-3


def test_halving_walks_the_same_paths():
    motion = gradient_system(epsilon=1.0, alpha=1.5)
    found = escape_times(
        motion, UNIT, 0.0, n_paths=20_000, step_size=0.02, max_time=50, halving=True
    )
    pair = found.halving
    assert np.corrcoef(pair.coarse, pair.fine)[0, 1] > 0.9
    assert found.step_size == 0.01
    assert np.array_equal(found.times, pair.fine)
    assert pair.order == pytest.approx(1 / 1.5)
    # Fewer looks see fewer exits: the mean falls when the step is halved.
    assert pair.difference.value < -5 * pair.difference.standard_error
    exact = float(getoor_mean_exit_time(0.0, 1.0, 1.5, 1))
    mean, error = pair.extrapolated()
    assert abs(mean - exact) < 4.5 * error + 0.005 * exact
    assert abs(pair.fine.mean() - exact) > 0.02 * exact


@pytest.mark.parametrize(
    ("epsilon", "step_size", "said"),
    [
        (100.0, 0.05, "steps of 0.05, fewer than 10: take a smaller step"),
        (0.1, 1.9, "halving moves the mean by .*%"),
        (0.1, 3.0, r"of 300 paths diverged at step 3 or half of it.*smaller step"),
    ],
)
def test_steps_too_long_to_extrapolate_from(epsilon, step_size, said):
    """Richardson's formula would give a negative time in the first, and survivors' in the last."""
    found = escape_times(
        well(epsilon, 1.5), UNIT, 0.0, n_paths=300, step_size=step_size, max_time=1000, halving=True
    )
    with pytest.raises(ValueError, match="no extrapolation to step size 0: .*" + said):
        found.halving.extrapolated()
    assert "no extrapolation" in str(found.halving)
    assert "extrapolated at" not in str(found.halving)


def test_several_starts_share_their_noise():
    motion = gradient_system(epsilon=1.0, alpha=1.5, jumps="isotropic")
    options = {"n_paths": 2000, "step_size": 0.05, "max_time": 20.0, "seed": 4}
    centre, near = escape_times_from(motion, Ball(1.0, 2), [[0.0, 0.0], [0.1, 0.0]], **options)
    assert np.corrcoef(centre.times, near.times)[0, 1] > 0.8
    one = escape_times_from(motion, Ball(1.0, 2), [[0.0, 0.0]], **options)[0]
    same = escape_times(motion, Ball(1.0, 2), [0.0, 0.0], **options)
    assert np.array_equal(one.times, same.times)
    assert np.array_equal(one.exit_points, same.exit_points)


@pytest.mark.parametrize("curvatures", [[1.0], [0.05, 1.0]])
def test_steps_beyond_stability_are_no_exits(curvatures):
    """Curvature times step 2.5 carries paths out by arithmetic alone; at 1.9 nothing does."""
    scale = torch.tensor(curvatures, dtype=torch.float64)
    system = gradient_system(lambda x: x * scale, epsilon=1e-3, alpha=1.5)
    start, basin = [0.01] * len(curvatures), Ball(1.0, len(curvatures))
    options = {"n_paths": 200, "max_time": 250.0}
    beyond = escape_times(system, basin, start, step_size=2.5, **options)
    assert (beyond.diverged, beyond.n_exits) == (200, 0)
    assert "200 diverged at step size 2.5 and are not counted" in str(beyond)
    assert "200 of 200 paths diverged at step size 2.5" in str(beyond.mean_with_error())
    within = escape_times(system, basin, start, step_size=1.9, **options)
    assert within.diverged == 0


def test_jumps_out_of_a_stable_scheme_are_exits():
    found = escape_times(well(0.3, 1.2), UNIT, 0.0, n_paths=2000, step_size=0.5, max_time=1e5)
    assert (found.n_exits, found.diverged) == (2000, 0)


def test_where_a_jump_lands_does_not_make_it_a_divergence():
    """In V = x^4/4 Euler is stable at the edge, and beyond it three times as far out."""
    quartic = gradient_system(lambda x: x**3, epsilon=0.3, alpha=1.2)
    found = escape_times(quartic, UNIT, 0.0, n_paths=500, step_size=0.1, max_time=1e4)
    assert (np.abs(found.exit_points) > 5).sum() > 20
    assert (found.n_exits, found.diverged) == (500, 0)


def test_paths_without_a_position_are_diverged():
    """Lost to NaN inside, to -inf outside, and to +inf where the basin would keep it."""
    pit = gradient_system(potential=lambda x: x.sqrt().sum(1), epsilon=0.3, alpha=1.5)
    lost = escape_times(pit, Half(), 3.0, n_paths=500, step_size=0.1, max_time=50)
    assert lost.diverged > 100
    assert lost.diverged + lost.n_exits + lost.censored.sum() == 500
    assert np.isfinite(lost.exit_points).all()
    assert np.isfinite(lost.times).all()
    runaway = gradient_system(lambda x: -(x**3), epsilon=0.0, alpha=1.5)
    gone = escape_times(runaway, Half(), 2.0, n_paths=2, step_size=1.0, max_time=3000)
    assert gone.diverged == 2
    assert gone.times[0] < 3000


def test_a_basin_that_is_never_left_is_said_so():
    still = escape_times(well(0.0, 1.5), UNIT, 0.5, n_paths=10, step_size=0.1, max_time=3)
    assert still.censored.all()
    assert still.exit_points.shape == (0, 1)
    assert "0 of 10 paths left; 10 were still inside at time 3 (censored)" in str(still)
    assert still.mean_with_error().kind == "lower bound"
    assert still.mean_with_error().value == pytest.approx(30 / math.log(20))
    assert "above 10.01 (95 %, if the law is exponential): no path left" in str(still)
    with pytest.raises(ValueError, match="at least 5 exits, got 0"):
        still.exponential_test()


def test_adam_escapes_too():
    """Wider noise leaves sooner; the exit point is a position, not a state."""
    means = []
    for scale in (0.05, 0.2):
        system = adam_system(
            lambda x: x, epsilon=scale, alpha=1.5, noise_variance=1.0, beta1=2.0, beta2=2.0
        )
        found = escape_times(
            system, Ball(1.0, 2), [0.0, 0.0], n_paths=300, step_size=0.1, max_time=1e4
        )
        assert found.exit_points.shape == (300, 2)
        means.append(found.mean_with_error().value)
    assert means[0] > 3 * means[1]


def test_seeds():
    before = torch.random.get_rng_state()
    options = {"n_paths": 50, "step_size": 0.1, "max_time": 100.0}
    one, same, other = (
        escape_times(well(0.3, 1.5), UNIT, 0.0, seed=seed, **options).times for seed in (1, 1, 2)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"start": 2.0}, r"the start \[2.0\] lies outside the basin Interval\(-1, 1\)"),
        ({"start": [[0.0], [0.1]]}, "escape_times_from takes several"),
        ({"step_size": 0.0}, "step_size must be positive"),
        ({"max_time": -1.0}, "max_time must be positive and finite, got -1"),
        ({"max_time": math.inf}, "max_time must be positive and finite, got inf"),
        ({"n_paths": 0}, "n_paths must be a whole number of at least 1, got 0"),
        ({"system": well(math.pi, 1.5, math.nan)}, "NaN or infinite"),
    ],
)
def test_what_cannot_escape_is_refused(options, said):
    options = {
        "system": well(0.1, 1.5),
        "start": 0.0,
        "step_size": 0.1,
        "max_time": 1.0,
        "n_paths": 5,
    } | options
    system, start = options.pop("system"), options.pop("start")
    with pytest.raises(ValueError, match=said):
        escape_times(system, UNIT, start, **options)


def test_a_basin_must_answer_every_point():
    class Wrong:
        def contains(self, points):
            return points < 1

    with pytest.raises(ValueError, match=r"booleans of shape \(1,\), got torch.bool of shape"):
        escape_times(well(0.1, 1.5), Wrong(), 0.0, step_size=0.1, max_time=1.0)


@pytest.mark.slow
@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("alpha", [1.0, 1.5, 1.8])
def test_driftless_motion_leaves_a_ball_when_getoor_says(alpha, dim):
    """Within 2 % at two starts; the full table is benchmarks/exit_times.py."""
    motion = gradient_system(epsilon=1.0, alpha=alpha, jumps="isotropic")
    starts = torch.zeros(2, dim)
    starts[1, 0] = 0.5
    found = escape_times_from(
        motion,
        Ball(1.0, dim),
        starts,
        n_paths=40_000,
        step_size=0.006,
        max_time=50.0,
        halving=True,
        seed=round(10 * alpha) + dim,
    )
    for start, times in zip((0.0, 0.5), found, strict=True):
        exact = float(getoor_mean_exit_time(start, 1.0, alpha, dim))
        mean, error = times.halving.extrapolated()
        assert error < 0.0075 * exact
        assert mean == pytest.approx(exact, rel=0.02)
        assert not times.censored.any()


@pytest.mark.slow
@pytest.mark.parametrize(("alpha", "epsilons"), [(1.2, (0.05, 0.02)), (1.5, (0.07, 0.03))])
def test_small_noise_escapes_by_one_jump(alpha, epsilons):
    """Imkeller and Pavlyukevich: epsilon^alpha E tau -> alpha/(2c), the law exponential."""
    means, errors = [], []
    for epsilon in epsilons:
        found = escape_times(
            well(epsilon, alpha), UNIT, 0.0, n_paths=5000, step_size=0.03, max_time=1e6, seed=7
        )
        mean, error, kind = found.mean_with_error()
        assert kind == "mean"
        assert found.exponential_test().pvalue > 1e-3
        means.append(mean)
        errors.append(error / mean)
    limit = alpha / (2 * jump_density_constant(alpha)) * epsilons[-1] ** -alpha
    assert errors[-1] < 0.015
    assert means[-1] == pytest.approx(limit, rel=0.05)
    slope = math.log(means[1] / means[0]) / math.log(epsilons[1] / epsilons[0])
    assert slope == pytest.approx(-alpha, abs=0.08)  # 3 errors of two cells


@pytest.mark.slow
def test_gaussian_noise_escapes_exponentially_late():
    """At alpha 2 the exact mean grows like exp(1 / (2 epsilon^2)), and the simulated mean too."""
    for epsilon in (0.5, 0.4):
        exact = linear_well_exit_time(2.0, epsilon)
        found = escape_times(
            well(epsilon, 2.0), UNIT, 0.0, n_paths=4000, step_size=0.004, max_time=1e4, halving=True
        )
        mean, error = found.halving.extrapolated()
        assert abs(mean - exact) < 4.5 * error + 0.01 * exact
