"""Closed forms and anchors, and a second quadrature that shares nothing with the first.

Gaussian inputs have exact even moments: h(2k) is a polynomial in the step size, from moments of
chi-squares. Elsewhere h is integrated anew in other variables, the square roots of X and Y, by
Gauss-Legendre panels that shrink towards the singular point, or by scipy's quad where d = 1.
"""

from __future__ import annotations

import math
import time
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import Polynomial
from scipy import integrate, stats

from noise_lens.theory.kesten import (
    critical_step_size,
    kesten_tail_index,
    largest_step_size,
    lyapunov_exponent,
    moment_growth,
)

# (batch size, dimension, step size, alpha to the digits printed)
PUBLISHED = [
    *((1, 1, eta, alpha) for eta, alpha in [
        (0.3, 5.306), (0.5, 2.904), (0.7, 1.871), (0.75, 1.698), (0.8, 1.546), (0.9, 1.294),
        (1.0, 1.091), (1.2, 0.785), (2.0, 0.166),
    ]),
    *((1, 2, eta, alpha) for eta, alpha in [
        (0.35, 3.722), (0.4, 3.016), (0.5, 2), (0.55, 1.621), (0.6, 1.301), (0.65, 1.027),
        (0.7, 0.790),
    ]),
    *((1, 4, eta, alpha) for eta, alpha in [
        (0.25, 4.391), (2 / 7, 3.242), (1 / 3, 2), (0.35, 1.625), (0.37, 1.208), (0.4, 0.643),
    ]),
    *((1, 10, eta, alpha) for eta, alpha in [
        (0.14, 6.060), (0.15, 4.541), (1 / 6, 2), (0.17, 1.492), (0.175, 0.733),
    ]),
]  # fmt: skip


def test_two_at_the_critical_step():
    """E||M e||^2 = 1 - 2 r + r^2 (d + b + 1) / b with r = eta sigma^2."""
    b = np.array([1, 1, 1, 2, 1, 5, 3, 10, 20, 64, 64, 7])
    d = np.array([1, 2, 4, 2, 10, 10, 1, 100, 100, 1, 64, 30])
    sigma = np.array([1, 1, 1, 1, 2, 1, 0.1, 1, 5, 3, 1, 0.5])
    eta = 2 * b / (sigma**2 * (d + b + 1))

    tail = kesten_tail_index(eta, b, d, sigma)

    assert np.abs(tail - 2).max() < 1e-6
    assert (tail.regime == "heavy").all()
    assert critical_step_size(b, d, sigma) == pytest.approx(eta, rel=1e-15)


@pytest.mark.parametrize(
    ("b", "d", "printed"),
    [
        (1, 1, 0.383451), (1, 2, 1 / 3), (2, 2, 0.557224),
        (1, 3, 0.293524), (1, 5, 0.234995), (5, 10, 0.567276),
    ],
)  # fmt: skip
def test_four_at_the_root_of_the_quartic_moment(b, d, printed):
    """E((1 - aX)^2 + a^2 X Y)^2 is a polynomial in a, by the moments of chi-squares."""
    x = [math.prod(b + 2 * i for i in range(k)) for k in range(5)]
    y = [math.prod(d - 1 + 2 * i for i in range(k)) for k in range(3)]
    quartic = Polynomial(
        [
            1,
            -4 * x[1],
            6 * x[2] + 2 * x[1] * y[1],
            -4 * x[3] - 4 * x[2] * y[1],
            x[4] + 2 * x[3] * y[1] + x[2] * y[2],
        ]
    )
    (a,) = [r.real for r in (quartic - 1).roots() if abs(r.imag) < 1e-9 and r.real > 1e-9]
    eta = a * b

    assert eta == pytest.approx(printed, abs=1e-6)
    assert float(kesten_tail_index(eta, b, d)) == pytest.approx(4, abs=1e-6)
    # Six digits of a step size are worth up to 2e-5 in alpha.
    assert float(kesten_tail_index(printed, b, d)) == pytest.approx(4, abs=3e-5)
    assert critical_step_size(b, d, alpha=4) == pytest.approx(eta, rel=1e-9)


