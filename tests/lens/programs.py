"""Training programs that a lens must not change: models, data, loops; shared by several tests."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Attention(nn.Module):
    """A small transformer with dropout and a tied head."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.2, batch_first=True)
        self.body = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(16, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        return self.head(self.body(self.embed(tokens))).flatten(0, 1)


def mlp():
    return nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Dropout(0.3), nn.Linear(24, 4))


def cnn():
    return nn.Sequential(
        nn.Unflatten(1, (3, 2, 2)), nn.Conv2d(3, 6, 2), nn.BatchNorm2d(6), nn.ReLU(),
        nn.Flatten(), nn.Linear(6, 4),
    )  # fmt: skip


MODELS = {"mlp": mlp, "cnn": cnn, "transformer": Attention}


def dataset(kind):
    generator = torch.Generator().manual_seed(5)
    if kind == "transformer":
        tokens = torch.randint(0, 11, (96, 7), generator=generator)
        return TensorDataset(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())
    x = torch.randn(96, 12, generator=generator)
    return TensorDataset(x, x[:, :4].argmax(dim=1))


def loss_of(model, batch):
    return nn.functional.cross_entropy(model(batch[0]).float(), batch[1].flatten())


def fresh(kind, seed=7):
    """A model and its loader, and every generator seeded."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    return MODELS[kind](), DataLoader(dataset(kind), batch_size=8, shuffle=True)


def batches(loader, n):
    done = 0
    while True:
        for batch in loader:
            yield batch
            done += 1
            if done == n:
                return


def plain(model, optimizer, loader, n_steps, scaler=None):
    for batch in batches(loader, n_steps):
        loss_of(model, batch).backward()
        optimizer.step()
        optimizer.zero_grad()


def clipped_accumulation(model, optimizer, loader, n_steps, scaler=None):
    for index, batch in enumerate(batches(loader, 2 * n_steps)):
        (loss_of(model, batch) / 2).backward()
        if index % 2:
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)


def mixed(model, optimizer, loader, n_steps, scaler=None):
    """Autocast and a loss scale that overflows now and then, so that steps are dropped."""
    for index, batch in enumerate(batches(loader, n_steps)):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = loss_of(model, batch)
        scaler.scale(loss * (float("inf") if index % 50 == 30 else 1)).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()


def closure(model, optimizer, loader, n_steps, scaler=None):
    for batch in batches(loader, n_steps):

        def evaluate(batch=batch):
            optimizer.zero_grad()
            loss = loss_of(model, batch)
            loss.backward()
            return loss

        optimizer.step(evaluate)


LOOPS = {
    "plain": plain,
    "accumulation": clipped_accumulation,
    "amp": mixed,
    "lbfgs": closure,
}


def state_of(model, optimizer, scaler=None):
    """Everything that a training run holds."""
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "modes": {name: module.training for name, module in model.named_modules()},
        "gradients": [p.grad for p in model.parameters()],
        "scaler": None if scaler is None else scaler.state_dict(),
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state()[1],  # noqa: NPY002
        "python": random.getstate(),
    }


def same(one, two):
    """Equal to the last bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == two.dtype and torch.equal(
            one.view(torch.uint8) if one.dtype == torch.float32 and one.ndim else one,
            two.view(torch.uint8) if two.dtype == torch.float32 and two.ndim else two,
        )
    if isinstance(one, np.ndarray):
        return np.array_equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two
