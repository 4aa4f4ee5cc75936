"""SGD on a linear regression, one block of replicas at a time, on torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noise_lens.theory.stationary.rows import FiniteRows, FreshRows

Rows = FreshRows | FiniteRows

BLOCK_BYTES = 1 << 20
"""Rows of one step of one block: they stay in a core's cache, where they are read twice."""
_LARGEST_BLOCK = 4096  # replicas: more gains nothing once a step's overhead is spread


@dataclass(frozen=True)
class Settings:
    """What every block of a simulation shares.

    Attributes
    ----------
    rows : FreshRows or FiniteRows
        Where minibatches come from.
    step_size, momentum : float
        The optimizer's.
    start : float or None
        The standard deviation of starting points around zero; None: at the centre.
    batch_size, n_steps, average_last : int
        Rows a minibatch, steps, and of how many last iterates the average is taken.
    seed : int
        Of the whole simulation.
    device : torch.device
        Where it runs.
    """

    rows: Rows
    step_size: float
    momentum: float
    start: float | None
    batch_size: int
    n_steps: int
    average_last: int
    seed: int
    device: torch.device


@dataclass(frozen=True)
class Block:
    """Where the replicas of one block ended, relative to the centre; may be inf or NaN.

    Attributes
    ----------
    iterates, averages : ndarray of shape (replicas, d)
        The last iterate, and the mean of the last ones.
    growth : ndarray of shape (watched,)
        Log growth a step of the homogeneous recursion, one number a watched replica.
    """

    iterates: NDArray[np.float64]
    averages: NDArray[np.float64]
    growth: NDArray[np.float64]


def block_size(batch_size: int, dim: int) -> int:
    """Return how many replicas run at once: a function of the problem alone.

    So the random numbers of a replica depend on neither memory nor how many replicas there are.

    Parameters
    ----------
    batch_size, dim : int
        Rows of a minibatch, and their length.

    Returns
    -------
    int
        A power of two, 1 to 4096.
    """
    fitting = BLOCK_BYTES // (8 * batch_size * dim)
    return 1 << min(max(fitting, 1), _LARGEST_BLOCK).bit_length() - 1


def run_block(settings: Settings, number: int, n_replicas: int, n_watched: int) -> Block:
    """Run the first replicas of one block from start to end.

    Parameters
    ----------
    settings : Settings
        What is simulated.
    number : int
        Of the block; its generator is seeded by (seed, number).
    n_replicas : int
        How many of its replicas are wanted.
    n_watched : int
        In how many of them the homogeneous recursion runs along.

    Returns
    -------
    Block
        On the host.
    """
    rows, device = settings.rows, settings.device
    generator = torch.Generator(device).manual_seed(_seed(settings.seed, number))
    dim, size = len(rows.centre), block_size(settings.batch_size, len(rows.centre))
    centre = torch.as_tensor(rows.centre, device=device)

    def normal() -> Tensor:
        drawn = torch.randn(size, dim, dtype=torch.float64, device=device, generator=generator)
        return drawn[:n_replicas]

    # Drawn in any case: minibatches are the same from every start.
    drawn = normal()
    x = 0 * drawn if settings.start is None else settings.start * drawn - centre
    draw = rows.draws(size, settings.batch_size, device)
    state = _State(x, settings)
    direction = _Direction(normal()[:n_watched], settings)
    total = torch.zeros_like(x)
    for step in range(1, settings.n_steps + 1):
        # A block draws for all its replicas, wanted or not: the wanted get the same numbers.
        a, residuals = draw(generator)
        state.step(a, residuals)
        if n_watched:
            direction.step(a, residuals)
        if step > settings.n_steps - settings.average_last:
            total += state.x
    return Block(
        state.x.cpu().numpy(),
        (total / settings.average_last).cpu().numpy(),
        direction.growth().cpu().numpy(),
    )


class _State:
    """Iterates relative to the centre, and their last displacement where there is momentum."""

    def __init__(self, x: Tensor, settings: Settings) -> None:
        self.x, self.momentum = x, settings.momentum
        self.rate = settings.step_size / settings.batch_size
        self.moved = torch.zeros_like(x) if settings.momentum else None

    def step(self, rows: Tensor, residuals: Tensor) -> None:
        """Do x <- x - (eta / b) sum of a (a.x - residual) + mu (last displacement)."""
        rows = rows[: len(self.x)]
        # Products and sums, not bmm: matrices this small cost it three times as much.
        errors = (rows * self.x.unsqueeze(1)).sum(2) - residuals[: len(self.x)]
        gradient = (rows * errors.unsqueeze(2)).sum(1)
        if self.moved is None:
            self.x = self.x - self.rate * gradient
        else:
            self.moved = self.momentum * self.moved - self.rate * gradient
            self.x = self.x + self.moved


class _Direction(_State):
    """The homogeneous recursion, rescaled at each step: log growth of M_k ... M_1 on a vector."""

    def __init__(self, x: Tensor, settings: Settings) -> None:
        super().__init__(x / x.norm(dim=1, keepdim=True), settings)
        self.discarded = settings.n_steps // 4  # until it has turned to where growth is largest
        self.n_seen, self.total = 0, torch.zeros(len(x), dtype=x.dtype, device=x.device)
        self.zeros = torch.zeros(1, 1, dtype=x.dtype, device=x.device)

    def step(self, rows: Tensor, residuals: Tensor) -> None:
        """As the state, with nothing but M_k."""
        super().step(rows, self.zeros.expand(len(self.x), 1))
        pair = self.x if self.moved is None else torch.cat([self.x, self.moved], 1)
        largest = pair.abs().amax(1, keepdim=True)  # first: squares of a long step overflow
        largest = largest.where(largest > 0, 1)
        norm = largest * (pair / largest).norm(dim=1, keepdim=True)
        used = norm.where(norm > 0, 1)
        self.x = self.x / used
        if self.moved is not None:
            self.moved = self.moved / used
        self.n_seen += 1
        if self.n_seen > self.discarded:
            self.total += norm.squeeze(1).log()

    def growth(self) -> Tensor:
        """Return log growth a step of each replica; -inf where a step erased its vector."""
        return self.total / (self.n_seen - self.discarded)


def _seed(seed: int, number: int) -> int:
    state = np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
