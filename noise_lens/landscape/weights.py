"""A model of a task at given weights, apart from the caller's own."""

from __future__ import annotations

import copy
from pathlib import Path

from torch import nn

from noise_lens.errors import CheckpointError
from noise_lens.tasks import Task, load_checkpoint
from noise_lens.tasks.placement import place

Weights = str | Path | nn.Module
"""A checkpoint, or a model that holds the weights."""


def model_at(
    task: Task, weights: Weights | None, *, seed: int = 0, device: str | None = None
) -> nn.Module:
    """Return a model of the task with these weights; whoever owns them keeps theirs.

    Parameters
    ----------
    task : Task
        Builds the model.
    weights : str or Path or torch.nn.Module or None
        A checkpoint, as :func:`noise_lens.tasks.load_checkpoint` takes it; a model, which is
        copied; None for the task's initial weights.
    seed : int
        Of the initial weights.
    device : str, optional
        Where to compute; a GPU if there is one and the task has a factory.

    Returns
    -------
    torch.nn.Module
        A copy, on the device.

    Raises
    ------
    CheckpointError
        The checkpoint cannot be read, or a model has other parameters than the task's.
    """
    model = task.build_model(seed)
    if model is task.model:
        model = copy.deepcopy(model)
    if isinstance(weights, nn.Module):
        try:
            model.load_state_dict(weights.state_dict())
        except RuntimeError as error:
            raise CheckpointError(
                f"the {type(weights).__name__} that was given does not fit the model of task "
                f"{task.name!r}: {str(error).splitlines()[-1].strip()}"
            ) from error
    elif weights is not None:
        load_checkpoint(model, weights)
    place(model, task, device)
    return model


def name_of_weights(weights: Weights | None) -> str:
    """Return what to call weights in a table."""
    if weights is None:
        return "initial weights"
    return type(weights).__name__ if isinstance(weights, nn.Module) else Path(weights).name
