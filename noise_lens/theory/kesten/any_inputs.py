"""The tail that SGD on linear regression has from any inputs, and with momentum, by Monte Carlo."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from noise_lens.theory.kesten import arguments
from noise_lens.theory.kesten.minibatches import Minibatches, gaussian_inputs
from noise_lens.theory.kesten.population import Growth, Population
from noise_lens.theory.kesten.tail import (
    BEYOND_MEASURE,
    LARGEST_INDEX,
    LIGHT,
    NO_STATIONARY_LAW,
    UNDECIDED,
    KestenTail,
    regime_of,
)

__all__ = ["gaussian_inputs", "kesten_tail_of_inputs"]

_EFFECTIVE = 10  # directions that share the weight of a step; with fewer a moment is not seen
_ROUNDS = 30


def kesten_tail_of_inputs(
    inputs: Any,
    step_size: float,
    batch_size: int,
    *,
    momentum: float = 0.0,
    replace: bool = True,
    n_particles: int = 5000,
    n_steps: int = 400,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> KestenTail:
    """Estimate the tail index of SGD's stationary iterates on linear regression.

    ``x_{k+1} = x_k - eta/b sum a_i (a_i^T x_k - y_i) + mu (x_k - x_{k-1})``: the root alpha > 0
    of h(alpha) = 1, where h(s) is the growth rate a step of the s-th moment of a product of the
    random matrices, found with a population of directions. Without momentum, and for Gaussian
    inputs, :func:`kesten_tail_index` is exact.

    Parameters
    ----------
    inputs : array_like of shape (n, dim), or callable
        A data set, of which minibatches are drawn anew in each step; or an endless source
        ``(n, generator) -> (n, dim)``, such as ``gaussian_inputs(dim)``.
    step_size : float
        Above 0.
    batch_size : int
        Inputs a minibatch.
    momentum : float, default 0
        mu in [0, 1), as in ``torch.optim.SGD``.
    replace : bool, default True
        Whether a minibatch of a data set may hold a row twice.
    n_particles : int, default 5000
        Directions in the population, at least 100.
    n_steps : int, default 400
        Steps over which h is averaged, at least 60 and many times 1/(1 - mu); about three times as
        many are made.
    seed : int, default 0
        Of all that is drawn; torch's own generator is left alone.
    device : torch.device or str, default "cpu"
        Where the population lives.

    Returns
    -------
    KestenTail
        With ``standard_error``. "light" where no minibatch of a data set can lengthen a
        direction; "beyond measure" where alpha is above ``seen``, the largest moment that this
        population could see; "undecided" where the Lyapunov exponent is within two of its errors
        of 0.

    Raises
    ------
    ValueError
        An argument out of range, or inputs that are not finite rows spanning their dimensions.

    Examples
    --------
    >>> source = gaussian_inputs(dim=1)
    >>> tail = kesten_tail_of_inputs(source, 2 / 3, 1, n_particles=500, n_steps=100)
    >>> bool(abs(tail - 2) < 4 * tail.standard_error)
    True
    """
    step_size, batch_size = _checked(step_size, batch_size, momentum, n_particles, n_steps)
    generator = torch.Generator(device).manual_seed(seed)
    minibatches = Minibatches(inputs, batch_size, replace=replace, generator=generator)
    population = Population(minibatches, step_size, momentum, n_particles)
    exponent, error, variance = population.exponent(n_steps // 2, skip=n_steps // 4)
    if exponent < 0 and minibatches.never_expand(step_size, momentum):
        return KestenTail(math.inf, exponent, LIGHT, seen=0.0)
    if exponent + 2 * error >= 0:
        regime = UNDECIDED if exponent - 2 * error < 0 else NO_STATIONARY_LAW
        return KestenTail(math.nan, exponent, regime, seen=0.0)
    start = -2 * exponent / variance if 0 < variance < math.inf else 1.0
    return _root(population, exponent, min(start, 8.0), n_steps)


def _root(population: Population, exponent: float, start: float, n_steps: int) -> KestenTail:
    """Return the tail: the root of log h, or that it is larger than what can be seen."""
    s, seen = start, 0.0
    for _ in range(_ROUNDS):
        found = population.growth(s, max(n_steps // 8, 20), skip=max(n_steps // 16, 5))
        if found.effective_size < _EFFECTIVE:
            # Too few directions carry the moment: the root is below, or out of sight.
            if found.log_moment < -2 * found.standard_error or s < 1.05 * seen:
                break
            s = (s + seen) / 2
            continue
        if found.log_moment < 0:
            seen = max(seen, s)
        if found.slope > 0 and abs(found.log_moment) < 2 * found.standard_error:
            alpha, error = _settled(population, _newton(s, found), n_steps)
            return KestenTail(alpha, exponent, regime_of(alpha, exponent), error)
        s = _newton(s, found)
        if seen >= LARGEST_INDEX:
            break
    return KestenTail(math.nan, exponent, BEYOND_MEASURE, seen=seen)


def _settled(population: Population, s: float, n_steps: int) -> tuple[float, float]:
    """Return the root from the whole number of steps, made close to it, and its error."""
    for _ in range(3):
        found = population.growth(s, n_steps, skip=n_steps // 4)
        start, s = s, _newton(s, found)
        if abs(s - start) < 0.1 * start:
            break
    return s, found.standard_error / abs(found.slope)


def _newton(s: float, found: Growth) -> float:
    """Return the next order: at most twice, at least half of this one."""
    if found.slope <= 0:  # left of the minimum of log h
        return 2 * s
    return min(max(s - found.log_moment / found.slope, s / 2), 2 * s)


def _checked(
    step_size: float, batch_size: int, momentum: float, n_particles: int, n_steps: int
) -> tuple[float, int]:
    rate, size, _ = arguments.cells(step_size, batch_size, 1, 1.0)
    if rate.ndim:
        raise ValueError(
            f"one step size and one batch size at a time, got shapes {np.shape(step_size)} and "
            f"{np.shape(batch_size)}. Loop over the cells."
        )
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must lie in [0, 1), got {momentum}. Without it, pass 0.")
    for name, value, least in (("n_particles", n_particles, 100), ("n_steps", n_steps, 60)):
        if value < least or value != int(value):
            raise ValueError(
                f"{name} must be a whole number of at least {least}, got {value}. "
                "With fewer the error of alpha is not known."
            )
    return float(rate), int(size)
