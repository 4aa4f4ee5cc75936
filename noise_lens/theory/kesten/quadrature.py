"""Nodes and weights for how much one step of SGD lengthens a direction.

With a = step size * sigma^2 / batch size, X ~ chi2 of b degrees of freedom and Y ~ chi2 of d - 1,
a step multiplies the length by the square root of ``(1 - aX)^2 + a^2 X Y``. Its logarithm is
singular where aX = 1 and Y = 0. So X is cut there and each side gets a variable in which the
integrand is analytic in a strip and dies exponentially: the logit of aX below 1, the logarithm of
aX - 1 above, the logarithm of Y. The trapezoid rule then converges geometrically, if its window
and its step follow the integrand: a moment of high order s lives far from where the chi-squares
do, in a peak of width 1 / sqrt(s). So nodes belong to an s.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[np.float64]

_STEP = 0.25  # at most: the strip is pi / 2 wide on either side, so the error is exp(-pi^2 / 0.25)
_STEP_IN_PEAKS = 0.5  # at most, in widths of the narrowest peak: exp(-2 pi^2 / 0.5^2)
_DEPTH = 38.0  # what is below exp(-38) of the peak is left out
_COARSER, _COARSE_DEPTH = 2.0, 12.0


@dataclass(frozen=True, slots=True)
class Rule:
    """Logarithms of the weights, and of the factor by which a step lengthens a direction."""

    log_weights: _Array
    log_growth: _Array

    def log_moment(self, s: float) -> tuple[float, float]:
        """Return log h(s) and its derivative; the rule must be one of nearly this s."""
        exponents = self.log_weights + s * self.log_growth
        top = float(exponents.max())
        terms = np.exp(exponents - top)
        total = float(terms.sum())
        return top + math.log(total), float(np.dot(terms, self.log_growth)) / total

    def mean_log(self) -> float:
        """Return the mean of the logarithm: the Lyapunov exponent, by a rule of s = 0."""
        return self.log_moment(0.0)[1]

    def log_moment_over_s(self, s: float) -> float:
        """Return log h(s) / s for an s so small that h(s) - 1 would lose digits."""
        weights = np.exp(self.log_weights)
        return math.log1p(np.dot(weights, np.expm1(s * self.log_growth)) / weights.sum()) / s


def quadrature(s: float, a: float, batch_size: int, dim: int, *, coarse: bool = False) -> Rule:
    """Return the rule of the s-th moment; a coarse one is right to about four digits."""
    integrand = _Integrand(s, a, batch_size, dim)
    depth, coarser = (_COARSE_DEPTH, _COARSER) if coarse else (_DEPTH, 1.0)
    sides = [(side, grid, integrand.profile(side(grid))) for side, grid in integrand.grids(depth)]
    floor = max(float(profile.max()) for _, _, profile in sides) - depth
    weights, growths = [], []
    for side, grid, profile in sides:
        above = np.flatnonzero(profile > floor)
        if above.size:
            low, high = grid[max(above[0] - 1, 0)], grid[min(above[-1] + 1, grid.size - 1)]
            log_weights, log_growth = integrand.nodes(side, low, high, floor, coarser)
            weights.append(log_weights)
            growths.append(log_growth)
    return Rule(np.concatenate(weights), np.concatenate(growths))


class _Points(NamedTuple):
    """Of nodes in X: the logarithms of aX, of abs(1 - aX) and of dX / (X dt)."""

    log_x: _Array
    log_gap: _Array
    log_jacobian: _Array


def _below(t: _Array) -> _Points:
    """Return aX = 1 / (1 + exp(-t))."""
    log_gap = -np.logaddexp(0, t)
    return _Points(t + log_gap, log_gap, log_gap)


def _above(t: _Array) -> _Points:
    """Return aX = 1 + exp(t)."""
    log_x = np.logaddexp(0, t)
    return _Points(log_x, t, t - log_x)


class _Integrand:
    """The logarithm of the integrand, and where it is worth having nodes."""

    def __init__(self, s: float, a: float, batch_size: int, dim: int) -> None:
        self.s, self.a, self.b, self.n = s, a, batch_size, dim - 1
        self.log_a = math.log(a)

    def in_x(self, points: _Points) -> _Array:
        """Return the log-density of t."""
        return _log_density_of_log_chi2(points.log_x - self.log_a, self.b) + points.log_jacobian

    def in_y(self, u: _Array) -> _Array:
        """Return the log-density of u = log Y."""
        return _log_density_of_log_chi2(u, self.n)

    def log_growth(self, points: _Points, u: _Array) -> _Array:
        """Return half the logarithm of (1 - aX)^2 + a^2 X exp(u)."""
        return np.logaddexp(2 * points.log_gap, self.log_a + points.log_x + u) / 2

    def peak(self, points: _Points) -> _Array:
        """Return the u at which the integrand peaks: Y solves a quadratic equation."""
        c = np.exp(2 * points.log_gap - points.log_x - self.log_a)
        q = self.n + self.s - c
        root = np.hypot(q, 2 * np.sqrt(self.n * c))
        # Of the two forms of the root the one that does not cancel.
        y = np.where(q > 0, (q + root) / 2, 2 * self.n * c / (root + np.abs(q)))
        return np.asarray(np.log(y))

    def profile(self, points: _Points) -> _Array:
        """Return the integrand at its peak in u: what the integral over u is, but for a width."""
        if not self.n:
            return self.in_x(points) + self.s * points.log_gap
        u = self.peak(points)
        return self.in_x(points) + self.in_y(u) + self.s * self.log_growth(points, u)

    def grids(self, depth: float) -> list[tuple[Callable[[_Array], _Points], _Array]]:
        """Return for either side a grid of t that misses no peak and outreaches every tail."""
        a, b, s = self.a, self.b, self.s
        bulk = math.log(a * b)
        lowest = min(bulk, math.log(b / (2 * s + 2))) - 2 * depth / b - 2
        below = np.arange(lowest, max(0.0, math.log(b / 2)) + depth + 2, 0.2)
        order = b / 2 + s + self.n / 2
        largest = 2 * (order + math.sqrt(2 * order * depth) + depth) + 20
        lowest = min(0.0, math.log(2 * a)) - depth - 2
        above = np.arange(lowest, max(math.log(a * largest), lowest + 5), 0.2)
        # A large minibatch has a peak that would fall between these points.
        x = a * b * np.exp(np.linspace(-9, 9, 181) * math.sqrt(2 / b))
        below = np.sort(np.append(below, np.log(x[x < 1]) - np.log1p(-x[x < 1])))
        above = np.sort(np.append(above, np.log(x[x > 1] - 1)))
        return [(_below, below), (_above, above)]

    def nodes(
        self,
        side: Callable[[_Array], _Points],
        low: float,
        high: float,
        floor: float,
        coarser: float,
    ) -> tuple[_Array, _Array]:
        """Return log-weights and log-growths of one side, low < t < high."""
        look = np.linspace(low, high, 300)
        profile = self.profile(side(look))
        bend = -np.diff(profile, 2)[profile[1:-1] > floor] / (look[1] - look[0]) ** 2
        width = 1 / math.sqrt(max(float(bend.max(initial=0)), 1e-6))
        step = coarser * min(_STEP, _STEP_IN_PEAKS * width)
        t, spacing, _ = _nodes(
            np.array([low]),
            np.array([high]),
            np.array([low + _straight(profile) * (look[1] - look[0])]),
            np.array([high - _straight(profile[::-1]) * (look[1] - look[0])]),
            np.array([step]),
        )
        points = side(t)
        log_weights = self.in_x(points) + np.log(spacing)
        if not self.n:
            return log_weights, points.log_gap
        u, spacing, rows = self.nodes_of_y(points, floor, coarser)
        points = _Points(*(column[rows] for column in points))
        log_weights = log_weights[rows] + np.log(spacing) + self.in_y(u)
        return log_weights, self.log_growth(points, u)

    def nodes_of_y(
        self, points: _Points, floor: float, coarser: float
    ) -> tuple[_Array, _Array, NDArray[np.intp]]:
        """Return nodes of u, their spacings, and which point each belongs to."""
        peak = self.peak(points)
        depth = np.maximum(self.profile(points) - floor, 1.0)
        # The moment only narrows the peak of chi2, which drops by n/2 (exp(v) - 1 - v).
        reach = 2 * depth / self.n
        left = self._edge(points, peak, -(reach + 1), depth)
        right = self._edge(points, peak, np.log1p(reach + np.sqrt(2 * reach)), depth)
        width = 1 / np.sqrt(np.exp(peak) / 2 + 1e-6)
        step = coarser * np.minimum(_STEP, _STEP_IN_PEAKS * width)
        # Three units below the peak, and below where a^2 X Y is (1 - aX)^2, it is a straight line.
        bend = 2 * points.log_gap - points.log_x - self.log_a
        return _nodes(left, right, np.minimum(peak, bend) - 3, right, step)

    def _edge(self, points: _Points, peak: _Array, reach: _Array, depth: _Array) -> _Array:
        """Return where the integrand has dropped by the depth, or a little further out."""

        def height(u: _Array) -> _Array:
            return self.in_y(u) + self.s * self.log_growth(points, u)

        floor = height(peak) - depth
        near, far = peak, peak + reach
        for _ in range(8):
            middle = (near + far) / 2
            inside = height(middle) > floor
            near, far = np.where(inside, middle, near), np.where(inside, far, middle)
        return far


def _straight(profile: _Array) -> int:
    """Return up to which point a profile is the straight line that it begins as."""
    line = profile[0] + (profile[1] - profile[0]) * np.arange(profile.size)
    return int(np.argmax(np.abs(profile - line) > 0.05))


def _nodes(
    left: _Array, right: _Array, left_knee: _Array, right_knee: _Array, step: _Array
) -> tuple[_Array, _Array, NDArray[np.intp]]:
    """Return the nodes of every row, their spacings, and their rows."""
    # Beyond a knee the logarithm is a straight line. There t = w - exp(knee - w), evenly spaced in
    # w, makes of the exponential decay a doubly exponential one: far fewer nodes.
    left_tail, right_tail = left_knee - left, right - right_knee
    stretch_left, stretch_right = left_tail > 1, right_tail > 1
    low = np.where(stretch_left, left_knee - np.log(np.maximum(left_tail, 1)), left)
    high = np.where(stretch_right, right_knee + np.log(np.maximum(right_tail, 1)), right)
    counts = 2 + np.ceil((high - low) / step).astype(np.intp)
    spacing = (high - low) / (counts - 1)
    rows = np.repeat(np.arange(counts.size), counts)
    w = low[rows] + spacing[rows] * (np.arange(rows.size) - (np.cumsum(counts) - counts)[rows])
    from_left = np.exp(np.where(stretch_left, left_knee, -np.inf)[rows] - w)
    from_right = np.exp(w - np.where(stretch_right, right_knee, np.inf)[rows])
    return w - from_left + from_right, spacing[rows] * (1 + from_left + from_right), rows


def _log_density_of_log_chi2(u: _Array, freedom: float) -> _Array:
    """Return it in terms of the distance from the mode: no large numbers that cancel."""
    z = freedom / 2
    if z < 10:
        height = z * math.log(z) - z - math.lgamma(z)
    else:  # Stirling's series: the error is below 1e-15
        height = math.log(z / (2 * math.pi)) / 2 - (
            1 / (12 * z) - 1 / (360 * z**3) + 1 / (1260 * z**5) - 1 / (1680 * z**7)
        )
    distance = u - math.log(freedom)
    return height - z * (np.expm1(distance) - distance)