def even_moment(k: int, eta: float, b: int, d: int) -> Fraction:
    """Return h(2k) exactly: the binomials of the base, chi-square moments, no rounding."""
    a = Fraction(eta) / b
    x = [math.prod(b + 2 * i for i in range(m)) for m in range(2 * k + 1)]
    y = [math.prod(d - 1 + 2 * i for i in range(m)) for m in range(k + 1)]
    return sum(
        math.comb(k, j) * y[j] * a ** (2 * j)
        * sum(math.comb(2 * (k - j), i) * (-a) ** i * x[i + j] for i in range(2 * (k - j) + 1))
        for j in range(k + 1)
    )  # fmt: skip


@pytest.mark.parametrize("alpha", [6, 20, 100])
@pytest.mark.parametrize(("b", "d"), [(1, 1), (1, 2), (1, 100), (5, 10), (64, 3), (64, 100)])
def test_large_even_indices_against_exact_moments(alpha, b, d):
    """At the step size of an even alpha log h(alpha) is so near 0 that alpha is right to 1e-6."""
    eta = critical_step_size(b, d, alpha=alpha)

    off = even_moment(alpha // 2, eta, b, d) - 1

    slope = _slope(lambda s: math.log(moment_growth(s, eta, b, d)), alpha)
    assert abs(float(off)) / slope < 1e-6
    assert float(kesten_tail_index(eta, b, d)) == pytest.approx(alpha, abs=1e-6)


@pytest.mark.parametrize(("b", "d", "eta"), [(1, 1, 0.3), (2, 2, 0.9), (10, 100, 0.2)])
@pytest.mark.parametrize("k", [1, 2, 3, 10])
def test_even_moments_are_exact(k, b, d, eta):
    exact = float(even_moment(k, eta, b, d))

    assert moment_growth(2 * k, eta, b, d) == pytest.approx(exact, rel=1e-11)


@pytest.mark.parametrize(("b", "d", "eta", "alpha"), PUBLISHED)
def test_published_indices_to_their_digits(b, d, eta, alpha):
    assert float(kesten_tail_index(eta, b, d)) == pytest.approx(alpha, abs=6e-4)


def test_window_of_the_published_protocol():
    """In 100 dimensions alpha = 2 and divergence are within 0.6 % in the step size."""
    b = [1, 2, 3, 4, 5, 10, 20]
    two = [0.01961, 0.03883, 0.05769, 0.07619, 0.09434, 0.18018, 0.33058]
    most = [0.01963, 0.03889, 0.05780, 0.07636, 0.09458, 0.18089, 0.33257]

    assert critical_step_size(b, 100) == pytest.approx(two, abs=6e-6)
    assert largest_step_size(b, 100) == pytest.approx(most, abs=6e-6)
    assert largest_step_size(1, 1) == pytest.approx(2.4212, abs=6e-5)
    assert float(kesten_tail_index(0.08, 5, 100)) == pytest.approx(61.7, abs=0.05)
    assert float(kesten_tail_index(0.18, 10, 100)) == pytest.approx(2.51, abs=0.005)
    assert kesten_tail_index(0.1, 5, 100).regime == "no stationary law"


# -- an independent quadrature ------------------------------------------------------------------


def reference_log_moment(s: float, eta: float, b: int, d: int) -> float:
    """Return log h(s), from chi-distributed square roots of X and Y."""
    a = eta / b
    centre = 1 / math.sqrt(a)
    shrinking = 2.0 ** -np.arange(26)
    most = centre + 12 + math.sqrt(2 * s + b + d)
    x = np.unique(
        np.clip(
            np.concatenate(
                [centre * (1 - shrinking), centre * (1 + shrinking), np.arange(0, most), [centre]]
            ),
            0,
            most,
        )
    )
    g, in_g = _panels(x)
    log_g = stats.chi(b).logpdf(g) + np.log(in_g)
    gap = (1 - a * g**2) ** 2
    if d == 1:
        exponents = log_g + s / 2 * np.log(gap)
    else:
        w, in_w = _panels(np.unique(np.concatenate([[0], shrinking, np.arange(1, most + 1)])))
        log_w = stats.chi(d - 1).logpdf(w) + np.log(in_w)
        base = gap[:, None] + np.outer((a * g) ** 2, w**2)
        exponents = log_g[:, None] + log_w + s / 2 * np.log(base)
    top = exponents.max()
    return float(top + np.log(np.exp(exponents - top).sum()))


def _panels(edges):
    nodes, weights = np.polynomial.legendre.leggauss(12)
    half = np.diff(edges) / 2
    middle = edges[:-1] + half
    return (middle[:, None] + half[:, None] * nodes).ravel(), np.outer(half, weights).ravel()


def _slope(function, at: float) -> float:
    return (function(at * 1.0005) - function(at * 0.9995)) / (at * 0.001)


@pytest.mark.parametrize(
    ("b", "d", "eta"),
    [
        (1, 2, 0.71), (1, 2, 0.62), (1, 2, 0.15), (2, 2, 0.95), (3, 2, 0.4), (1, 3, 0.47),
        (1, 3, 0.3), (4, 4, 1.0), (5, 10, 0.65), (5, 10, 0.3), (1, 30, 0.062), (10, 30, 0.3),
        (10, 100, 0.18), (64, 64, 0.99), (64, 2, 1.9),
    ],
)  # fmt: skip
def test_against_panels_of_gauss_and_legendre(b, d, eta):
    alpha = float(kesten_tail_index(eta, b, d))

    def log_moment(s: float) -> float:
        return reference_log_moment(s, eta, b, d)

    assert abs(log_moment(alpha) / _slope(log_moment, alpha)) < 1e-6


@pytest.mark.parametrize(
    ("b", "eta"), [(1, 2.3), (1, 1.7), (1, 0.2), (3, 1.9), (10, 1.4), (64, 2.0)]
)
def test_one_dimension_against_quad(b, eta):
    """In one dimension h(s) = E|1 - aX|^s, an integral over a half-line with one break."""
    a = eta / b
    alpha = float(kesten_tail_index(eta, b, 1))
    far = stats.chi2.isf(1e-300, b)

    def log_moment(s: float) -> float:
        def integrand(root: float) -> float:
            return abs(1 - a * root**2) ** s * stats.chi.pdf(root, b)

        pieces = [0, 1 / math.sqrt(a), 2 / math.sqrt(a), math.sqrt(b + 4 * s) + 4, math.sqrt(far)]
        pieces = sorted(pieces)
        return math.log(
            sum(
                integrate.quad(integrand, *piece, epsabs=0, epsrel=1e-11, limit=200)[0]
                for piece in pairwise(pieces)
            )
        )

    assert abs(log_moment(alpha) / _slope(log_moment, alpha)) < 1e-6


@pytest.mark.parametrize(("b", "d", "eta"), [(1, 1, 3.0), (1, 2, 0.5), (5, 10, 0.7), (64, 2, 0.1)])
def test_lyapunov_exponent_is_the_slope_at_zero(b, d, eta):
    """By the other quadrature: (log h(t) - log h(-t)) / 2t, with moments of negative order."""
    t = 1e-3
    slope = (reference_log_moment(t, eta, b, d) - reference_log_moment(-t, eta, b, d)) / (2 * t)

    assert lyapunov_exponent(eta, b, d) == pytest.approx(slope, abs=2e-6)


def test_zeroth_moment_is_one():
    assert moment_growth(0, [0.1, 1.0, 5.0], 2, 3) == pytest.approx(1, abs=1e-13)


# -- order --------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    b=st.integers(1, 40),
    d=st.integers(1, 60),
    alpha=st.floats(1, 8),
    shrink=st.floats(0.5, 0.99),
)
def test_heavier_with_step_size_and_dimension_lighter_with_batch_size(b, d, alpha, shrink):
    """For alpha >= 1 (Gurbuzbalaban et al. 2021, theorem 4)."""
    eta = critical_step_size(b, d, alpha=alpha)
    assert float(kesten_tail_index(eta, b, d)) == pytest.approx(alpha, abs=1e-6)

    assert kesten_tail_index(eta * shrink, b, d) > alpha
    assert kesten_tail_index(eta, b + 1, d) > alpha
    if d > 1:
        assert kesten_tail_index(eta, b, d - 1) > alpha


