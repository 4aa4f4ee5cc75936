"""Where the model of a task computes."""

from __future__ import annotations

import torch
from torch import nn

from noise_lens.errors import CaptureError
from noise_lens.tasks.task import Task


def place(model: nn.Module, task: Task, device: str | None) -> None:
    """Move a model to where it will be measured.

    Parameters
    ----------
    model : torch.nn.Module
        Of the task.
    task : Task
        A built module stays where it is unless `device` is given.
    device : str, optional
        A torch device.

    Raises
    ------
    CaptureError
        The device is unknown or not there.
    """
    if device is None:
        if isinstance(task.model, nn.Module) or not torch.cuda.is_available():
            return
        device = "cuda"
    try:
        model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise CaptureError(f"the device {device!r} cannot be used: {error}") from error
