from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from noise_lens.optim import AdaL


def reference(gradients, lr, betas, eps, *, norm_scope, norm, lr_decay, eps_mode, weights):
    """The secondary description in NumPy, one tensor at a time, from the formula alone."""
    weights = [w.copy() for w in weights]
    m = [np.zeros_like(w) for w in weights]
    v = [np.zeros_like(w) for w in weights]
    for t, step in enumerate(gradients, start=1):
        total, count = sum(np.abs(g).sum() for g in step), sum(g.size for g in step)
        for i, g in enumerate(step):
            size = total if norm_scope == "global" else np.abs(g).sum()
            size /= 1 if norm == "l1" else (count if norm_scope == "global" else g.size)
            ghat = size * g
            m[i] = betas[0] * m[i] + (1 - betas[0]) * ghat
            v[i] = betas[1] * v[i] + (1 - betas[1]) * ghat**2
            mhat, vhat = m[i] / (1 - betas[0] ** t), v[i] / (1 - betas[1] ** t)
            with np.errstate(divide="ignore", invalid="ignore"):
                if eps_mode == "outside":
                    change = (vhat**-0.5 + eps) * mhat
                else:
                    change = mhat / (np.sqrt(vhat) + eps)
            weights[i] -= lr / (np.sqrt(t) if lr_decay else 1) * np.where(vhat > 0, change, 0)
    return weights


OPTIONS = list(
    itertools.product(("tensor", "global"), ("l1", "mean_abs"), (False, True), ("outside", "adam"))
)


@pytest.mark.parametrize(("norm_scope", "norm", "lr_decay", "eps_mode"), OPTIONS)
def test_equals_the_description_over_20_steps(norm_scope, norm, lr_decay, eps_mode, rng):
    """Float64, two tensors, a coordinate whose gradient is always zero: equal to 1e-10."""
    shapes = [(3, 4), (5,)]
    gradients = [[rng.standard_normal(s) for s in shapes] for _ in range(20)]
    for step in gradients:
        step[1][2] = 0
    start = [rng.standard_normal(s) for s in shapes]
    options = {
        "norm_scope": norm_scope, "norm": norm, "lr_decay": lr_decay, "eps_mode": eps_mode,
    }  # fmt: skip
    parameters = [nn.Parameter(torch.tensor(w)) for w in start]
    optimizer = AdaL(parameters, lr=0.01, betas=(0.9, 0.99), eps=1e-3, **options)
    for step in gradients:
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = torch.tensor(gradient)
        optimizer.step()
    expected = reference(gradients, 0.01, (0.9, 0.99), 1e-3, weights=start, **options)
    for parameter, weight in zip(parameters, expected, strict=True):
        assert parameter.detach().numpy() == pytest.approx(weight, rel=1e-10, abs=1e-12)
    assert float(parameters[1][2].detach()) == start[1][2]


def quadratic(scale, **options):
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(10, dtype=torch.float64))
    optimizer = AdaL([weight], lr=0.05, eps=0, **options)
    for _ in range(30):
        optimizer.zero_grad()
        (scale * (weight - 1).square().sum()).backward()
        optimizer.step()
    return weight.detach()


def test_a_factor_in_the_loss_cancels_without_eps():
    assert torch.allclose(quadratic(1.0), quadratic(100.0), rtol=1e-9)


def test_zero_gradients_never_make_nan():
    weight = nn.Parameter(torch.ones(4))
    optimizer = AdaL([weight], lr=0.1)
    weight.grad = torch.zeros(4)
    for _ in range(3):
        optimizer.step()
    assert torch.equal(weight.detach(), torch.ones(4))


def test_closure_groups_weight_decay_and_state_dict():
    one, two = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))
    idle = nn.Parameter(torch.ones(2))
    optimizer = AdaL([{"params": [one]}, {"params": [two, idle], "lr": 0.0}], weight_decay=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (one.square().sum() + two.square().sum()) / 2
        loss.backward()
        return loss

    assert float(optimizer.step(closure).detach()) == pytest.approx(2.5)
    assert not torch.equal(one.detach(), torch.ones(3))
    assert torch.equal(two.detach(), torch.ones(2))
    other = AdaL([{"params": [one]}, {"params": [two, idle]}])
    other.load_state_dict(optimizer.state_dict())
    assert other.state[one]["step"] == 1
    assert other.param_groups[1]["lr"] == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1}, "lr must be at least 0, got -1"),
        ({"betas": (1.0, 0.9)}, r"betas must lie in \[0, 1\)"),
        ({"eps": -1}, "eps and weight_decay must be at least 0"),
        ({"norm": "l2"}, "norm must be one of l1, mean_abs; got 'l2'"),
        ({"norm_scope": "layer"}, "norm_scope must be one of tensor, global"),
        ({"eps_mode": "inside"}, "eps_mode must be one of outside, adam"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        AdaL([nn.Parameter(torch.ones(1))], **options)


def test_sparse_gradients_are_refused():
    embedding = nn.Embedding(5, 2, sparse=True)
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="sparse"):
        AdaL(embedding.parameters()).step()
