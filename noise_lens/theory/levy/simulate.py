"""Paths of Levy-driven systems, in batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from noise_lens.theory.levy.systems import LevySystem

# Numbers of noise drawn at once: enough that a step costs little beside its numbers, few enough
# that they stay in the cache of one core. A large batch on a device takes a step or more anyway.
_BLOCK = 1 << 17


@dataclass(frozen=True)
class Paths:
    """Positions of many independent paths at the same times.

    Attributes
    ----------
    times : ndarray of shape (k,)
        The times kept, 0 among them.
    positions : Tensor of shape (k, n_paths, d)
        Where the paths were. Diverged paths hold inf or NaN from where they did.
    diverged : Tensor of bool, shape (n_paths,)
        Which paths ended at no finite position.
    """

    times: NDArray[np.float64]
    positions: Tensor
    diverged: Tensor

    @property
    def n_diverged(self) -> int:
        """How many paths ended at no finite position."""
        return int(self.diverged.sum())


def simulate(
    system: LevySystem,
    start: float | ArrayLike | Tensor,
    *,
    n_steps: int,
    step_size: float,
    n_paths: int = 1000,
    keep_every: int | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Paths:
    """Simulate independent paths of `system` by its Euler scheme.

    Memory is that of the kept positions and of one block of steps, whatever n_steps is.

    Parameters
    ----------
    system : LevySystem
        Of `gradient_system`, `sgd_system` or `adam_system`.
    start : float or array_like of shape (d,) or (n_paths, d)
        Where the paths begin: all at one point, or each at its own.
    n_steps : int
        Euler steps, at least 1.
    step_size : float
        Time of one step, above 0.
    n_paths : int
        How many paths.
    keep_every : int, optional
        Steps from one kept position to the next; without it only start and end are kept.
    seed : int
        Seed of the noise. No global state of torch is touched.
    device : torch.device or str
        Where to compute.

    Returns
    -------
    Paths
        Kept positions, and which paths diverged: at a step beyond stability all will.

    Raises
    ------
    ValueError
        A number is out of range, or the system's drift is NaN or infinite at the start.

    Examples
    --------
    >>> from noise_lens.theory.levy import gradient_system
    >>> flow = gradient_system(lambda x: x, epsilon=0.0, alpha=1.5)
    >>> end = simulate(flow, 1.0, n_steps=2, step_size=0.5, n_paths=1).positions[-1]
    >>> end  # (1 - 1/2)^2
    tensor([[0.2500]], dtype=torch.float64)
    """
    check_steps(n_steps=n_steps, step_size=step_size, n_paths=n_paths)
    every = n_steps if keep_every is None else keep_every
    if not 1 <= every <= n_steps:
        raise ValueError(f"keep_every must lie in [1, n_steps={n_steps}], got {keep_every}")
    generator = torch.Generator(device=device).manual_seed(seed)
    state = starting_states(system, start, n_paths, step_size, device)
    dim = system.position(state).shape[-1]
    kept = [system.position(state).clone()]
    for first, block in blocks(n_steps, n_paths * dim):
        noise = system.noise(
            block, n_paths, dim, step_size=step_size, generator=generator, device=state.device
        )
        states = system.walk(state, noise, time=first * step_size, step_size=step_size)
        kept.extend(system.position(states[-(first + 1) % every :: every]).clone().unbind())
        state = states[-1].clone()
    return Paths(
        times=np.arange(len(kept), dtype=np.float64) * (every * step_size),
        positions=torch.stack(kept),
        diverged=~system.position(state).isfinite().all(-1),
    )


def blocks(n_steps: int, numbers_a_step: int) -> Iterator[tuple[int, int]]:
    """Yield (first step, number of steps) of blocks of bounded memory."""
    length = block_length(numbers_a_step)
    for first in range(0, n_steps, length):
        yield first, min(length, n_steps - first)


def block_length(numbers_a_step: int) -> int:
    """Return how many steps are drawn at once."""
    return max(1, min(1024, _BLOCK // max(1, numbers_a_step)))


def starting_states(
    system: LevySystem,
    start: float | ArrayLike | Tensor,
    n_paths: int,
    step_size: float,
    device: torch.device | str,
) -> Tensor:
    """Return states of shape (n_paths, width) at `start`; ValueError where no step is possible."""
    point = torch.as_tensor(start, dtype=torch.float64, device=device).detach()
    point = point.reshape(1) if point.ndim == 0 else point
    if point.ndim > 2 or (point.ndim == 2 and len(point) != n_paths):
        raise ValueError(
            f"start must be a number, a point of shape (d,), or one point for each of the "
            f"{n_paths} paths, got shape {tuple(point.shape)}"
        )
    if not point.isfinite().all():
        raise ValueError(f"start must be finite, got {point.tolist()}")
    positions = point.expand(n_paths, point.shape[-1]).contiguous()
    state = system.initial_state(positions)
    field = getattr(system, "gradient", None)
    if field is not None and (came := field(positions).shape) != positions.shape:
        raise ValueError(
            "the gradient must return the shape that it is given: "
            f"{tuple(positions.shape)} became {tuple(came)}"
        )
    after = system.step(state, torch.zeros_like(positions), time=0.0, step_size=step_size)
    if not system.position(after).isfinite().all():
        raise ValueError(
            f"the drift at the start {point.tolist()} is NaN or infinite. "
            "Look at the potential, or the gradient, at that point"
        )
    return state


def check_steps(*, step_size: float, n_paths: int, n_steps: int = 1) -> None:
    """Raise ValueError where a simulation of this size cannot be."""
    if not (step_size > 0 and math.isfinite(step_size)):
        raise ValueError(f"step_size must be positive and finite, got {step_size}")
    for name, count in (("n_steps", n_steps), ("n_paths", n_paths)):
        if count < 1 or count != int(count):
            raise ValueError(f"{name} must be a whole number of at least 1, got {count}")
