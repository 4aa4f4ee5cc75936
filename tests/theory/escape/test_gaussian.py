from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize

from noise_lens.theory.escape import (
    Ball,
    Box,
    Ellipsoid,
    Interval,
    LevelSet,
    Where,
    gaussian_escape,
)


def test_each_basin_gets_the_answer_there_is():
    answers = {
        Interval(-1, 1): (True, True),
        Interval(-1, math.inf): (False, True),
        Ball(1.0, 3): (True, False),
        LevelSet([1, 4], 0.5): (False, True),
        LevelSet([2, 2], 0.5): (True, True),
        Ellipsoid([1, 2]): (False, False),
        Box([-1, -1], [1, 1]): (False, False),
    }
    for basin, (exact, asymptotic) in answers.items():
        found = gaussian_escape(basin, epsilon=0.2)
        assert ((found.exact is not None), (found.asymptotic is not None)) == (exact, asymptotic)
        assert ("simulate" in str(found)) == (not exact and not asymptotic)


def test_noise_and_curvature_scale_out():
    """Noise s and epsilon are epsilon s; curvature k takes time in units of 1/k."""
    one = gaussian_escape(Interval(-1, 2), epsilon=0.4)
    assert gaussian_escape(Interval(-1, 2), epsilon=0.1, noise_scales=4.0) == one
    flat = gaussian_escape(Interval(-1, 2), epsilon=0.2, curvature=0.25)
    assert flat.exact == pytest.approx(4 * one.exact)
    assert flat.exponent == pytest.approx(one.exponent)


@pytest.mark.parametrize(
    "basin", [Ellipsoid([1, 2]), Ellipsoid(matrix=[[2, 0.5], [0.5, 1]]), Ball(1.2, 2)], ids=str
)
def test_exponent_is_the_lowest_barrier(basin):
    """By search over the boundary, along rays."""
    pull, noise, epsilon = np.array([1.0, 3.0]), np.array([0.5, 2.0]), 0.3

    def cost(angle):
        ray = np.array([[math.cos(angle), math.sin(angle)]])
        y = (basin.distance(ray).numpy()[:, None] * ray)[0]
        return float(np.sum(pull * y**2 / (2 * noise**2 * epsilon**2)))

    lowest = min(
        optimize.minimize_scalar(cost, bounds=(a, a + 0.4), method="bounded").fun
        for a in np.arange(0, math.pi, 0.2)
    )
    found = gaussian_escape(basin, epsilon=epsilon, curvature=pull, noise_scales=noise)
    assert found.exponent == pytest.approx(lowest, rel=1e-6)


def test_words():
    assert str(gaussian_escape(Ball(math.inf, 2), epsilon=0.1)).startswith("predicted: never")
    assert "e^1250" in str(gaussian_escape(Interval(-1, 1), epsilon=0.02))
    # Too small for the quadrature: by hand 1 / (2 epsilon^2).
    small = gaussian_escape(Interval(-1, 1), epsilon=1e-3)
    assert small.mean_time == math.inf
    assert "Kramers' formula, right for small epsilon, beyond 1e308, about e^500000" in str(small)
    assert "barrier is low" in str(gaussian_escape(Interval(-1, 1), epsilon=0.5))
    corner = gaussian_escape(Where(lambda y: y.abs().sum(1) <= 1, 2), epsilon=0.1)
    assert corner.exponent is None
    assert corner.mean_time is None


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"epsilon": 0.0}, "epsilon must be positive and finite, got 0"),
        ({"epsilon": 1e-200}, "epsilon = 1e-200 is too small"),
        ({"epsilon": 0.1, "curvature": 0.0}, "curvature must be 1 positive numbers"),
        ({"epsilon": 0.1, "noise_scales": [1, 2]}, "noise_scales must be 1 positive numbers"),
    ],
)
def test_bad_input(arguments, text):
    with pytest.raises(ValueError, match=text):
        gaussian_escape(Interval(-1, 1), **arguments)


def test_a_full_hessian_is_refused():
    with pytest.raises(ValueError, match="needs a diagonal Hessian here"):
        gaussian_escape(LevelSet([[2, 1], [1, 2]], 1), epsilon=0.1)
