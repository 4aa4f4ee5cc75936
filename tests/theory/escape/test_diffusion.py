"""Escape at alpha = 2: the exact time against a difference scheme, Kramers' against the exact."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import solve_banded

from noise_lens.theory.escape import (
    Interval,
    LevelSet,
    adam_diffusion_time,
    ball_exit_time,
    getoor_mean_exit_time,
    kramers_exit_time,
    kramers_level_set_time,
    mean_exit_time,
    momentum_diffusion_time,
    sgd_diffusion_time,
)


def well(x):
    return x[:, 0] ** 2 / 2


def double_well(x):
    return (x[:, 0] ** 2 - 1) ** 2 / 4


def tilted(x):
    return torch.cos(3 * x[:, 0]) + 0.7 * x[:, 0] ** 2 + 0.3 * x[:, 0]


def _by_differences(potential, low, start, high, epsilon, n=20_000):
    """Solve epsilon^2 u'' - V' u' = -1 on a grid, in its conservative form."""
    x = np.linspace(low, high, n + 1)
    half = (x[1:] + x[:-1]) / 2
    flux = np.exp(-potential(torch.as_tensor(half)[:, None]).numpy() / epsilon**2)
    mass = np.exp(-potential(torch.as_tensor(x[1:-1])[:, None]).numpy() / epsilon**2)
    h = x[1] - x[0]
    band = np.zeros((3, n - 1))
    band[0, 1:] = -flux[1:-1]
    band[1] = flux[:-1] + flux[1:]
    band[2, :-1] = -flux[1:-1]
    u = solve_banded((1, 1), band, mass * h**2 / epsilon**2)
    return np.interp(start, x[1:-1], u)


@pytest.mark.parametrize("epsilon", [1.0, 0.7, 0.5])
@pytest.mark.parametrize(
    ("potential", "low", "start", "high"),
    [(well, -1, 0.0, 1), (well, -1, 0.7, 1.5), (double_well, -2, -1.0, 0.5), (tilted, -2, 0.3, 2)],
)
def test_exact_time_against_a_difference_scheme(potential, low, start, high, epsilon):
    exact = mean_exit_time(potential, Interval(low, high, centre=start), epsilon=epsilon)
    grid = _by_differences(potential, low, start, high, epsilon)
    assert exact == pytest.approx(grid, rel=2e-5)


def test_without_drift_it_is_getoors():
    flat = lambda x: 0 * x[:, 0]  # noqa: E731
    for start in (-0.5, 0.0, 0.9):
        found = mean_exit_time(flat, Interval(-1, 1), epsilon=0.3, start=start)
        assert found == pytest.approx(getoor_mean_exit_time(start, 1, 2.0, 1, scale=0.3), rel=1e-12)


@pytest.mark.parametrize(
    ("potential", "interval"),
    [
        (well, Interval(-1, 1)),
        (well, Interval(-1, 1.1)),
        (double_well, Interval(-2, 0, centre=-1)),
        (lambda x: 3 * x[:, 0] ** 2 + x[:, 0] ** 3, Interval(-0.8, 0.9)),
    ],
    ids=["well", "one end nearer", "ends at the saddle", "skewed"],
)
def test_kramers_ratio_goes_to_one_in_the_order_of_epsilon_squared(potential, interval):
    """Off by ratio - 1 at epsilon, it is off by a quarter of that at half epsilon."""
    off = []
    for epsilon in (0.12, 0.06, 0.03):
        exact = mean_exit_time(potential, interval, epsilon=epsilon)
        kramers = kramers_exit_time(potential, interval, epsilon=epsilon)
        if math.isfinite(exact):
            off.append(exact / kramers - 1)
    assert len(off) >= 2
    assert abs(off[-1]) < 0.03
    assert off[-2] / off[-1] == pytest.approx(4, rel=0.35)


def test_level_set_in_more_dimensions_against_the_exact_ball():
    off = []
    for dim in (1, 2, 3, 10):
        level = LevelSet([2.0] * dim, height=0.5)
        radius = math.sqrt(0.5)
        pair = [
            ball_exit_time(2.0, radius, dim, epsilon=e) / kramers_level_set_time(level, epsilon=e)
            for e in (0.08, 0.04)
        ]
        off.append([ratio - 1 for ratio in pair])
    for first, second in off:
        assert abs(second) < 0.02
        assert abs(second) < abs(first) / 3 or abs(first) < 1e-3


def test_level_set_of_unequal_curvatures_against_simulation():
    """No exact time here: extrapolated in the root of the step, within 4 errors and 5 %."""
    from noise_lens.theory.escape import escape_times
    from noise_lens.theory.levy import gradient_system

    level = LevelSet([1.0, 3.0], height=0.5)
    pull = torch.tensor([1.0, 3.0], dtype=torch.float64)
    predicted = kramers_level_set_time(level, epsilon=0.32)
    found = escape_times(
        gradient_system(lambda x: x * pull, epsilon=0.32, alpha=2.0), level, [0.0, 0.0],
        n_paths=800, step_size=0.01, max_time=20 * predicted, halving=True, order=0.5,
    )  # fmt: skip
    mean, error = found.halving.extrapolated()
    # Kramers' formula itself is 20 % low at this height in an equal well of two dimensions.
    low = ball_exit_time(1.0, 1.0, 2, epsilon=0.32) / kramers_level_set_time(
        LevelSet([1.0, 1.0], 0.5), epsilon=0.32
    )
    assert abs(mean / (predicted * low) - 1) < 0.05 + 4 * error / predicted


def test_ball_is_the_interval_in_one_dimension():
    for curvature in (0.5, 3.0):
        found = ball_exit_time(curvature, 1.3, 1, epsilon=0.4)
        interval = Interval(-1.3, 1.3)
        exact = mean_exit_time(lambda x, k=curvature: k * well(x), interval, epsilon=0.4)
        assert found == pytest.approx(exact, rel=1e-11)


def test_beyond_float64_is_inf():
    assert mean_exit_time(well, Interval(-1, 1), epsilon=0.02) == math.inf
    assert kramers_exit_time(well, Interval(-1, 1), epsilon=0.02) == math.inf
    assert kramers_exit_time(well, Interval(-math.inf, math.inf), epsilon=0.5) == math.inf
    assert ball_exit_time(1.0, 1.0, 2, epsilon=0.01) == math.inf


def test_one_barrier_far_above_the_other():
    """The left end is 1,600 temperatures up and must not drown the right one."""
    found = mean_exit_time(double_well, Interval(-3, 0, centre=-1), epsilon=0.1)
    near = mean_exit_time(double_well, Interval(-1.8, 0, centre=-1), epsilon=0.1)
    assert found == pytest.approx(near, rel=1e-6)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: mean_exit_time(well, Interval(-1, 1), epsilon=0), "epsilon must be positive"),
        (lambda: mean_exit_time(well, Interval(-1, math.inf), epsilon=1), "needs finite ends"),
        (lambda: mean_exit_time(well, Interval(-1, 1), epsilon=1, start=2), r"in \[-1, 1\], got 2"),
        (
            lambda: mean_exit_time(lambda x: x[:, 0].log(), Interval(-1, 1), epsilon=1),
            "the potential is nan at -0",
        ),
        (lambda: mean_exit_time(lambda x: x, Interval(-1, 1), epsilon=1), r"must return shape \(n"),
        (
            lambda: kramers_exit_time(double_well, Interval(-2, 2), epsilon=0.1),
            "the centre 0 is not a minimum",
        ),
        (
            lambda: kramers_exit_time(double_well, Interval(-2, 0.5, centre=-1), epsilon=0.1),
            "falls towards the end 0.5",
        ),
        (
            lambda: kramers_level_set_time(LevelSet([1, 0], 1), epsilon=0.1),
            "every curvature must be positive",
        ),
        (lambda: ball_exit_time(-1, 1, 1, epsilon=1), "curvature must be at least 0"),
    ],
)
def test_bad_input(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def _piecewise(barrier, a, b, learning_rate, batch_size, path):
    # V rises as a parabola of curvature a and turns over as one of -b; the diffusion is eta a / 2B
    # up to the share `path` of the barrier, eta b / 2B from there on, and stands between the
    # derivatives: u' = exp(psi) / D times the integral of -exp(-psi) from the left.
    # Two parabolas that meet with one slope, the barrier between their extremes.
    meet = math.sqrt(2 * barrier * b / (a * (a + b)))
    saddle = meet * (1 + a / b)
    x = np.linspace(-2, saddle + math.sqrt(barrier / b), 400_001)
    v = np.where(x < meet, a * x**2 / 2, barrier - b * (x - saddle) ** 2 / 2)
    rises = (x >= 0) & (x <= saddle)
    threshold = x[rises][np.searchsorted(v[rises], path * barrier)]
    diffusion = np.where(x < threshold, a, b) * learning_rate / (2 * batch_size)
    h = x[1] - x[0]
    pull = np.gradient(v, h) / diffusion
    psi = np.concatenate([[0], np.cumsum(pull[1:] + pull[:-1])]) * h / 2
    psi -= psi[np.argmin(np.abs(x))]
    inner = np.cumsum(np.exp(-psi)) * h
    return float(np.sum((np.exp(psi) / diffusion * inner)[x >= 0]) * h)


@pytest.mark.parametrize(
    ("a", "b", "path"), [(1.0, 1.0, 0.5), (1.0, 3.0, 0.3), (2.5, 1.0, 0.7), (1.0, 2.0, 0.8)]
)
def test_sgd_diffusion_time_against_exact_quadrature(a, b, path):
    """Exponent and prefactor of the formula, in one dimension, under its own assumption."""
    barrier, learning_rate, batch_size = 1.0, 0.05, 1
    formula = sgd_diffusion_time(
        barrier, a, -b, learning_rate=learning_rate, batch_size=batch_size, path=path
    )
    exact = _piecewise(barrier, a, b, learning_rate, batch_size, path)
    assert math.log(exact) == pytest.approx(formula.log_time, abs=0.05)


def test_momentum_with_much_friction_or_little_mass_is_sgd():
    """gamma M = 1 and gamma^2 M large: heavy friction of a light particle."""
    given = {"learning_rate": 0.1, "batch_size": 4}
    light = momentum_diffusion_time(1.0, 1.0, -2.0, **given, friction=1e6, mass=1e-6)
    assert light.log_time == pytest.approx(sgd_diffusion_time(1.0, 1.0, -2.0, **given).log_time)


def test_momentum_at_gamma_m_one_is_kramers_with_inertia():
    """2 pi w_b / (w_a (sqrt(gamma^2/4 + w_b^2) - gamma/2)) with w^2 = H / M, for H_a = |H_b|."""
    friction = 0.7
    mass, curvature = 1 / friction, 1.3
    w = math.sqrt(curvature / mass)
    kramers = 2 * math.pi / (math.sqrt(friction**2 / 4 + w**2) - friction / 2)
    found = momentum_diffusion_time(
        0.0, curvature, -curvature, learning_rate=0.1, batch_size=4, friction=friction, mass=mass
    )
    assert float(found) == pytest.approx(kramers)


def test_adams_exponent_is_that_of_a_divided_drift_and_noise():
    """Drift H x / sqrt(H/B), diffusion (eta H / 2B) / (H/B): barrier over temperature."""
    barrier, a, rate, batch = 0.7, 2.0, 0.01, 16
    divided = math.sqrt(a / batch)
    temperature = rate * a / (2 * batch) / divided
    given = {"learning_rate": rate, "batch_size": batch, "path": 1.0}
    exponent = (
        adam_diffusion_time(barrier, a, -3.0, **given).log_time
        - adam_diffusion_time(0.0, a, -3.0, **given).log_time
    )
    assert exponent == pytest.approx(barrier / temperature)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (sgd_diffusion_time(1, 1, -1, learning_rate=0.1, batch_size=1), "original was not read"),
        (
            momentum_diffusion_time(1, 1, -1, learning_rate=0.1, batch_size=1, friction=1, mass=1),
            "from memory",
        ),
        (adam_diffusion_time(1, 1, -1, learning_rate=0.1, batch_size=1), "could not be checked"),
        (sgd_diffusion_time(1, 1, -1, learning_rate=1e-4, batch_size=1), "e^2"),
    ],
)
def test_the_source_is_said(found, text):
    assert text in str(found)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: sgd_diffusion_time(1, 1, 1, learning_rate=0.1, batch_size=1),
            "saddle_curvature negative",
        ),
        (lambda: sgd_diffusion_time(1, 1, -1, learning_rate=0, batch_size=1), "learning_rate must"),
        (
            lambda: momentum_diffusion_time(
                1, 1, -1, learning_rate=0.1, batch_size=1, friction=0, mass=1
            ),
            "friction and mass must be positive",
        ),
        (
            lambda: adam_diffusion_time(1, 1, -1, learning_rate=0.1, batch_size=1, beta1=1),
            r"beta1 must lie in \[0, 1\), got 1",
        ),
    ],
)
def test_bad_input_of_the_diffusion_theory(call, text):
    with pytest.raises(ValueError, match=text):
        call()
