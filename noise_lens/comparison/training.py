"""Training for a comparison: one step, and randomness of its own."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from noise_lens.capture.gradients import to_device
from noise_lens.tasks import Task


def train_step(model: nn.Module, task: Task, optimizer: torch.optim.Optimizer, batch: Any) -> None:
    """Take one step of training on a minibatch.

    Parameters
    ----------
    model : torch.nn.Module
        In training mode.
    task : Task
        Its loss is used.
    optimizer : torch.optim.Optimizer
        Of the model.
    batch : Any
        A minibatch, on any device.
    """
    device = next(model.parameters()).device
    optimizer.zero_grad(set_to_none=True)
    task.loss(model, to_device(batch, device)).backward()  # type: ignore[no-untyped-call]
    optimizer.step()


@contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Seed every global generator inside the block, and put the caller's states back after it.

    Parameters
    ----------
    seed : int
        Of dropout and augmentation in training.

    Yields
    ------
    None
        Inside.
    """
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - datasets may draw from it
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
