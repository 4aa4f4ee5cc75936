"""One cell (a, batch size, dimension), a = step size * sigma^2 / batch size: its roots in s and a.

The growth rate ``g(s) = log h(s) / s`` increases in s, from the Lyapunov exponent at s = 0, since
log h is convex and zero there. Its root is the tail index.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.optimize import brentq

from noise_lens.theory.kesten.quadrature import Rule, quadrature
from noise_lens.theory.kesten.tail import LARGEST_INDEX

_SMALL = 0.5  # below this order a moment is computed as its distance from 1

_TINY = 1e-15  # of a (b + d); the quadrature's own digits end there


def lyapunov_exponent(a: float, batch_size: int, dim: int) -> float:
    """Return the mean of the logarithm of a direction's growth in a step."""
    if _is_tiny(a, batch_size, dim):
        return -a * batch_size
    return quadrature(0.0, a, batch_size, dim).mean_log()


def growth_rate(s: float, a: float, batch_size: int, dim: int) -> float:
    """Return log h(s) / s, and for s = 0 its limit."""
    if s == 0:
        return lyapunov_exponent(a, batch_size, dim)
    if _is_tiny(a, batch_size, dim):
        return -a * batch_size
    return _rate(quadrature(s, a, batch_size, dim), s)[0]


def tail_index(lyapunov: float, a: float, batch_size: int, dim: int) -> float:
    """Return the tail index; nan without a stationary law, inf beyond the largest index."""
    if not lyapunov < 0:
        return math.nan
    if growth_rate(LARGEST_INDEX, a, batch_size, dim) < 0:
        return math.inf

    def coarse(s: float) -> tuple[float, float]:
        return _rate(quadrature(s, a, batch_size, dim, coarse=True), s)

    low, high = 0.0, 2.0
    while high < LARGEST_INDEX and coarse(high)[0] < 0:
        low, high = high, 2 * high
    s = _newton(coarse, low, high, precision=1e-3)
    # The coarse root is right to about four digits: two steps would do on the fine rule there.
    rule = quadrature(s, a, batch_size, dim)
    for _ in range(4):
        value, slope = _rate(rule, s)
        s -= value / slope
        if abs(value) < 1e-9 * slope * s:
            break
    return s


def critical(alpha: float, batch_size: int, dim: int) -> float:
    """Return the a of tail index alpha."""
    two = 2 / (dim + batch_size + 1)
    if alpha == 2:
        return two

    def rate(a: float) -> float:
        return growth_rate(alpha, a, batch_size, dim)

    # At `two` h(2) = 1, so h is above 1 for larger orders and below for smaller ones.
    if alpha < 2:
        return _rising_root(rate, two)
    low = two / 2
    while rate(low) > 0:
        low /= 2
    return float(brentq(rate, low, 2 * low, xtol=1e-15 * low, rtol=1e-14))


def largest(batch_size: int, dim: int) -> float:
    """Return the a beyond which there is no stationary law."""
    return _rising_root(lambda a: lyapunov_exponent(a, batch_size, dim), 2 / (dim + batch_size + 1))


def _is_tiny(a: float, batch_size: int, dim: int) -> bool:
    """Say whether a step is so short that its first order in a is right to twelve digits."""
    # The second order is smaller by a (b + d) s, and s is at most 1000.
    return a * (batch_size + dim) < _TINY


def _rate(rule: Rule, s: float) -> tuple[float, float]:
    """Return log h(s) / s and its derivative."""
    log_moment, slope = rule.log_moment(s)
    rate = rule.log_moment_over_s(s) if s < _SMALL else log_moment / s
    return rate, (slope - rate) / s


def _newton(
    rate: Callable[[float], tuple[float, float]], low: float, high: float, *, precision: float
) -> float:
    """Return the root of an increasing function, by Newton steps that stay in the bracket."""
    s = (low + high) / 2
    for _ in range(60):
        value, slope = rate(s)
        low, high = (s, high) if value < 0 else (low, s)
        following = s - value / slope if slope > 0 else low
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - s) <= precision * s:
            return following
        s = following
    return s


def _rising_root(function: Callable[[float], float], low: float) -> float:
    """Return where a function that is negative at ``low`` rises through zero."""
    high = 1.2 * low
    while function(high) < 0:
        low, high = high, 1.5 * high
    return float(brentq(function, low, high, xtol=1e-15 * low, rtol=1e-14))
