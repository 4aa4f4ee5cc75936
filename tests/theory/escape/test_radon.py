"""Closed forms of the jump measure, each against a second way that shares no code with it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from noise_lens.theory.escape import (
    Ball,
    Box,
    Ellipsoid,
    EscapingSet,
    Interval,
    LevelSet,
    Where,
    escape_rate,
    isotropic_jump_rate,
    jump_density_constant,
    radon_measure,
)
from noise_lens.theory.escape.jumps import mean_quadratic_power

_FULL = [[1.0, 0.4], [-0.3, 2.0]]


def _chance_of_leaving(basin, noise, alpha, jumps, inner, n=200_000):
    """Sample jumps beyond `inner` from the measure itself; return leavers, n, and their rate."""
    rng = np.random.default_rng(7)
    sizes = inner * rng.uniform(size=n) ** (-1 / alpha)
    if jumps == "independent":
        axis = rng.integers(basin.dim, size=n)
        signs = rng.choice([-1.0, 1.0], size=n)
        y = np.zeros((n, basin.dim))
        y[np.arange(n), axis] = signs * sizes
        total = basin.dim * 2 * _density(alpha) / alpha * inner**-alpha
    else:
        y = rng.standard_normal((n, basin.dim))
        y *= (sizes / np.linalg.norm(y, axis=1))[:, None]
        total = isotropic_jump_rate(alpha, basin.dim) * inner**-alpha
    left = EscapingSet(basin, noise).contains(torch.as_tensor(y))
    return int(left.sum()), n, total


def _density(alpha):
    """c from the exponent of the law: int (1 - cos y) c / |y|^(1+alpha) dy = 1."""
    near, _ = integrate.quad(
        lambda y: np.sinc(y / 2 / math.pi) ** 2 / 2, 0, 1, weight="alg", wvar=(1 - alpha, 0)
    )
    waves, _ = integrate.quad(lambda y: y ** (-1 - alpha), 1, math.inf, weight="cos", wvar=1.0)
    return 1 / (2 * (near + 1 / alpha - waves))


@pytest.mark.parametrize("alpha", [0.3, 1.0, 1.2, 1.5, 1.9])
def test_density_constant_from_the_characteristic_exponent(alpha):
    assert jump_density_constant(alpha) == pytest.approx(_density(alpha), rel=1e-6)


@pytest.mark.parametrize("alpha", [0.3, 1.0, 1.7, 1.999])
def test_isotropic_jumps_are_independent_ones_in_one_dimension(alpha):
    assert isotropic_jump_rate(alpha, 1) == pytest.approx(
        2 * jump_density_constant(alpha) / alpha, rel=1e-12
    )
    basin = Interval(-1, 2)
    assert float(escape_rate(basin, 0.7, alpha, 0.1, "isotropic")) == pytest.approx(
        float(escape_rate(basin, 0.7, alpha, 0.1, "independent")), rel=1e-12
    )


@pytest.mark.parametrize("dim", [2, 3, 7])
@pytest.mark.parametrize("alpha", [0.6, 1.4])
def test_isotropic_rate_from_one_coordinate(dim, alpha):
    """Every coordinate of an isotropic process is the standard law in one dimension.

    Its jumps above 1 come at 2 c / alpha, and are those of length r and direction u with
    r |u_1| > 1: the rate of lengths times E |u_1|^alpha, with u_1^2 of a Beta law.
    """
    power = stats.beta(0.5, (dim - 1) / 2).expect(lambda u: u ** (alpha / 2))
    assert isotropic_jump_rate(alpha, dim) * power == pytest.approx(
        2 * jump_density_constant(alpha) / alpha, rel=1e-6
    )


@pytest.mark.parametrize("jumps", ["independent", "isotropic"])
@pytest.mark.parametrize("alpha", [0.7, 1.5])
@pytest.mark.parametrize(
    ("basin", "noise"),
    [
        (Ball(1.0, 2), 1.0),
        (Ball(1.0, 2), _FULL),
        (Ellipsoid([1, 2]), [1.0, 0.5]),
        (LevelSet([[2.0, 0.5], [0.5, 1.0]], 0.7), _FULL),
        (Box([-1, -0.5], [2, 1]), _FULL),
        (Where(lambda y: y.abs().sum(1) <= 1, 2), _FULL),
        (Ellipsoid([1, 2, 0.5]), np.diag([1.0, 2.0, 0.5]) + 0.2),
        (Box([-1, -0.5, -1], [2, 1, 3]), 1.0),
    ],
    ids=lambda value: str(value)[:20],
)
def test_rate_is_the_share_of_jumps_that_leave(basin, noise, alpha, jumps):
    """Exact binomial law of sampled jumps; 32 cases at 1e-4."""
    inner = 0.1
    left, n, total = _chance_of_leaving(basin, noise, alpha, jumps, inner)
    found = escape_rate(basin, noise, alpha, 1.0, jumps, n_directions=8_000)
    shift = 4 * found.standard_error if found.method == "Monte Carlo" else 0.0

    low, high = ((float(found) + sign * shift) / total for sign in (-1, 1))

    assert 0 < left < n
    assert stats.binom.cdf(left, n, high) > 5e-5
    assert stats.binom.sf(left - 1, n, low) > 5e-5


@pytest.mark.parametrize("jumps", ["independent", "isotropic"])
def test_scaling(jumps):
    """nu(c W) = c^-alpha nu(W), and epsilon scales as the noise does."""
    alpha = 1.3
    once = float(escape_rate(Ellipsoid([1, 2]), _FULL, alpha, 0.1, jumps))
    wider = float(escape_rate(Ellipsoid([3, 6]), _FULL, alpha, 0.1, jumps))
    larger = float(escape_rate(Ellipsoid([1, 2]), 3 * np.array(_FULL), alpha, 0.1, jumps))
    assert wider == pytest.approx(once * 3**-alpha, rel=1e-9)
    assert larger == pytest.approx(once * 3**alpha, rel=1e-9)
    assert float(escape_rate(Ellipsoid([1, 2]), _FULL, alpha, 0.3, jumps)) == pytest.approx(larger)


def test_isotropic_rate_does_not_see_a_rotation_of_the_noise_and_independent_does():
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    basin, noise = Ellipsoid([1, 4]), np.diag([1.0, 2.0])
    isotropic, independent = (
        [float(escape_rate(basin, m, 1.5, 1.0, jumps)) for m in (noise, noise @ turn)]
        for jumps in ("isotropic", "independent")
    )
    assert isotropic[0] == pytest.approx(isotropic[1], rel=1e-12)
    assert independent[0] != pytest.approx(independent[1], rel=0.01)


@pytest.mark.parametrize("alpha", [0.02, 1.0, 1.5, 1.999])
def test_sphere_average_of_an_ellipse_by_angles(alpha):
    """The integral over Gaussian moments and the mean over 4,000 angles are the same number."""
    same = Where(lambda y: y[:, 0] ** 2 + y[:, 1] ** 2 / 4 <= 1, 2)
    reduced = escape_rate(Ellipsoid([1, 2]), _FULL, alpha, 1.0, "isotropic")
    angles = escape_rate(same, _FULL, alpha, 1.0, "isotropic", n_directions=4_000)
    assert (reduced.method, angles.method) == ("quadrature", "quadrature")
    assert float(reduced) == pytest.approx(float(angles), rel=1e-9)


@pytest.mark.parametrize("power", [0.01, 0.5, 0.75, 0.999])
def test_gaussian_moment_of_equal_eigenvalues_is_a_gamma_ratio(power):
    for d in (1, 3, 40):
        exact = math.exp(power * math.log(2) + math.lgamma(d / 2 + power) - math.lgamma(d / 2))
        assert mean_quadratic_power(np.ones(d), power) == pytest.approx(exact, rel=1e-12)


def test_gaussian_moment_of_very_unequal_eigenvalues():
    """Two eigenvalues: g'Bg given its length^2 is one angle, by scipy's quadrature."""
    for small in (1e-3, 1e-9):
        for power in (0.1, 0.9):
            sphere, _ = integrate.quad(
                lambda a, s=small, p=power: (math.cos(a) ** 2 + s * math.sin(a) ** 2) ** p,
                0, math.pi / 2, epsabs=0, epsrel=1e-11, limit=500,
            )  # fmt: skip
            exact = sphere / (math.pi / 2) * 2**power * math.gamma(1 + power)
            assert mean_quadratic_power([1.0, small], power) == pytest.approx(exact, rel=1e-9)


def test_radon_measure_is_half_the_sum_over_half_axes_and_rate_is_c_m_theta():
    alpha, epsilon = 1.5, 0.2
    basin = Box([-1, -0.5], [2, 4])
    measure = float(radon_measure(basin, 1.0, alpha))
    assert measure == pytest.approx(0.5 * sum(r**-alpha for r in (1, 2, 0.5, 4)))
    theta = 2 / alpha * epsilon**alpha
    rate = float(escape_rate(basin, 1.0, alpha, epsilon))
    assert rate == pytest.approx(jump_density_constant(alpha) * measure * theta)


def test_adams_set_is_that_of_the_divided_noise():
    noise, q = np.array(_FULL), np.array([0.5, 2.0])
    by_q = escape_rate(Ball(1.0, 2), noise, 1.4, 0.1, preconditioner=q)
    assert float(by_q) == pytest.approx(
        float(escape_rate(Ball(1.0, 2), noise / q[:, None], 1.4, 0.1)), rel=1e-12
    )


@pytest.mark.parametrize("jumps", ["independent", "isotropic"])
@pytest.mark.parametrize("basin", [Ball(math.inf, 2), LevelSet([0, 0], 1)], ids=str)
def test_a_basin_that_contains_all_has_rate_zero(basin, jumps):
    assert float(escape_rate(basin, 1.0, 1.5, 0.1, jumps)) == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((Ball(1, 2), 1.0, 2.0, 0.1), "makes no jumps.*kramers_exit_time"),
        ((Ball(1, 2), 1.0, 2.1, 0.1), r"alpha must lie in \(0, 2\), got 2.1"),
        ((Ball(1, 2), 1.0, math.nan, 0.1), "got nan"),
        ((Ball(1, 2), 1.0, 1.5, -0.1), "epsilon must be positive and finite, got -0.1"),
        ((Ball(1, 2), 1.0, 1.5, 0.1, "cubic"), "got .cubic."),
        ((Ball(1, 2), [1.0, 2.0, 3.0], 1.5, 0.1), r"got shape \(3,\)"),
        ((Ball(1, 2), math.nan, 1.5, 0.1), "noise_matrix must be finite"),
    ],
)
def test_bad_input(arguments, text):
    with pytest.raises(ValueError, match=text):
        escape_rate(*arguments)


def test_bad_preconditioner_and_directions():
    with pytest.raises(ValueError, match="cannot be inverted"):
        escape_rate(Ball(1, 2), 1.0, 1.5, 0.1, preconditioner=[1.0, 0.0])
    with pytest.raises(ValueError, match="n_directions must be at least 8, got 2"):
        escape_rate(Box([-1, -1], [1, 1]), 1.0, 1.5, 0.1, "isotropic", n_directions=2)