def test_small_indices_have_their_step_size_back():
    alphas = np.array([0.001, 0.05, 0.5, 1.5, 3.0, 100.0])
    eta = critical_step_size(2, 3, alpha=alphas)

    assert (np.diff(eta) < 0).all()
    assert np.asarray(kesten_tail_index(eta, 2, 3)) == pytest.approx(alphas, abs=1e-6)
    assert largest_step_size(2, 3) > eta[0]
    assert lyapunov_exponent(largest_step_size(2, 3), 2, 3) == pytest.approx(0, abs=1e-12)
    # An order so small that h, rounded, is 1.
    tiny = critical_step_size(2, 3, alpha=1e-15)
    assert tiny == pytest.approx(largest_step_size(2, 3), rel=1e-9)


def test_only_step_size_times_variance_counts():
    ours = kesten_tail_index(0.5 / 9, 1, 3, sigma=3)
    assert ours == pytest.approx(float(kesten_tail_index(0.5, 1, 3)), abs=1e-9)
    assert largest_step_size(1, 3, sigma=3) == pytest.approx(largest_step_size(1, 3) / 9)


# -- broadcasting, cost, what may be asked ------------------------------------------------------


def test_broadcasts():
    tail = kesten_tail_index(np.array([[0.1], [0.5]]), [1, 2, 5], 3)

    assert tail.alpha.shape == tail.regime.shape == tail.lyapunov_exponent.shape == (2, 3)
    assert tail.alpha[1, 2] == float(kesten_tail_index(0.5, 5, 3))
    assert isinstance(lyapunov_exponent(0.1, 1, 1), float)
    assert critical_step_size([1, 2], [[1], [2]]).shape == (2, 2)
    assert moment_growth([1, 2], 0.1, 1, [[1], [2]]).shape == (2, 2)


