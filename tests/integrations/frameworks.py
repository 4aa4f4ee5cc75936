"""What the tests of all frameworks share: imports that skip or fail, states, and rows."""

from __future__ import annotations

import importlib
import os
import random
import warnings

import numpy as np
import pytest
import torch

from noise_lens.lens import follower
from noise_lens.lens.watch import Watch


def required(name):
    """Import a framework; skip without it, or fail where the frameworks must be there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if os.environ.get("NOISE_LENS_REQUIRE_FRAMEWORKS") == "1":
            return importlib.import_module(name)
        return pytest.importorskip(name)


def seed_all(seed=7):
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def random_states():
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),  # noqa: NPY002
        "torch": torch.get_rng_state(),
    }


def equal(one, two):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, np.ndarray):
        return np.array_equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(equal(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(equal, one, two))
    return one == two


class SpyWatch(Watch):
    """Keeps the rows that the hooks saw, tensor by tensor; where a tensor has all its elements."""

    kept: list

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        for pick in self._passive.picks:
            assert pick.count == self.parameters[pick.name].numel()

    def _on_rows(self, rows):
        ends = np.cumsum([pick.count for pick in self._passive.picks])
        for row in rows.values:
            parts = np.split(row, ends[:-1])
            type(self).kept.append(dict(zip(self._passive.names, parts, strict=True)))
        super()._on_rows(rows)


@pytest.fixture
def rows_seen(monkeypatch):
    """Every row that a lens sees in this test, in order: tensor's name -> gradient, flat."""
    SpyWatch.kept = []
    monkeypatch.setattr(follower, "Watch", SpyWatch)
    return SpyWatch.kept


def check_equal_rows(seen, expected):
    """The norm of the difference is at most 1e-5 of the row's, in each tensor of each row.

    Where a gradient is 0 in exact arithmetic (a bias before BatchNorm, keys' biases under
    softmax), both are rounding errors: they are held against the whole row.
    """
    assert len(seen) == len(expected)
    for one, two in zip(seen, expected, strict=True):
        assert one.keys() == two.keys()
        whole = np.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in two.values()))
        for name, gradient in two.items():
            size = np.linalg.norm(gradient)
            slack = 1e-5 * (size if size > 1e-5 * whole else whole)
            assert np.linalg.norm(one[name] - gradient) <= slack, name


def plain_loop(model, loss, micro_batches, optimizer, *, accumulate=1, clip=None, divide_by=None):
    """Train by hand on recorded micro-batches, float32; gives each one's own gradient."""
    # A step takes `accumulate` of them, of all ranks together; None among them ends it early.
    # Their gradients are added and divided by `divide_by`, or by their number.
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    rows, step = [], []

    def end():
        for name, parameter in parameters.items():
            total = torch.stack([row[name] for row in step]).sum(dim=0)
            parameter.grad = total / (divide_by or len(step))
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(list(parameters.values()), clip)
        optimizer.step()
        step.clear()

    for batch in micro_batches:
        if batch is not None:
            found = torch.autograd.grad(loss(model, batch), list(parameters.values()))
            step.append(dict(zip(parameters, found, strict=True)))
            rows.append({n: g.flatten().numpy() for n, g in step[-1].items()})
        if step and (batch is None or len(step) == accumulate):
            end()
    return rows
