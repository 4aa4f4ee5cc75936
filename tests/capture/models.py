"""Small models and data for the tests of capture."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.data import TensorDataset

from noise_lens.tasks import minibatches_of


class Noisy(nn.Module):
    """BatchNorm, dropout and a tied weight: what a probe must not disturb."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(8, 8)
        self.tied = self.head.weight
        self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)

    def forward(self, x):
        return self.head(self.body(x)).sum(dim=1)


def noisy_model():
    torch.manual_seed(0)
    return Noisy()


def plain_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1), nn.Flatten(0))


def squared(model, batch):
    return (model(batch[0]) - batch[1]).square().mean()


def dataset(n=200):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, 6, generator=generator)
    x[:, 5] = 0  # a dead input: exact zeros in the gradient
    return TensorDataset(x, x.sum(dim=1) + torch.randn(n, generator=generator))


def data(n=200):
    return minibatches_of(dataset(n))
