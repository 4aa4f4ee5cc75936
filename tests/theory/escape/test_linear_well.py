from __future__ import annotations

import math

import pytest
from scipy import integrate

from noise_lens.theory.escape import (
    getoor_mean_exit_time,
    jump_density_constant,
    linear_well_exit_time,
)


@pytest.mark.parametrize(("epsilon", "start"), [(1.0, 0.0), (0.5, 0.5), (0.3, -0.9)])
def test_gaussian_noise_has_its_double_integral(epsilon, start):
    """-x T' + epsilon^2 T'' = -1, T(+-1) = 0, integrated twice."""

    def slope(y):
        inner = integrate.quad(
            lambda z: math.exp((y * y - z * z) / (2 * epsilon**2)), 0, y, epsabs=0, epsrel=1e-11
        )
        return inner[0] / epsilon**2

    exact = integrate.quad(slope, abs(start), 1, epsabs=0, epsrel=1e-10)[0]
    assert linear_well_exit_time(2.0, epsilon, start=start) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.5, 2.0])
def test_without_a_well_it_is_getoors_formula(alpha):
    found = linear_well_exit_time(alpha, 0.7, curvature=0.0, radius=3.0, start=1.2)
    exact = float(getoor_mean_exit_time(1.2, 3.0, alpha, 1, scale=0.7))
    assert found == pytest.approx(exact, rel=1e-12)


def test_units_of_length_and_time():
    """Lengths by r, times by 1/k: epsilon scales as r k^(1/alpha)."""
    unit = linear_well_exit_time(1.6, 0.5, start=0.25)
    scaled = linear_well_exit_time(1.6, 0.5 * 2 * 3 ** (1 / 1.6), curvature=3, radius=2, start=0.5)
    assert scaled == pytest.approx(unit / 3, rel=1e-6)


@pytest.mark.parametrize("alpha", [1.5, 1.8])
def test_small_noise_has_its_limit(alpha):
    """The way to alpha/(2c) is epsilon^alpha long: half the noise, so much closer."""
    limit = alpha / (2 * jump_density_constant(alpha))
    off = [1 - linear_well_exit_time(alpha, e) * e**alpha / limit for e in (0.2, 0.1, 0.05)]
    assert off[2] < 0.02
    assert off[0] / off[1] == pytest.approx(2**alpha, rel=0.2)
    assert off[1] / off[2] == pytest.approx(2**alpha, rel=0.1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"alpha": 2.1}, r"\(0, 2\], got 2.1"),
        ({"epsilon": 0.0}, "epsilon must be positive and finite, got 0"),
        ({"radius": -1.0}, "radius must be positive"),
        ({"curvature": -1.0}, "curvature must be finite and at least 0, got -1"),
        ({"start": 1.0}, r"start must lie in \(-1.0, 1.0\), got 1"),
        ({"epsilon": 1e-3}, "1024 terms do not resolve the ends"),
        ({"alpha": 2.0, "epsilon": 0.05}, "the double integral"),
    ],
)
def test_what_has_no_series_is_refused(options, said):
    options = {"alpha": 1.5, "epsilon": 0.5} | options
    with pytest.raises(ValueError, match=said):
        linear_well_exit_time(options.pop("alpha"), options.pop("epsilon"), **options)
