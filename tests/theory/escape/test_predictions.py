from __future__ import annotations

import math

import numpy as np
import pytest

from noise_lens.theory.escape import (
    Ball,
    Interval,
    LevelSet,
    Where,
    escape_times,
    jump_density_constant,
    linear_well_exit_time,
    predicted_escape_time,
    zhou_theta,
)
from noise_lens.theory.levy import gradient_system


def test_the_interval_by_hand():
    """Jumps above 1 in size come at (2 c / alpha) epsilon^alpha."""
    found = predicted_escape_time(Interval(-1, 1), alpha=1.2, epsilon=0.1)
    c = math.gamma(2.2) * math.sin(0.6 * math.pi) / math.pi
    assert found.mean_time == pytest.approx(1.2 / (2 * c) * 10**1.2)
    assert found.zhou_mean_time == pytest.approx(0.6 * 10**1.2)
    assert found.mean_time == pytest.approx(found.zhou_mean_time / jump_density_constant(1.2))
    assert float(found.radon_measure) == pytest.approx(1)
    assert found.theta == pytest.approx(zhou_theta(1.2, 0.1))
    assert found.iterations is None
    np.testing.assert_allclose(found.survival([0, found.mean_time]), [1, math.exp(-1)])


def test_smaller_noise_stays_longer_whatever_the_misprint_says():
    """Theta falls with epsilon: with the misprinted epsilon^-alpha it would rise."""
    times = [
        predicted_escape_time(Interval(-1, 1), alpha=1.5, epsilon=e).mean_time for e in (0.1, 0.01)
    ]
    assert times[1] == pytest.approx(times[0] * 10**1.5)


def test_step_size():
    """One step is eta units of time, and epsilon^-alpha is eta^(1-alpha)."""
    found = predicted_escape_time(Interval(-1, 1), alpha=1.5, step_size=1e-4)
    assert found.epsilon == pytest.approx(1e-4 ** (1 / 3))
    assert found.iterations == pytest.approx(found.mean_time * 1e4)
    c = jump_density_constant(1.5)
    assert found.mean_time == pytest.approx(1.5 / (2 * c) * 1e-4**-0.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("basin", "noise", "jumps", "pull"),
    [
        (Interval(-1, 2), 1.0, "independent", [1.0]),
        (LevelSet([1.0, 4.0], 0.5), [[1.0, 0.3], [-0.2, 0.5]], "independent", [1.0, 4.0]),
        (Ball(1.0, 2), 1.0, "isotropic", [2.0, 2.0]),
    ],
    ids=["interval", "level set", "isotropic ball"],
)
def test_simulated_times_come_near_the_prediction(basin, noise, jumps, pull):
    """Within 5 % and 4 standard errors where nothing was found to be violated."""
    import torch

    alpha, epsilon, n = 1.2, 0.02, 1000
    found = predicted_escape_time(
        basin, noise, alpha=alpha, epsilon=epsilon, jumps=jumps, curvature=pull
    )
    assert [said for said in found.violations if "isotropic" not in said] == []
    system = gradient_system(
        lambda x: x * torch.tensor(pull, dtype=x.dtype),
        epsilon=epsilon, alpha=alpha, noise_matrix=noise, jumps=jumps,
    )  # fmt: skip
    times = escape_times(
        system, basin, basin.centre, n_paths=n, step_size=0.05, max_time=20 * found.mean_time
    )
    ratio = times.mean_with_error().value / found.mean_time
    assert abs(ratio - 1) < 0.05 + 4 / math.sqrt(n)
    assert times.exponential_test(n_resamples=199).pvalue > 1e-2


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        ({"alpha": 1.5, "epsilon": 0.05}, []),
        ({"alpha": 1.5, "epsilon": 0.2}, ["fills 0.2 of the way out (curvature 1 is assumed)"]),
        ({"alpha": 1.5, "epsilon": 0.05, "curvature": 0.1}, ["fills 0.23 of the way out,"]),
        ({"alpha": 1.5, "epsilon": 0.2, "curvature": 10.0}, []),
        ({"alpha": 1.0, "step_size": 0.01}, ["not below 1, since alpha = 1 is not", "fills"]),
        (
            {"alpha": 1.5, "step_size": 2.0},
            ["since the step size 2 is not below 1", "fills", "0.89 iterations, less than one"],
        ),
        (
            {"alpha": 1.5, "step_size": 0.5, "curvature": 10.0},
            ["fills 0.17", "step size times curvature is 5, beyond stability (2)"],
        ),
        ({"alpha": 1.5, "step_size": 1e-3, "curvature": 1990.0}, []),
        ({"alpha": 1.5, "step_size": 1e-3, "curvature": 2010.0}, ["is 2.01, beyond stability"]),
        ({"alpha": 1.5, "epsilon": 1.5}, ["epsilon = 1.5 is not below 1:", "fills"]),
        ({"alpha": 1.5, "epsilon": 0.01, "preconditioner": 1.0}, []),
        ({"alpha": 1.5, "epsilon": 0.01, "preconditioner": 0.05}, ["fills", "double v come"]),
        ({"alpha": 1.5, "epsilon": 0.01, "curvature": 0.0}, ["no curvature: paths drift out"]),
    ],
)
def test_what_the_theorem_needs_and_does_not_get(arguments, texts):
    found = predicted_escape_time(Interval(-1, 1), **arguments)
    assert len(found.violations) == len(texts)
    for said, text in zip(found.violations, texts, strict=True):
        assert text in said
        assert f"Not as the theorem needs it: {said}" in str(found)
    # Violations come before the number they are about.
    assert str(found).index("predicted mean") == max(0, str(found).rfind("\npredicted") + 1)


