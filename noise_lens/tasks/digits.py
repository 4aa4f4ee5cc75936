"""scikit-learn's digits: 1797 real handwritten digits of 8 x 8 pixels, shipped with the library."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import TensorDataset

from noise_lens.errors import TaskError
from noise_lens.tasks.classification import accuracy, cross_entropy
from noise_lens.tasks.task import Task

_N_TEST = 360
_SPLIT_SEED = 0


def digits_mlp(hidden: Sequence[int] = (64, 64)) -> Task:
    """Return the digits under a ReLU network, 64-64-64-10 by default (8970 parameters).

    Parameters
    ----------
    hidden : sequence of int
        Widths of the hidden layers.

    Returns
    -------
    Task
        ``digits-mlp``, with accuracy.
    """

    def model() -> nn.Module:
        widths = [64, *hidden]
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(widths[-1], 10))

    return _task(model, "digits-mlp")


def digits_cnn(channels: Sequence[int] = (8, 16)) -> Task:
    """Return the digits under a small convolutional network (3818 parameters by default).

    Parameters
    ----------
    channels : sequence of int
        Channels of the two 3 x 3 convolutions.

    Returns
    -------
    Task
        ``digits-cnn``, with accuracy.
    """
    first, second = channels

    def model() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, first, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(second * 16, 10),
        )

    return _task(model, "digits-cnn")


def _task(model: Any, name: str) -> Task:
    train, test = _digits()
    return Task(
        model,
        cross_entropy,
        train,
        test_data=test,
        metrics={"accuracy": accuracy},
        name=name,
    )


def _digits() -> tuple[TensorDataset, TensorDataset]:
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise TaskError(
            "the digits tasks need scikit-learn: pip install 'noise-lens[examples]'"
        ) from error
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(
        images, labels, test_size=_N_TEST, random_state=_SPLIT_SEED, stratify=labels
    )
    train_images, test_images, train_labels, test_labels = parts
    return (
        TensorDataset(_pixels(train_images), torch.from_numpy(train_labels).long()),
        TensorDataset(_pixels(test_images), torch.from_numpy(test_labels).long()),
    )


def _pixels(images: NDArray[np.float64]) -> torch.Tensor:
    return torch.from_numpy(images.astype(np.float32) / 16).view(-1, 1, 8, 8)
