"""Loss and accuracy of a classifier, and how often its data shows each class."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from noise_lens.errors import TaskError
from noise_lens.tasks.sampling import StreamMinibatches, minibatches_of
from noise_lens.tasks.task import Task

_MANY = 4096


def cross_entropy(model: nn.Module, batch: Any) -> torch.Tensor:
    """Return the mean cross entropy over all labels of a minibatch.

    Parameters
    ----------
    model : torch.nn.Module
        Gives logits, classes on the last axis.
    batch : (torch.Tensor, torch.Tensor)
        Inputs and labels; an example has one label or, as a text, equally many as every other.

    Returns
    -------
    torch.Tensor
        A scalar.
    """
    inputs, labels = batch
    logits = model(inputs)
    return nn.functional.cross_entropy(logits.flatten(0, -2), labels.flatten())


def accuracy(model: nn.Module, batch: Any) -> torch.Tensor:
    """Return the share of labels whose logit is the largest.

    Parameters
    ----------
    model : torch.nn.Module
        Gives logits, classes on the last axis.
    batch : (torch.Tensor, torch.Tensor)
        Inputs and labels.

    Returns
    -------
    torch.Tensor
        A scalar, float64.
    """
    inputs, labels = batch
    hits: torch.Tensor = model(inputs).argmax(dim=-1) == labels
    return hits.double().mean()


def class_frequencies(task: Task) -> NDArray[np.int64]:
    """Return how often each class is a label in the training data.

    Parameters
    ----------
    task : Task
        Of a map-style dataset whose minibatches are (inputs, labels), labels being integers: the
        built-in classification tasks, or one like them.

    Returns
    -------
    ndarray of shape (n_classes,)
        Counts by class, up to the largest label there is. Class number k of a text task is the
        word ``task.data.words[k]``.

    Raises
    ------
    TaskError
        The data is a stream, or has no such labels.

    Examples
    --------
    >>> from noise_lens.tasks import load_task
    >>> class_frequencies(load_task("digits-mlp")).tolist()
    [142, 146, 142, 146, 145, 145, 145, 143, 139, 144]
    """
    source = minibatches_of(task.data)
    if isinstance(source, StreamMinibatches):
        raise TaskError(
            f"the data of task {task.name!r} is a stream, which has no end to count classes to. "
            "Give a map-style dataset."
        )
    found = np.zeros(0, dtype=np.int64)
    for batch, _ in source.whole(_MANY):
        labels = batch[1] if isinstance(batch, list | tuple) and len(batch) > 1 else None
        if not isinstance(labels, torch.Tensor) or labels.is_floating_point():
            raise TaskError(
                f"the minibatches of task {task.name!r} are not (inputs, labels) with labels that "
                "are integers, so it has no classes to count"
            )
        counts = np.bincount(labels.flatten().numpy(), minlength=len(found))
        counts[: len(found)] += found
        found = counts
    return found