@pytest.mark.parametrize(
    ("filled", "low", "high"), [(0.101, 0.94, 0.96), (0.2, 0.76, 0.86), (0.46, 0.06, 0.58)]
)
@pytest.mark.parametrize("curvature", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("alpha", [1.5, 1.8, 1.95])
def test_how_far_times_fall_short_is_what_the_sentence_says(alpha, curvature, filled, low, high):
    """Against the exact mean in a linear well, at the noise that fills so much of it."""
    epsilon = filled * curvature ** (1 / alpha)
    found = predicted_escape_time(
        Interval(-1, 1), alpha=alpha, epsilon=epsilon, curvature=curvature
    )
    exact = linear_well_exit_time(alpha, epsilon, curvature=curvature)
    limit = predicted_escape_time(Interval(-1, 1), alpha=alpha, epsilon=epsilon).mean_time
    assert low < exact / limit < high
    assert f"fills {filled:.2g} of the way" in " ".join(found.violations)
    assert f"at alpha = {alpha:g} by {100 * (1 - exact / limit):.0f} %" in str(found)
    assert found.linear_well_time == pytest.approx(exact, rel=1e-4)
    assert f"at this noise: {found.linear_well_time:.5g}" in str(found)


def test_near_alpha_two_the_answer_is_a_diffusions():
    """At 1.9999 and 0.3 the limit says 1.1e5; the exact Gaussian mean is 108.6."""
    found = predicted_escape_time(Interval(-1, 1), alpha=1.9999, epsilon=0.3)
    assert found.mean_time > 1e5
    assert found.linear_well_time == pytest.approx(108.6, rel=2e-3)
    assert "at alpha = 1.9999 by 99.9 %" in str(found)


def test_the_linear_well_is_told_where_it_is_one():
    """Scale of the noise and the radius taken in; not for Adam, two dimensions or narrow noise."""
    found = predicted_escape_time(Interval(-2, 2), 3.0, alpha=1.7, epsilon=0.3, curvature=2.0)
    exact = linear_well_exit_time(1.7, 0.9, curvature=2.0, radius=2.0)
    assert found.linear_well_time == pytest.approx(exact, rel=1e-4)
    level = predicted_escape_time(LevelSet([2.0], 4.0), 3.0, alpha=1.7, epsilon=0.3)
    assert level.linear_well_time == pytest.approx(exact, rel=1e-4)
    for basin, options in (
        (Interval(-2, 2), {"epsilon": 0.3, "preconditioner": 1.0}),
        (Interval(-2, 3), {"epsilon": 0.3}),
        (Ball(1.0, 2), {"epsilon": 0.3}),
        (Interval(-1, 1), {"epsilon": 0.01}),
    ):
        assert predicted_escape_time(basin, alpha=1.7, **options).linear_well_time is None


@pytest.mark.parametrize("epsilon", [1e-200, 1e-300])
def test_times_beyond_float64_are_said_as_powers_of_e(epsilon):
    found = predicted_escape_time(Interval(-1, 1), alpha=1.5, step_size=None, epsilon=epsilon)
    log = -1.5 * math.log(epsilon) + math.log(0.75 / jump_density_constant(1.5))
    assert found.log_mean_time == pytest.approx(log, rel=1e-12)
    assert not found.never
    assert found.standard_error == 0
    if epsilon == 1e-300:
        assert found.mean_time == math.inf
        assert "time about e^1037.1 (standard" in str(found)
        assert "Theta = about e^-1035.9" in str(found)
    else:
        assert found.mean_time == pytest.approx(math.exp(log))


def test_adam_is_stable_at_longer_steps():
    """Against the scheme: an average over a share a of the gradient bears 2 (2 - a) / a."""
    from noise_lens.theory.levy import adam_system, simulate

    h, curvature = 0.5, 10.0
    for factor, stable in ((0.97, True), (1.03, False)):
        share = -math.expm1(-0.9 * h)
        q = h * curvature * share / (2 * (2 - share) * factor)
        found = predicted_escape_time(
            Interval(-1, 1), alpha=1.5, step_size=h, curvature=curvature, preconditioner=q
        )
        assert ("beyond stability" not in str(found)) == stable
        system = adam_system(
            lambda x: curvature * x, epsilon=0.0, alpha=1.5, bias_correction=False,
            squared_gradient=lambda x, g, q=q: g * 0 + q**2, beta2=100.0,
        )  # fmt: skip
        end = simulate(system, 1e-3, n_steps=1000, step_size=h, n_paths=1).positions[-1]
        assert (abs(float(end)) < 1) == stable


def test_flatness_is_what_scales():
    """Curvature k and epsilon are curvature 1 and epsilon k^(-1/alpha): the same sentence."""
    flat = predicted_escape_time(Interval(-1, 1), alpha=1.5, epsilon=0.1, curvature=0.125)
    sharp = predicted_escape_time(Interval(-1, 1), alpha=1.5, epsilon=0.4, curvature=1.0)
    assert flat.violations == sharp.violations


def test_never():
    found = predicted_escape_time(Ball(math.inf, 2), alpha=1.5, epsilon=0.1)
    assert found.never
    assert found.mean_time == found.zhou_mean_time == math.inf
    assert found.standard_error == 0
    assert str(found).startswith("predicted: never.")
    assert "nan" not in str(found)


def test_monte_carlo_error_is_carried_along():
    corner = Where(lambda y: y.abs().sum(1) <= 1, 3)
    found = predicted_escape_time(
        corner, alpha=1.5, epsilon=0.02, jumps="isotropic", n_directions=500
    )
    relative = found.rate.standard_error / found.rate.value
    assert found.rate.method == "Monte Carlo"
    assert found.standard_error / found.mean_time == pytest.approx(relative)
    assert "+-" in str(found)
    assert "the theorem's coordinates are independent" in str(found)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"alpha": 2.0, "epsilon": 0.1}, "alpha = 2 is Gaussian noise.*mean_exit_time"),
        ({"alpha": 0.0, "epsilon": 0.1}, r"alpha must lie in \(0, 2\), got 0"),
        ({"alpha": 1.5}, "give epsilon or step_size, one of the two"),
        ({"alpha": 1.5, "epsilon": 0.1, "step_size": 0.1}, "one of the two"),
        ({"alpha": 1.5, "epsilon": math.nan}, "epsilon must be positive and finite, got nan"),
        ({"alpha": 1.5, "step_size": -0.1}, "step size must be positive and finite, got -0.1"),
        ({"alpha": 1.5, "epsilon": 0.1, "curvature": [1, 2]}, "curvature must be a number"),
        ({"alpha": 1.5, "epsilon": 0.1, "curvature": -1}, "at least 0 in every direction, got -1"),
        ({"alpha": [1.2, 1.5], "epsilon": 0.1}, "alpha must be one number, got"),
        ({"alpha": 1.5, "epsilon": [0.1]}, "epsilon must be one number, got"),
        ({"alpha": 1.5, "step_size": [0.1, 0.2]}, "step_size must be one number, got"),
    ],
)
def test_bad_input(arguments, text):
    with pytest.raises(ValueError, match=text):
        predicted_escape_time(Interval(-1, 1), **arguments)
