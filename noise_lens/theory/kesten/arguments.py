"""What may be asked: each message says what was asked, what came and what to do."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_lens.theory.kesten.tail import LARGEST_INDEX

LARGEST_RATE = 1e300
"""Of step_size * sigma^2: beyond, and below its inverse, squares leave float64."""


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
    with np.errstate(over="ignore", under="ignore"):
        squares = scales**2
    _representable("sigma^2", squares)
    try:
        with np.errstate(over="ignore", under="ignore"):
            products, batches, dims = np.broadcast_arrays(rates * squares, batches, dims)
    except ValueError as error:
        shapes = ", ".join(str(x.shape) for x in (rates, batches, dims, scales))
        raise ValueError(
            "step_size, batch_size, dim and sigma must broadcast against each other, got shapes "
            f"{shapes}. Give each array an axis of its own, or all of them one shape."
        ) from error
    _representable("step_size * sigma^2", products)
    return [products, batches, dims]


def _numbers(name: str, value: ArrayLike) -> NDArray[np.float64]:
    try:
        # Text is refused although it may spell a number, and None, which would be NaN.
        numbers = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise _no_numbers(name, value) from error
    if numbers.dtype.kind not in "iuf":
        raise _no_numbers(name, value)
    return np.asarray(numbers, dtype=np.float64)


def _no_numbers(name: str, value: ArrayLike) -> ValueError:
    return ValueError(f"{name} must be a number or an array of numbers, got {value!r}")


def _representable(name: str, numbers: NDArray[np.float64]) -> None:
    wrong = ~((numbers >= 1 / LARGEST_RATE) & (numbers <= LARGEST_RATE))
    if wrong.any():
        raise ValueError(
            f"{name} must lie between {1 / LARGEST_RATE:g} and {LARGEST_RATE:g}, got "
            f"{numbers[wrong].flat[0]:g}. Take other units of the inputs."
        )
