"""Linear regression on made-up data, where the gradient noise is known in closed form."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.data import TensorDataset

from noise_lens.errors import TaskError
from noise_lens.tasks.task import Task


def linear_regression(n: int = 4096, dim: int = 64, noise: float = 1.0, data_seed: int = 0) -> Task:
    """Return least squares on Gaussian inputs with Gaussian label noise.

    The loss is half the squared error; at the true weights the noise of one example is a
    Gaussian times an independent Gaussian in every coordinate.

    Parameters
    ----------
    n : int
        Examples, at least 2.
    dim : int
        Inputs, at least 1.
    noise : float
        Standard deviation of the label noise.
    data_seed : int
        Seed of the data.

    Returns
    -------
    Task
        ``linear-regression``; 20 % of the examples are held out.

    Raises
    ------
    TaskError
        A size is out of range.
    """
    if n < 2 or dim < 1 or noise < 0:
        raise TaskError(
            f"linear-regression needs n >= 2, dim >= 1, noise >= 0; got n={n}, dim={dim}, "
            f"noise={noise}"
        )
    generator = torch.Generator().manual_seed(data_seed)
    inputs = torch.randn(n, dim, generator=generator)
    truth = torch.randn(dim, 1, generator=generator) / dim**0.5
    labels = inputs @ truth + noise * torch.randn(n, 1, generator=generator)
    n_train = max(1, n - n // 5)
    return Task(
        lambda: nn.Linear(dim, 1),
        lambda model, batch: (model(batch[0]) - batch[1]).square().mean() / 2,
        TensorDataset(inputs[:n_train], labels[:n_train]),
        test_data=TensorDataset(inputs[n_train:], labels[n_train:]),
        name="linear-regression",
    )
