"""Loss and metrics of a model on all of a task's data."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from noise_lens.capture.gradients import to_device
from noise_lens.capture.preserve import preserved
from noise_lens.errors import CaptureError
from noise_lens.tasks import Task, minibatches_of

_EVALUATION_BATCH = 512


def evaluate(model: nn.Module, task: Task) -> dict[str, float]:
    """Return loss and metrics on the training and the test data, in eval mode.

    Parameters
    ----------
    model : torch.nn.Module
        Left as it was.
    task : Task
        Its streams are skipped: they have no end.

    Returns
    -------
    dict of str to float
        ``train/loss``, ``test/accuracy`` and so on.
    """
    parts = {"train": task.data, "test": task.test_data}
    functions = {"loss": task.loss, **(task.metrics or {})}
    device = next(model.parameters()).device
    found: dict[str, float] = {}
    with preserved(model, "eval", seed=0), torch.no_grad():
        for part, data in parts.items():
            if data is None:
                continue
            source = minibatches_of(data)
            if source.n_examples is None:
                continue
            totals = dict.fromkeys(functions, 0.0)
            for batch, size in source.whole(_EVALUATION_BATCH):
                placed = to_device(batch, device)
                for key, function in functions.items():
                    totals[key] += size * _scalar(key, function(model, placed))
            found |= {f"{part}/{key}": value / source.n_examples for key, value in totals.items()}
    return found


def _scalar(name: str, value: Any) -> float:
    if isinstance(value, torch.Tensor) and value.numel() != 1:
        raise CaptureError(
            f"{name}(model, batch) must return a scalar, got shape {tuple(value.shape)}. "
            "Return the mean over the minibatch."
        )
    return float(value)
