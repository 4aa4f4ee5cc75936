"""What may be asked: each message says what was asked, what came and what to do."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_lens.theory.kesten.tail import LARGEST_INDEX


def positive(name: str, value: ArrayLike, remedy: str) -> NDArray[np.float64]:
    """Return the numbers, which must be finite and above 0."""
    numbers = _numbers(name, value)
    wrong = ~(np.isfinite(numbers) & (numbers > 0))
    if wrong.any():
        came = numbers[wrong].flat[0]
        finite = " and finite" if came == np.inf else ""
        raise ValueError(f"{name} must be above 0{finite}, got {came:g}. {remedy}")
    return numbers


def whole(name: str, value: ArrayLike, remedy: str) -> NDArray[np.float64]:
    """Return the numbers, which must be whole and at least 1."""
    numbers = _numbers(name, value)
    wrong = ~(np.isfinite(numbers) & (numbers >= 1) & (numbers == np.floor(numbers)))
    if wrong.any():
        came = f"{numbers[wrong].flat[0]:g}"
        raise ValueError(f"{name} must be a whole number of at least 1, got {came}. {remedy}")
    return numbers


def order(name: str, value: ArrayLike, *, zero: bool = False) -> NDArray[np.float64]:
    """Return orders of moments, which must be at most the largest index."""
    numbers = _numbers(name, value)
    wrong = ~((numbers > 0) | (zero & (numbers == 0))) | ~(numbers <= LARGEST_INDEX)
    if wrong.any():
        low = "at least" if zero else "above"
        raise ValueError(
            f"{name} must be {low} 0 and at most {LARGEST_INDEX:g}, "
            f"got {numbers[wrong].flat[0]:g}. No larger moment is computed; beyond, no sample "
            "could tell the tail from a light one."
        )
    return numbers


def cells(
    step_size: ArrayLike, batch_size: ArrayLike, dim: ArrayLike, sigma: ArrayLike
) -> list[NDArray[np.float64]]:
    """Return step size * sigma^2, batch size and dimension, broadcast against each other."""
    rates = positive("step_size", step_size, "SGD moves against the gradient.")
    batches = whole("batch_size", batch_size, "It counts the inputs of a minibatch.")
    dims = whole("dim", dim, "It counts the coordinates of an input.")
    scales = positive("sigma", sigma, "It is the standard deviation of an input's coordinates.")
    try:
        return list(np.broadcast_arrays(rates * scales**2, batches, dims))
    except ValueError as error:
        shapes = ", ".join(str(x.shape) for x in (rates, batches, dims, scales))
        raise ValueError(
            "step_size, batch_size, dim and sigma must broadcast against each other, got shapes "
            f"{shapes}. Give each array an axis of its own, or all of them one shape."
        ) from error


def _numbers(name: str, value: ArrayLike) -> NDArray[np.float64]:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be a number or an array of numbers, got {value!r}"
        ) from error
