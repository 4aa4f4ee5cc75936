"""The tabulated density of the standard symmetric stable law: build, load, interpolate.

With ``g`` the density at alpha = 2, the function that is tabulated is

    H(u, alpha) = (f(x; alpha) - g(x)) / (2 - alpha) * (1 + x**2)**((1 + alpha) / 2),
    x = width(alpha) * sinh(u).

It is smooth up to and at alpha = 2, where log f is not, and it keeps the relative precision of a
tail of any weight. The shipped file holds Chebyshev coefficients in 1/alpha and, panel by panel,
in u. ``benchmarks/build_density_table.py`` builds it anew (two seconds).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

SMALLEST_ALPHA = 0.4
N_RECIPROCALS, N_PANELS, N_NODES = 64, 17, 16
"""Chebyshev terms in 1/alpha, panels of u, Chebyshev terms a panel."""

LARGEST_U = 8.25
"""End of the table: x is at least 50 there, and the tail series takes over."""

_CELLS_A_PANEL = 100
_CELL = LARGEST_U / (N_PANELS * _CELLS_A_PANEL)
_CHUNK = 8_192  # points at a time: temporaries stay in the cache
_SERIES_TERMS = 24
_FILE = "density_table.npy"


def width(alpha: float) -> float:
    """Return the half width of the peak: the density falls like 1 - (x / width)**2 / 2."""
    return float(np.exp((special.gammaln(1 / alpha) - special.gammaln(3 / alpha)) / 2))


def gaussian_density(x: Floats) -> Floats:
    """Return the density of N(0, 2), the law at alpha = 2."""
    return np.asarray(np.exp(-x * x / 4) / np.sqrt(4 * np.pi))


def build() -> Floats:
    """Compute the table by quadrature along a rotated ray and by the tail series.

    Returns
    -------
    ndarray of shape (64, 17, 16)
        Chebyshev coefficients: 1/alpha in [1/2, 5/2], panel of u, place in the panel.
    """
    reciprocals = 1.5 + _chebyshev_nodes(N_RECIPROCALS)
    places = (np.arange(N_PANELS)[:, None] + (1 + _chebyshev_nodes(N_NODES)) / 2).ravel()
    u = places * LARGEST_U / N_PANELS
    values = np.empty((N_RECIPROCALS, len(u)))
    for row, alpha in zip(values, 1 / reciprocals, strict=True):
        x = width(alpha) * np.sinh(u)
        row[:] = density_difference(x, alpha) * (1 + x * x) ** ((1 + alpha) / 2)
    return np.asarray(
        np.einsum(
            "ka,apn,jn->kpj",
            _chebyshev_transform(N_RECIPROCALS),
            values.reshape(N_RECIPROCALS, N_PANELS, N_NODES),
            _chebyshev_transform(N_NODES),
        )
    )


def density_difference(x: Floats, alpha: float) -> Floats:
    """Compute (f(x; alpha) - f(x; 2)) / (2 - alpha) without cancellation.

    f(x) = Re int exp(ixt - t**alpha) dt / pi over t > 0. On the ray t = r exp(i phi) the
    integrand decays without oscillating (Bergstrom's contour); r runs over exp-sinh nodes.

    Parameters
    ----------
    x : ndarray of shape (n,)
        Points, not negative.
    alpha : float
        In [0.4, 2).

    Returns
    -------
    ndarray of shape (n,)
        Relative error near 1e-12.
    """
    steps = np.linspace(-4.2, 4.6, 1000)
    radius = np.exp(np.pi / 2 * np.sinh(steps))
    weight = radius * np.pi / 2 * np.cosh(steps) * (steps[1] - steps[0])
    ray = np.exp(1j * np.pi / (8 if alpha > 1 else 4))
    result = np.empty(len(x))
    far = x > 40
    result[far] = np.exp(log_tail(x[far], alpha)) / x[far] / (2 - alpha)
    near = x[~far]
    t = radius / (1 + near[:, None]) * ray
    with np.errstate(all="ignore"):  # beyond exp's range the integrand is 0
        if alpha > 1:
            small = np.exp(-(t**2)) * np.expm1(t**2 - t**alpha)
            kernel = np.where(np.abs(t) < 3, small, np.exp(-(t**alpha)) - np.exp(-(t**2)))
        else:
            kernel = np.exp(-(t**alpha))
        integrand = np.nan_to_num(np.exp(1j * t * near[:, None]) * kernel) * ray
    integral = integrand.real @ weight / (1 + near) / np.pi
    if alpha <= 1:
        integral -= gaussian_density(near)
    result[~far] = integral / (2 - alpha)
    return result


@cache
def load() -> Floats:
    """Return the shipped table, shape (64, 17, 16)."""
    with resources.files("noise_lens.stable").joinpath(_FILE).open("rb") as file:
        return np.asarray(np.load(file, allow_pickle=False), dtype=np.float64)


@dataclass(frozen=True)
class Curves:
    """The logarithms of one law's density and survival function, as cubics on cells of u.

    Attributes
    ----------
    alpha : float
        Stability index, neither 1 nor 2: those laws have closed forms.
    width : float
        x = width * sinh(u).
    density, survival : ndarray of shape (4, 1700)
        Coefficients of cubics in the place in a cell, constant first.
    """

    alpha: float
    width: float
    density: Floats
    survival: Floats

    def log_density(self, x: Floats) -> Floats:
        """Return log f at any points of the standard law."""
        return self._evaluate(x, self.density, lambda x: log_tail(x, self.alpha) - np.log(x))

    def log_survival(self, x: Floats) -> Floats:
        """Return log P(X > abs(x)) at any points of the standard law."""
        return self._evaluate(x, self.survival, lambda x: log_tail(x, self.alpha, 0))

    def _evaluate(self, x: Floats, cubics: Floats, log_far: Callable[[Floats], Floats]) -> Floats:
        flat = np.ravel(x)
        result = np.empty(flat.shape)
        last = cubics.shape[1] - 1
        # NaN stays NaN; where the square overflows, the series takes over.
        with np.errstate(invalid="ignore", over="ignore"):
            for start in range(0, len(flat), _CHUNK):
                y = np.abs(flat[start : start + _CHUNK], dtype=np.float64)
                y /= self.width
                place = np.multiply(y, y)
                place += 1
                np.sqrt(place, out=place)
                place += y
                np.log(place, out=place)  # asinh(y), at a tenth of its price
                place /= _CELL
                cell = np.minimum(place, last).astype(np.intp)
                place -= cell
                total = result[start : start + _CHUNK]
                np.take(cubics[3], cell, out=total, mode="clip")
                for coefficients in cubics[2::-1]:
                    total *= place
                    total += coefficients.take(cell, mode="clip")
                far = place > 1
                if far.any():
                    total[far] = log_far(np.abs(flat[start : start + _CHUNK][far]))
        return result.reshape(np.shape(x))


@lru_cache(maxsize=512)
def curves(alpha: float) -> Curves:
    """Collapse the table to one alpha.

    Parameters
    ----------
    alpha : float
        In [0.4, 2), not 1.

    Returns
    -------
    Curves
        Error of log f: 1e-8 or so, up to the last representable magnitude.
    """
    at = np.cos(np.arange(N_RECIPROCALS) * np.arccos(np.clip(1 / alpha - 1.5, -1, 1)))
    panels = np.tensordot(at, load(), axes=1)
    values, slopes = _cell_basis()
    h = np.append((panels @ values[:, :-1]).ravel(), panels[-1] @ values[:, -1])
    h_slope = np.append((panels @ slopes[:, :-1]).ravel(), panels[-1] @ slopes[:, -1])

    scale = width(alpha)
    u = np.arange(len(h)) * _CELL
    x, x_slope = scale * np.sinh(u), scale * np.cosh(u)
    decay = (2 - alpha) * (1 + x * x) ** (-(1 + alpha) / 2)
    decay_slope = -(1 + alpha) * x / (1 + x * x) * x_slope
    gaussian = gaussian_density(x)
    density = gaussian + decay * h
    slope = -x / 2 * x_slope * gaussian + decay * (h_slope + h * decay_slope)

    # Mass of each cell by the trapezium with its end correction (Euler-Maclaurin), summed from
    # the far end so that small probabilities keep their digits.
    mass = density * x_slope
    mass_slope = slope * x_slope + density * x
    cells = _CELL / 2 * (mass[:-1] + mass[1:]) + _CELL**2 / 12 * (mass_slope[:-1] - mass_slope[1:])
    beyond = float(np.exp(log_tail(x[-1:], alpha, 0)[0]))
    survival = np.append(beyond, beyond + np.cumsum(cells[::-1]))[::-1]
    return Curves(
        alpha=alpha,
        width=scale,
        density=_cubics(np.log(density), slope / density),
        survival=_cubics(np.log(survival), -mass / survival),
    )


def log_tail(x: Floats, alpha: float, derivative: int = 1) -> Floats:
    """Sum Bergstrom's series of the tail, which alternates in powers of x**-alpha.

    Parameters
    ----------
    x : ndarray of shape (n,)
        Points beyond 40: there 24 terms reach rounding error for all alpha in [0.4, 2).
    alpha : float
        Stability index below 2.
    derivative : {0, 1}
        0 gives log P(X > x), 1 gives log(x f(x)).

    Returns
    -------
    ndarray of shape (n,)
        The logarithm of the sum; -inf at inf.

    References
    ----------
    .. [1] H. Bergstrom, Ark. Mat. 2, 1952. doi:10.1007/BF02591503
    """
    k = np.arange(1, _SERIES_TERMS + 1)
    size = np.exp(special.gammaln(alpha * k + derivative) - special.gammaln(k + 1))
    terms = np.where(k % 2, 1, -1) * np.sin(np.pi * alpha * k / 2) * size / np.pi
    power = x**-alpha
    total = np.zeros_like(power)
    for term in terms[:0:-1]:
        total += term
        total *= power
    return np.asarray(np.log(total + terms[0]) - alpha * np.log(x))


@cache
def _cell_basis() -> tuple[Floats, Floats]:
    # Chebyshev polynomials and their derivatives in u at the cell edges of one panel.
    place = np.linspace(-1, 1, _CELLS_A_PANEL + 1)
    one = np.eye(N_NODES)
    values = np.array([np.polynomial.chebyshev.chebval(place, row) for row in one])
    slopes = np.array(
        [
            np.polynomial.chebyshev.chebval(place, np.polynomial.chebyshev.chebder(row))
            for row in one
        ]
    )
    return values, slopes * 2 * N_PANELS / LARGEST_U


def _cubics(values: Floats, slopes: Floats) -> Floats:
    # Hermite: values and slopes at both ends of each cell.
    rise = np.diff(values)
    left, right = slopes[:-1] * _CELL, slopes[1:] * _CELL
    return np.stack([values[:-1], left, 3 * rise - 2 * left - right, left + right - 2 * rise])


def _chebyshev_nodes(n: int) -> Floats:
    return np.asarray(np.cos(np.pi * (np.arange(n) + 0.5) / n))


def _chebyshev_transform(n: int) -> Floats:
    angles = np.pi * (np.arange(n) + 0.5) / n
    transform = 2 / n * np.cos(np.outer(np.arange(n), angles))
    transform[0] /= 2
    return np.asarray(transform)
