"""Rows of stable laws for the benchmarks."""

import numpy as np

from noise_lens import SymmetricStable


def stable_rows(
    law: str, alpha: float, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Return rows with independent coordinates, or with one radius a row ("elliptical").

    A Gaussian row times the root of a positive stable variable of index alpha / 2 (Kanter's
    formula) is sub-Gaussian stable: Samorodnitsky and Taqqu (1994), section 2.5.
    """
    if law == "independent" or alpha == 2:
        return SymmetricStable(alpha).rvs(shape, rng)
    return stable_radius(alpha, shape[0], rng) * rng.standard_normal(shape)


def stable_radius(alpha: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return radii of shape (n, 1): roots of positive stable variables of index alpha / 2."""
    a = alpha / 2
    angle, wait = rng.uniform(0, np.pi, (n, 1)), rng.exponential(size=(n, 1))
    square = np.sin(a * angle) / np.sin(angle) ** (1 / a)
    return np.sqrt(square * (np.sin((1 - a) * angle) / wait) ** ((1 - a) / a))
