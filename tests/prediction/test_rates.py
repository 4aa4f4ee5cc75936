"""Rates against the escape theory's own functions, and sums from samples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

import noise_lens as nl
from noise_lens.prediction.rates import Coordinates, extrapolated, independent_rate, shared_rate
from noise_lens.theory.escape import LevelSet
from noise_lens.theory.escape.radon import escape_rate

ALPHA, EPSILON, BARRIER = 1.4, 0.2, 0.7
SIGMA = np.array([0.3, 1.0, 0.05, 2.0])
H = np.array([1.0, 0.2, 3.0, 0.5])


def of(sigma=SIGMA, h=H, **options):
    """All coordinates of one tensor; log magnitudes are those of stable noise of this scale."""
    logs = np.log(sigma) + np.euler_gamma * (1 / ALPHA - 1)
    settings = {
        "filled": np.ones(len(sigma)),
        "preconditioner": np.ones(len(sigma)),
        "strata": np.zeros(len(sigma), dtype=int),
        "totals": np.array([len(sigma)]),
        "differences": False,
        **options,
    }
    return Coordinates(log_magnitudes=logs, curvature=h, **settings)


@pytest.mark.parametrize(
    ("rate", "jumps"), [(independent_rate, "independent"), (shared_rate, "isotropic")]
)
def test_rates_are_those_of_the_escape_theory(rate, jumps):
    own = rate(of(), ALPHA, BARRIER, EPSILON)
    theory = escape_rate(LevelSet(H, BARRIER), SIGMA, ALPHA, EPSILON, jumps)
    assert own.value == pytest.approx(theory.value, rel=1e-9)
    assert own.standard_error == 0  # nothing was left out


def test_independent_rate_is_a_probability_a_step():
    """eta times the rate is the chance that one step's noise leaves, in the tail."""
    eta, r = 1e-3, np.sqrt(2 * BARRIER / H)
    rate = independent_rate(of(), ALPHA, BARRIER, eta ** ((ALPHA - 1) / ALPHA))
    law = nl.SymmetricStable(ALPHA)
    exact = sum(2 * law.cdf(-r / (eta * SIGMA)))
    assert eta * rate.value == pytest.approx(exact, rel=2e-3)


def test_preconditioner_divides_jumps():
    q = np.array([0.5, 2.0, 1.0, 3.0])
    own = independent_rate(of(preconditioner=q), ALPHA, BARRIER, EPSILON)
    theory = escape_rate(LevelSet(H, BARRIER), SIGMA, ALPHA, EPSILON, preconditioner=q)
    assert own.value == pytest.approx(theory.value, rel=1e-9)


def test_differences_of_two_minibatches_are_wider():
    """X - X' has the scale 2**(1/alpha): the rate of single minibatches is half."""
    single, double = (
        independent_rate(of(differences=d), ALPHA, BARRIER, EPSILON) for d in (False, True)
    )
    assert double.value == pytest.approx(single.value / 2, rel=1e-12)


def test_rows_of_zeros_and_flat_directions_add_nothing():
    half = independent_rate(of(filled=np.full(4, 0.5)), ALPHA, BARRIER, EPSILON)
    whole = independent_rate(of(), ALPHA, BARRIER, EPSILON)
    assert half.value == pytest.approx(whole.value / 2)
    flat = independent_rate(of(h=np.array([1.0, -0.2, 0.0, 0.5])), ALPHA, BARRIER, EPSILON)
    steep = independent_rate(of(SIGMA[[0, 3]], H[[0, 3]]), ALPHA, BARRIER, EPSILON)
    assert flat.value == pytest.approx(steep.value)


def test_scales_are_those_of_the_law(rng):
    for alpha in (0.8, 1.5, 2.0):
        x = nl.SymmetricStable(alpha, 3.0).rvs(200_000, rng)
        own = Coordinates(
            np.array([np.log(np.abs(x)).mean()]), np.ones(1), np.ones(1), np.ones(1),
            np.zeros(1, dtype=int), np.ones(1, dtype=int), differences=False,
        )  # fmt: skip
        error = np.pi / np.sqrt(6) * np.sqrt(1 / alpha**2 + 0.5) / np.sqrt(len(x))
        assert abs(np.log(own.scales(alpha)[0] / 3)) < 4 * error


def test_many_coordinates_share_a_radius_as_the_trace_says():
    """The limit of many coordinates against the exact mean over the ellipsoid's directions."""
    sigma, h = np.linspace(0.5, 1.5, 400), np.linspace(2, 1, 400)
    exact = shared_rate(of(sigma, h), ALPHA, BARRIER, EPSILON)
    limit = shared_rate(of(sigma, h, totals=np.array([401])), ALPHA, BARRIER, EPSILON)
    assert limit.value == pytest.approx(exact.value * (401 / 400) ** (ALPHA / 2), rel=2e-3)
    factor = EPSILON**ALPHA * 2 ** (ALPHA / 2) / special.gamma(1 - ALPHA / 2)
    trace = 401 * (sigma**2 * h / (2 * BARRIER)).mean()
    assert limit.value == pytest.approx(factor * trace ** (ALPHA / 2), rel=1e-9)


def test_nothing_jumps_at_two():
    for rate in (independent_rate, shared_rate):
        assert rate(of(), 2.0, BARRIER, EPSILON).value == 0


def test_sums_from_samples_cover_the_sum(rng):
    """2000 stratified samples: totals unbiased within 4.5 errors, and errors as they say.

    A false alarm of the mean in 100,000; a mean without weights is off by hundreds of errors, an
    error that forgets the finite population by 15 %.
    """
    sizes, taken = np.array([60, 300, 40]), (20, 60, 20)
    population = [rng.uniform(i, i + 1, n) for i, n in enumerate(sizes)]
    strata = np.repeat([0, 1, 2], taken)
    found = []
    for _ in range(2000):
        parts = [rng.choice(p, n, replace=False) for p, n in zip(population, taken, strict=True)]
        found.append(extrapolated(np.concatenate(parts), strata, sizes))
    totals, errors = np.array(found).T
    truth = sum(part.sum() for part in population)
    spread = totals.std(ddof=1)
    assert abs(totals.mean() - truth) < 4.5 * spread / np.sqrt(len(totals))
    assert np.sqrt((errors**2).mean()) == pytest.approx(spread, rel=0.07)


def test_single_samples_of_several_tensors_lend_their_spread():
    assert extrapolated(np.array([2.0]), np.array([0]), np.array([1])) == (2, 0)
    total, error = extrapolated(np.array([1.0, 3.0]), np.array([0, 1]), np.array([5, 5]))
    assert total == 20
    assert error == pytest.approx(np.sqrt(2 * np.var([5, 15], ddof=1)))
