"""Where minibatches of a linear regression come from: fresh Gaussian rows, or a finite data set."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Generator, Tensor

Draw = Callable[[Generator], tuple[Tensor, Tensor]]
"""One minibatch a replica: rows (replicas, b, d), and what is left at the centre (replicas, b)."""

_STEPS_AT_ONCE = 32  # of row numbers: distinct ones take some ten operations a row of a minibatch


@dataclass(frozen=True)
class FreshRows:
    """Rows a ~ N(0, sigma^2 I) and targets y ~ N(0, noise^2), new at every step ("online").

    Attributes
    ----------
    dim : int
        Coordinates of a row.
    sigma, noise : float
        Standard deviations of an entry of a row, and of a target.
    """

    dim: int
    sigma: float
    noise: float

    @property
    def centre(self) -> NDArray[np.float64]:
        """The truth, zero: another one would only move everything."""
        return np.zeros(self.dim)

    @property
    def push(self) -> float:
        """Root mean square of what a single row adds at the centre, before the step size."""
        return self.sigma * self.noise * math.sqrt(self.dim)

    def draws(self, n_replicas: int, batch_size: int, device: torch.device) -> Draw:
        """Return what draws one minibatch a replica.

        Parameters
        ----------
        n_replicas, batch_size : int
            How many minibatches, of how many rows.
        device : torch.device
            Where they are drawn.

        Returns
        -------
        callable
            Takes a generator; overwrites at each call what the last one gave.
        """
        rows = torch.empty(n_replicas, batch_size, self.dim, dtype=torch.float64, device=device)
        targets = torch.empty(n_replicas, batch_size, dtype=torch.float64, device=device)

        def draw(generator: Generator) -> tuple[Tensor, Tensor]:
            rows.normal_(0, self.sigma, generator=generator)
            return rows, targets.normal_(0, self.noise, generator=generator)

        return draw


@dataclass(frozen=True)
class FiniteRows:
    """Rows of one data set, in minibatches drawn uniformly at every step ("offline").

    Attributes
    ----------
    inputs : ndarray of shape (n, d)
        A.
    residuals : ndarray of shape (n,)
        y - A centre.
    centre : ndarray of shape (d,)
        The least-squares solution.
    replace : bool
        Whether one minibatch may hold a row twice.
    """

    inputs: NDArray[np.float64]
    residuals: NDArray[np.float64]
    centre: NDArray[np.float64]
    replace: bool

    @property
    def push(self) -> float:
        """Root mean square of what a single row adds at the centre, before the step size."""
        lengths = np.linalg.norm(self.inputs, axis=1)
        return float(np.sqrt(np.mean((lengths * self.residuals) ** 2)))

    def noiseless(self, batch_size: int) -> bool:
        """Say whether every minibatch leaves the centre where it is.

        Then the stationary law, if there is one, is that point. All rows in every minibatch do, or
        targets that are fitted exactly: were every minibatch to push the centre by the same, each
        row would, and all rows together do not push it.

        Parameters
        ----------
        batch_size : int
            Rows a minibatch.

        Returns
        -------
        bool
            Up to the rounding of a least-squares solution.
        """
        if not self.replace and batch_size == len(self.inputs):
            return True
        lengths = np.linalg.norm(self.inputs, axis=1)
        targets = np.abs(self.residuals + self.inputs @ self.centre).max()
        rounding = np.finfo(np.float64).eps * 10 * max(self.inputs.shape)
        scale = lengths.max() * np.linalg.norm(self.centre) + targets
        return bool((lengths * np.abs(self.residuals)).max() <= rounding * lengths.max() * scale)

    def draws(self, n_replicas: int, batch_size: int, device: torch.device) -> Draw:
        """Return what draws one minibatch a replica.

        Parameters
        ----------
        n_replicas, batch_size : int
            How many minibatches, of how many rows.
        device : torch.device
            Where they are drawn.

        Returns
        -------
        callable
            Takes a generator; overwrites at each call what the last one gave.
        """
        inputs = torch.as_tensor(self.inputs, device=device)
        residuals = torch.as_tensor(self.residuals, device=device)
        n, dim = inputs.shape
        rows = torch.empty(n_replicas * batch_size, dim, dtype=torch.float64, device=device)
        shape = (_STEPS_AT_ONCE, n_replicas, batch_size)
        ahead: list[Tensor] = []

        def draw(generator: Generator) -> tuple[Tensor, Tensor]:
            if not ahead:
                if self.replace or batch_size == 1:
                    drawn = torch.randint(n, shape, generator=generator, device=device)
                else:
                    drawn = distinct(n, batch_size, shape[0] * shape[1], generator).view(shape)
                ahead.extend(reversed(drawn))
            numbers = ahead.pop()
            torch.index_select(inputs, 0, numbers.view(-1), out=rows)
            return rows.view(n_replicas, batch_size, dim), residuals[numbers]

        return draw


def distinct(n: int, size: int, n_sets: int, generator: Generator) -> Tensor:
    """Return sets of distinct numbers below `n`, each uniform over all sets of that size.

    Floyd's algorithm [1]_, all sets at once: the j-th number is uniform up to n - size + j, and
    that end itself where the number is in the set already.

    Parameters
    ----------
    n : int
        Numbers to choose from.
    size : int
        How many of them, at most n.
    n_sets : int
        How many sets.
    generator : torch.Generator
        Its device is that of the result.

    Returns
    -------
    Tensor of shape (n_sets, size)
        In no order that means anything.

    References
    ----------
    .. [1] J. Bentley and R. Floyd, Commun. ACM 30(9), 1987. doi:10.1145/30401.315746
    """
    if size * size > 4 * n:
        # Floyd compares size^2 / 2 pairs; ordering all n is then less.
        order = torch.rand(n_sets, n, generator=generator, device=generator.device)
        return order.topk(size, dim=1, sorted=False).indices
    sets = torch.empty(n_sets, size, dtype=torch.int64, device=generator.device)
    for j, last in enumerate(range(n - size, n)):
        number = torch.randint(last + 1, (n_sets,), generator=generator, device=generator.device)
        there = (sets[:, :j] == number[:, None]).any(1)
        sets[:, j] = number.where(~there, last)
    return sets


def finite_rows(inputs: ArrayLike, targets: ArrayLike, *, replace: bool) -> FiniteRows:
    """Return a data set about its least-squares solution.

    Parameters
    ----------
    inputs : array_like of shape (n, d)
        A, of full column rank.
    targets : array_like of shape (n,)
        The y.
    replace : bool
        Whether one minibatch may hold a row twice.

    Returns
    -------
    FiniteRows
        In float64.

    Raises
    ------
    ValueError
        Shapes differ, numbers are not finite, or directions of A are empty.
    """
    a, y = np.asarray(inputs, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if a.ndim != 2 or y.shape != (len(a),):
        raise ValueError(
            f"data must be (A, y) of shapes (n, d) and (n,), got {a.shape} and {y.shape}"
        )
    if not (np.isfinite(a).all() and np.isfinite(y).all()):
        bad = int(np.count_nonzero(~np.isfinite(np.column_stack([a, y])).all(axis=1)))
        raise ValueError(f"data must be finite, got NaN or inf in {bad} of {len(a)} rows")
    centre, _, rank, _ = np.linalg.lstsq(a, y, rcond=None)
    if rank < a.shape[1]:
        raise ValueError(
            f"data of {len(a)} rows has rank {rank} in {a.shape[1]} columns: in the other "
            "directions SGD never moves, and no stationary law forgets the start. Leave out "
            "columns that the others span."
        )
    return FiniteRows(a, y - a @ centre, np.asarray(centre, dtype=np.float64), replace)
