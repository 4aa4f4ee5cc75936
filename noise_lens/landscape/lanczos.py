"""Extreme eigenvalues of a symmetric matrix that is known by its products, with error bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg
from torch import Tensor

_ROWS_A_BLOCK = 32
_CHECK_EVERY = 5


@dataclass(frozen=True)
class Spectrum:
    """Both ends of a spectrum.

    Attributes
    ----------
    largest : ndarray of shape (k,)
        The largest Ritz values, falling.
    errors : ndarray of shape (k,)
        Residual norms: within this distance of each there is an eigenvalue.
    smallest, smallest_error : float
        The same at the other end. The smallest eigenvalue is not above `smallest`: a negative one
        proves negative curvature, a positive one proves nothing beyond its error.
    n_products : int
        Matrix-vector products that were taken.
    converged : bool
        Whether all errors of `largest` are within the tolerance.
    """

    largest: NDArray[np.float64]
    errors: NDArray[np.float64]
    smallest: float
    smallest_error: float
    n_products: int
    converged: bool


def lanczos(
    product: Callable[[Tensor], Tensor],
    size: int,
    *,
    n_eigenvalues: int,
    max_products: int,
    tolerance: float,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Spectrum:
    """Return the largest eigenvalues of a symmetric matrix by Lanczos' method.

    Every new vector is made orthogonal to all earlier ones, twice: without that, copies of
    eigenvalues appear that are not there. Where the space of one start is used up, a new random
    direction continues, so that with `max_products` >= `size` eigenvalues are found as often as
    they occur; before that, copies of a multiple eigenvalue may be missing.

    Parameters
    ----------
    product : callable
        Tensor of shape (size,) -> the matrix times it.
    size : int
        Rows of the matrix.
    n_eigenvalues : int
        How many at the upper end; all of them where there are fewer.
    max_products : int
        Products at most; all vectors are held, `size` numbers each.
    tolerance : float
        Largest residual of an eigenvalue, relative to the largest magnitude.
    generator : torch.Generator
        Of the start, on the CPU.
    dtype : torch.dtype
        Of the vectors.
    device : torch.device or str
        Of the vectors.

    Returns
    -------
    Spectrum
        Both ends.
    """
    steps = min(max_products, size)
    wanted = min(n_eigenvalues, size)
    basis = _Basis(size, dtype, device)
    diagonal, beside = np.zeros(steps), np.zeros(steps)  # beside[j] joins j and j + 1
    vector = _random(size, generator, dtype, device)
    found, split = None, False
    for step in range(steps):
        basis.add(vector)
        image = product(vector)
        diagonal[step] = float(vector @ image)
        rest = basis.without(image)
        reach = float(torch.linalg.vector_norm(rest))
        scale = max(np.abs(diagonal).max(), beside.max())
        # What is left of an image inside the space is rounding, and no direction.
        ended = reach <= scale * size**0.5 * torch.finfo(dtype).eps * 10
        beside[step] = 0.0 if ended else reach
        split = split or ended
        last = step + 1 == steps
        if last or ((step + 1) % _CHECK_EVERY == 0 and step + 1 >= wanted):
            found = _spectrum(diagonal[: step + 1], beside[: step + 1], wanted, tolerance, dtype)
            if found.converged and not split:
                break
        if last:
            break
        vector = basis.new_direction(generator) if ended else rest / reach
    assert found is not None
    return found


class _Basis:
    """Orthonormal vectors, in blocks of memory: how many there will be is not known."""

    def __init__(self, size: int, dtype: torch.dtype, device: torch.device | str) -> None:
        self._blocks: list[Tensor] = []
        self._n = 0
        self._size, self._dtype, self._device = size, dtype, device

    def add(self, vector: Tensor) -> None:
        if self._n % _ROWS_A_BLOCK == 0:
            shape = (_ROWS_A_BLOCK, self._size)
            self._blocks.append(torch.zeros(shape, dtype=self._dtype, device=self._device))
        self._blocks[-1][self._n % _ROWS_A_BLOCK] = vector
        self._n += 1

    def new_direction(self, generator: torch.Generator) -> Tensor:
        """Return a random unit vector at right angles to the space."""
        return _unit(self.without(_random(self._size, generator, self._dtype, self._device)))

    def without(self, vector: Tensor) -> Tensor:
        """Return what is left of a vector beside the space."""
        for _ in range(2):  # once is not enough in floating point, twice is (Kahan, Parlett)
            for block in self._blocks:
                vector = vector - block.T @ (block @ vector)
        return vector


def _random(
    size: int, generator: torch.Generator, dtype: torch.dtype, device: torch.device | str
) -> Tensor:
    start = torch.randn(size, generator=generator, dtype=torch.float64)
    return _unit(start.to(device=device, dtype=dtype))


def _unit(vector: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(vector)
    return vector / length


def _spectrum(
    diagonal: NDArray[np.float64],
    beside: NDArray[np.float64],
    wanted: int,
    tolerance: float,
    dtype: torch.dtype,
) -> Spectrum:
    values, vectors = linalg.eigh_tridiagonal(diagonal, beside[:-1])
    largest = float(np.abs(values).max())
    rounding = torch.finfo(dtype).eps * largest * len(values)
    # Paige: the residual of a Ritz pair is what its last entry reaches into the next direction.
    errors = np.maximum(beside[-1] * np.abs(vectors[-1]), rounding)
    top = slice(None, -wanted - 1, -1)
    return Spectrum(
        largest=values[top],
        errors=errors[top],
        smallest=float(values[0]),
        smallest_error=float(errors[0]),
        n_products=len(diagonal),
        converged=bool((errors[top] <= tolerance * largest).all()) and len(values) >= wanted,
    )