def test_a_cell_takes_less_than_a_tenth_of_a_second():
    """In time of this thread, which other processes do not lengthen: the median of several."""
    costs = []
    for b, d, eta in [(1, 2, 0.5), (2, 2, 0.557), (1, 3, 0.29), (1, 100, 0.01), (5, 10, 0.5)]:
        start = time.thread_time()
        kesten_tail_index(eta, b, d)
        costs.append(time.thread_time() - start)

    assert np.median(costs) < 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, 1), "step_size must be above 0, got 0. SGD moves against the gradient"),
        ((-0.5, 1, 1), "step_size must be above 0, got -0.5"),
        (([0.1, math.nan], 1, 1), "step_size must be above 0, got nan"),
        ((math.inf, 1, 1), "step_size must be above 0 and finite, got inf"),
        ((0.1, 0, 1), "batch_size must be a whole number of at least 1, got 0. It counts"),
        ((0.1, 1.5, 1), "batch_size must be a whole number of at least 1, got 1.5"),
        ((0.1, 1, 0), "dim must be a whole number of at least 1, got 0"),
        ((0.1, 1, -2), "dim must be a whole number of at least 1, got -2"),
        ((0.1, 1, 1, 0), "sigma must be above 0, got 0. It is the standard deviation"),
        ((0.1, 1, "two"), "dim must be a number or an array of numbers, got 'two'"),
        (([0.1, 0.2], [1, 2, 3], 1), "must broadcast against each other, got shapes"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        kesten_tail_index(*arguments)


def test_bad_orders():
    with pytest.raises(ValueError, match=r"alpha must be above 0 and at most 1000, got 0\. No"):
        critical_step_size(1, 1, alpha=0)
    with pytest.raises(ValueError, match="alpha must be above 0 and at most 1000, got 1001"):
        critical_step_size(1, 1, alpha=1001)
    with pytest.raises(ValueError, match="s must be at least 0 and at most 1000, got -1"):
        moment_growth(-1, 0.1, 1, 1)
