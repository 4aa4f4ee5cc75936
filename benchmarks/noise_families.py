"""Noise that is not stable, for the benchmarks: families of rows with lognormal column scales.

Each function takes (rng, M, d) and returns rows of shape (M, d).
"""

from collections.abc import Callable

import numpy as np
from stable_rows import stable_radius, stable_rows

Family = Callable[[np.random.Generator, int, int], np.ndarray]


def scales(rng: np.random.Generator, d: int, deviation: float = 1.0) -> np.ndarray:
    return np.exp(deviation * rng.standard_normal(d))


def gaussian(deviation: float) -> Family:
    return lambda rng, n, d: rng.standard_normal((n, d)) * scales(rng, d, deviation)


def correlated(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Gaussian with the spectrum 1 / k in a random basis."""
    basis = np.linalg.qr(rng.standard_normal((d, d)))[0]
    spectrum = np.arange(1, d + 1) ** -0.5
    return rng.standard_normal((n, d)) @ (spectrum[:, None] * basis) * scales(rng, d)


def equicorrelated(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return np.sqrt(0.3) * rng.standard_normal((n, 1)) + np.sqrt(0.7) * rng.standard_normal((n, d))


def student(nu: float) -> Family:
    return lambda rng, n, d: rng.standard_t(nu, (n, d)) * scales(rng, d)


def elliptical_student(nu: float) -> Family:
    def rows(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
        radius = np.sqrt(nu / rng.chisquare(nu, (n, 1)))
        return radius * rng.standard_normal((n, d)) * scales(rng, d)

    return rows


def laplace(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return rng.laplace(size=(n, d)) * scales(rng, d)


def half_zero(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return rng.standard_normal((n, d)) * (rng.random((n, d)) < 0.5) * scales(rng, d)


def common_norm(deviation: float) -> Family:
    def rows(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
        radius = np.exp(deviation * rng.standard_normal((n, 1)))
        return radius * rng.standard_normal((n, d)) * scales(rng, d)

    return rows


def volatile(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """A common log scale that is an autoregression with coefficient .9 and sd .5, as in GARCH."""
    log_scale, shocks = np.empty(n), rng.standard_normal(n) * 0.5 * np.sqrt(1 - 0.81)
    last = rng.standard_normal() * 0.5
    for index, shock in enumerate(shocks):
        last = log_scale[index] = 0.9 * last + shock
    return rng.standard_normal((n, d)) * np.exp(log_scale)[:, None] * scales(rng, d)


def sparse_shapes(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Each coordinate is active at its own rate, from 2 % to always; exact zeros otherwise."""
    rate = np.exp(rng.uniform(np.log(0.02), 0, d))
    return rng.standard_normal((n, d)) * (rng.random((n, d)) < rate) * scales(rng, d)


def burst_shapes(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Each coordinate is larger at its own rate by its own factor: no exact zeros."""
    rate = np.exp(rng.uniform(np.log(0.01), np.log(0.5), d))
    factor = np.exp(rng.uniform(np.log(2), np.log(50), d))
    large = np.where(rng.random((n, d)) < rate, factor, 1.0)
    return rng.standard_normal((n, d)) * large * scales(rng, d)


def student_shapes(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    nu = np.exp(rng.uniform(np.log(2.1), np.log(30), d))
    return rng.standard_t(nu, (n, d)) * scales(rng, d)


def generalised_gaussian(beta: float) -> Family:
    def rows(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
        signs = rng.integers(0, 2, (n, d)) * 2 - 1
        return rng.gamma(1 / beta, size=(n, d)) ** (1 / beta) * signs * scales(rng, d)

    return rows


def mixture(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    large = np.where(rng.random((n, d)) < 0.1, 5.0, 1.0)
    return rng.standard_normal((n, d)) * large * scales(rng, d)


def bounded(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return rng.uniform(-1, 1, (n, d)) * scales(rng, d)


def skewed(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return (rng.exponential(size=(n, d)) - 1) * scales(rng, d)


def stable(law: str, alpha: float) -> Family:
    return lambda rng, n, d: stable_rows(law, alpha, (n, d), rng) * scales(rng, d)


def stable_blocks(alpha: float, n_blocks: int) -> Family:
    """Coordinates in blocks that have one radius each: between independent and elliptical."""

    def rows(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
        parts = np.array_split(np.arange(d), min(n_blocks, d))
        drawn = [stable_rows("elliptical", alpha, (n, len(part)), rng) for part in parts]
        return np.concatenate(drawn, axis=1) * scales(rng, d)

    return rows


def sparse(share: float) -> Family:
    """Gaussian entries of which only a share is not exactly zero."""

    def rows(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
        return rng.standard_normal((n, d)) * (rng.random((n, d)) < share) * scales(rng, d)

    return rows


def equal_columns(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return stable_rows("independent", 1.8, (n, 1), rng) * scales(rng, d)


def correlated_elliptical(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """One radius a row, and coordinates that are correlated by .9."""
    common, own = rng.standard_normal((n, 1)), rng.standard_normal((n, d))
    return stable_radius(1.8, n, rng) * (np.sqrt(0.9) * common + np.sqrt(0.1) * own)


GAUSSIAN: dict[str, Family] = {
    "i.i.d.": gaussian(0.0),
    "log-scales sd 1": gaussian(1.0),
    "log-scales sd 2": gaussian(2.0),
    "spectrum 1/k": correlated,
    "equicorrelated .3": equicorrelated,
}
FINITE_VARIANCE: dict[str, Family] = {
    "Laplace": laplace,
    "t(5)": student(5),
    "t(3)": student(3),
    "t(2.5)": student(2.5),
    "50 % zeros": half_zero,
    "common norm .5": common_norm(0.5),
    "common norm 1": common_norm(1.0),
    "volatile": volatile,
    "sparse shapes": sparse_shapes,
    "burst shapes": burst_shapes,
    "t shapes": student_shapes,
    "generalised Gaussian .7": generalised_gaussian(0.7),
    "Gaussian mixture": mixture,
    "bounded": bounded,
    "skewed exponential": skewed,
    "elliptical t(5)": elliptical_student(5),
    "elliptical t(3)": elliptical_student(3),
}
INFINITE_VARIANCE: dict[str, Family] = {
    "t(1.5)": student(1.5),
    "elliptical t(1.5)": elliptical_student(1.5),
}
STABLE: dict[str, Family] = {
    f"{law} {alpha}": stable(law, alpha)
    for law in ("independent", "elliptical")
    for alpha in (1.2, 1.5, 1.8, 1.9)
} | {"8 blocks 1.5": stable_blocks(1.5, 8), "8 blocks 1.8": stable_blocks(1.8, 8)}
SPARSE: dict[str, Family] = {f"{share:g} % active": sparse(share / 100) for share in (1, 2, 3, 5)}
CORRELATED_STABLE: dict[str, Family] = {
    "equal columns 1.8": equal_columns,
    "correlated elliptical 1.8": correlated_elliptical,
}
ALL = GAUSSIAN | FINITE_VARIANCE | INFINITE_VARIANCE | STABLE | SPARSE | CORRELATED_STABLE
