"""A task whose noise is exactly stable and independent, and whose loss is exactly quadratic."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import noise_lens as nl

ALPHA, STEP = 1.5, 0.1


class Parameters(nn.Module):
    """A vector w, cut into two tensors."""

    def __init__(self, dim):
        super().__init__()
        self.first = nn.Parameter(torch.zeros(dim // 4))
        self.second = nn.Parameter(torch.zeros(dim - dim // 4))

    def forward(self):
        return torch.cat([self.first, self.second])


@pytest.fixture(scope="session")
def quadratic():
    # A maker: dim, ... -> task of loss w'diag(h)w / 2 + z'w, with h and the scales of z. The
    # minibatch gradient at 0 is the mean of z. With one example a minibatch, z being stable and
    # every -z there beside its z, noise is stable and independent, and the full gradient is 0.
    def make(dim=12, *, alpha=ALPHA, n=8000, seed=0, radius=False):
        rng = np.random.default_rng(seed)
        h = np.exp(rng.normal(0, 0.7, dim))
        sigma = np.exp(rng.normal(0, 0.5, dim)) * 0.1
        if radius:  # one radius for a whole row: elliptical, sub-Gaussian
            own = np.sqrt(positive_stable(alpha / 2, n, rng))[:, None] * np.sqrt(2)
            z = own * rng.standard_normal((n, dim)) * sigma
        else:
            z = nl.SymmetricStable(alpha).rvs((n, dim), rng) * sigma
        z = torch.from_numpy(np.concatenate([z, -z])).double()
        curvature = torch.from_numpy(h)

        def loss(model, batch):
            w = model().double()
            return (curvature * w**2).sum() / 2 + (batch[0] @ w).mean()

        task = nl.Task(lambda: Parameters(dim), loss, TensorDataset(z), name="quadratic")
        return task, h, sigma

    return make


def positive_stable(index, n, rng):
    """Kanter's formula: E exp(-t A) = exp(-t**index), so that sqrt(2 A) g is standard stable."""
    u, e = np.pi * rng.uniform(size=n), rng.exponential(size=n)
    return (
        np.sin(index * u)
        / np.sin(u) ** (1 / index)
        * (np.sin((1 - index) * u) / e) ** ((1 - index) / index)
    )
