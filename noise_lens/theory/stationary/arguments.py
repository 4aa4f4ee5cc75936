"""What may be simulated: each message says what was asked, what came and what to do."""

from __future__ import annotations

import math
import os

import numpy as np
import torch
from numpy.typing import ArrayLike

from noise_lens.theory.stationary.recursion import BLOCK_BYTES
from noise_lens.theory.stationary.rows import FiniteRows, FreshRows, finite_rows

MOST_NUMBERS = 1e11
"""Entries of rows that are drawn unasked; one core draws some 2e7 a second."""


def checked(
    step_size: float,
    batch_size: int,
    dim: int | None,
    *,
    sigma: float = 1.0,
    noise: float = 1.0,
    n_replicas: int = 1,
    n_steps: int | None = None,
    burn_in: int | None = None,
    average_last: int | None = None,
    data: tuple[ArrayLike, ArrayLike] | None = None,
    replace: bool = False,
    momentum: float = 0.0,
    start: float | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> tuple[FreshRows | FiniteRows, torch.device]:
    """Refuse what cannot be simulated, before anything is.

    Parameters
    ----------
    step_size, batch_size, dim, sigma, noise, n_replicas, n_steps, burn_in, average_last, data, \
    replace, momentum, start, device, seed
        As in :func:`simulate_stationary`.

    Returns
    -------
    tuple of (FreshRows or FiniteRows, torch.device)
        Where minibatches come from, and where it runs.

    Raises
    ------
    ValueError
        An argument is out of range, or the memory of this machine too small.
    """
    _optimizer(step_size, batch_size, momentum)
    _counts(n_replicas=n_replicas, n_steps=n_steps, burn_in=burn_in, average_last=average_last)
    if start is not None and not (math.isfinite(start) and start >= 0):
        raise ValueError(f"start is a standard deviation, finite and at least 0, got {start}")
    check_seed(seed)
    if data is None and dim is not None and dim >= 1:
        _memory(n_replicas, batch_size, dim)
    rows = _rows(dim, sigma, noise, data, replace)
    if isinstance(rows, FiniteRows):
        if not replace and batch_size > len(rows.inputs):
            raise ValueError(
                f"batch_size {batch_size} exceeds the {len(rows.inputs)} rows of the data, and "
                "minibatches are drawn without replacement: pass replace=True or a smaller one"
            )
        _memory(n_replicas, batch_size, len(rows.centre))
    return rows, _device(device)


def check_seed(seed: int) -> None:
    """Refuse a seed that is no whole number of at least 0.

    Parameters
    ----------
    seed : int
        Of a simulation.

    Raises
    ------
    ValueError
        It is none.
    """
    if seed < 0 or seed != int(seed):
        raise ValueError(f"seed must be a whole number of at least 0, got {seed}")


def check_work(n_replicas: int, n_steps: int, batch_size: int, dim: int) -> None:
    """Refuse what would run for hours although nobody asked for that many steps.

    Parameters
    ----------
    n_replicas, n_steps, batch_size, dim : int
        Of a simulation.

    Raises
    ------
    ValueError
        It draws more than `MOST_NUMBERS` numbers.
    """
    numbers = float(n_replicas) * n_steps * batch_size * dim
    if numbers > MOST_NUMBERS:
        raise ValueError(
            f"{n_replicas:,} replicas of {n_steps:,} steps of {batch_size:,} rows take "
            f"{numbers:.1e} numbers, some {numbers / 2e7 / 3600:,.0f} hours of one core, and "
            f"{MOST_NUMBERS:.0e} is the most that is drawn unasked: take fewer replicas, or give "
            "the number of steps"
        )


def _memory(n_replicas: int, batch_size: int, dim: int) -> None:
    # The result twice where some replicas diverge, else once; and about five blocks.
    needed = 16 * dim * n_replicas + 5 * max(8 * batch_size * dim, BLOCK_BYTES)
    there = _bytes_of_this_machine()
    if needed > there:
        raise ValueError(
            f"{n_replicas:,} replicas in {dim:,} dimensions with {batch_size:,} rows a minibatch "
            f"need {needed:,} bytes, and this machine has {there:,}: take fewer of them"
        )


def _bytes_of_this_machine() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not POSIX: what an index can reach
        return 1 << 46


def _rows(
    dim: int | None,
    sigma: float,
    noise: float,
    data: tuple[ArrayLike, ArrayLike] | None,
    replace: bool,
) -> FreshRows | FiniteRows:
    if data is not None:
        found = finite_rows(data[0], data[1], replace=replace)
        if dim is not None and dim != len(found.centre):
            raise ValueError(
                f"dim is {dim}, and the rows of the data have {len(found.centre)} columns: leave "
                "dim out"
            )
        if sigma != 1 or noise != 1:
            raise ValueError(
                f"sigma={sigma} and noise={noise} describe fresh rows, and data has its own: "
                "leave them out"
            )
        return found
    if dim is None or dim < 1 or dim != int(dim):
        raise ValueError(f"dim must be a whole number of at least 1, got {dim}")
    for name, value in (("sigma", sigma), ("noise", noise)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a positive standard deviation, got {value}")
    return FreshRows(int(dim), float(sigma), float(noise))


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device must be one of torch, such as cpu or cuda, got {name}") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {name} was asked for, and torch sees no GPU here: leave it out")
    return device


def _optimizer(step_size: float, batch_size: int, momentum: float) -> None:
    for name, value in (("step_size", step_size), ("batch_size", batch_size)):
        if np.ndim(value):
            raise ValueError(
                f"{name} must be one number, got {value!r}: a simulation is of one cell, loop over "
                "the cells"
            )
    if not (math.isfinite(step_size) and step_size > 0):
        raise ValueError(f"step_size must be a positive number, got {step_size}")
    if batch_size < 1 or batch_size != int(batch_size):
        raise ValueError(f"batch_size must be a whole number of at least 1, got {batch_size}")
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must lie in [0, 1), got {momentum}")


def _counts(**counts: int | None) -> None:
    for name, count in counts.items():
        smallest = 0 if name == "burn_in" else 1
        if count is not None and (count < smallest or count != int(count)):
            raise ValueError(f"{name} must be a whole number of at least {smallest}, got {count}")
