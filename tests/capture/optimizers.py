"""Optimizers over the parameters of a small model, trained for a few steps."""

from __future__ import annotations

import copy

import pytorch_optimizer
import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.optim.optimizer import Optimizer

from noise_lens import optim


def two_groups(kind, **options):
    """One group of matrices with a learning rate and a decay of their own, one of the rest."""

    def make(parameters):
        wide = [p for p in parameters if p.dim() > 1]
        narrow = [p for p in parameters if p.dim() < 2]
        first = {"params": wide, "lr": 3e-3, "weight_decay": 0.1}
        return kind([first, {"params": narrow}], lr=1e-2, **options)

    return make


def of(kind, **options):
    return lambda parameters: kind(parameters, **options)


def matrices(kind, **options):
    return lambda parameters: kind([p for p in parameters if p.dim() == 2], **options)


_t, _p = torch.optim, pytorch_optimizer
TORCH = {
    "sgd": of(_t.SGD, lr=0.1),
    "sgd foreach": of(_t.SGD, lr=0.1, foreach=True),
    "sgd momentum": of(_t.SGD, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.01),
    "sgd nesterov": of(_t.SGD, lr=0.1, momentum=0.9, nesterov=True, maximize=True),
    "sgd groups": two_groups(_t.SGD, momentum=0.9),
    "adam": of(_t.Adam, lr=1e-2, foreach=False),
    "adam foreach": of(_t.Adam, lr=1e-2, foreach=True),
    "adam fused": of(_t.Adam, lr=1e-2, fused=True),
    "adam tensor lr": of(_t.Adam, lr=torch.tensor(1e-2), foreach=False),
    "amsgrad": of(_t.Adam, lr=1e-2, amsgrad=True),
    "adam groups": two_groups(_t.Adam),
    "adamw": of(_t.AdamW, lr=1e-2, weight_decay=0.1),
    "nadam": of(_t.NAdam, lr=1e-2),
    "nadam foreach": of(_t.NAdam, lr=1e-2, foreach=True),
    "radam": of(_t.RAdam, lr=1e-2),
    "adamax": of(_t.Adamax, lr=1e-2),
    "adagrad": of(_t.Adagrad, lr=1e-2, lr_decay=0.1),
    "adadelta": of(_t.Adadelta),
    "rmsprop": of(_t.RMSprop, lr=1e-2, momentum=0.9, centered=True),
    "rprop": of(_t.Rprop, lr=1e-2),
    "asgd": of(_t.ASGD, lr=1e-2, t0=2),
    "asgd foreach": of(_t.ASGD, lr=1e-2, t0=2, foreach=True),
    "adafactor": of(_t.Adafactor, lr=1e-2),
    "muon": matrices(_t.Muon, lr=1e-2),
}
OURS = {
    "adal": of(optim.AdaL),
    "adal global": of(optim.AdaL, norm_scope="global", lr_decay=True),
    "padam": of(optim.Padam, lr=1e-2),
    "adai by name": lambda parameters: optim.create("adai", parameters),
}
# The first nine overwrite p.grad in their step.
OTHERS = {
    "Adai": of(_p.Adai, lr=0.1),
    "PAdam": of(_p.PAdam, lr=0.1),
    "LARS": of(_p.LARS, lr=0.1),
    "MADGRAD": of(_p.MADGRAD, lr=1e-2),
    "ScheduleFreeAdamW": of(_p.ScheduleFreeAdamW, lr=1e-2),
    "AdEMAMix": of(_p.AdEMAMix, lr=1e-2),
    "ADOPT": of(_p.ADOPT, lr=1e-2),
    "Shampoo": of(_p.Shampoo, lr=1e-2),
    "SGDP": of(_p.SGDP, lr=1e-2),
    "AdaBound": of(_p.AdaBound, lr=1e-2),
    "Yogi": of(_p.Yogi, lr=1e-2),
    "Lion": of(_p.Lion, lr=1e-3),
    "Prodigy": of(_p.Prodigy),
    "SOAP": of(_p.SOAP, lr=1e-2),
    "QHAdam": of(_p.QHAdam, lr=1e-2),
    "AdaFactor with a bfloat16 moment": of(_p.AdaFactor, lr=1e-2),
    "SWATS": of(_p.SWATS, lr=1e-2),
    "Lookahead": lambda ps: _p.Lookahead(torch.optim.Adam(ps, lr=1e-2), k=2),
}
ALL = TORCH | OURS | OTHERS


def small_model(dtype=torch.float64):
    """Matrices, vectors and a bias of one element."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(6, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, 1), nn.Flatten(0)
    )
    return model.to(dtype)


def gradients_of(model, number):
    """Gradients of a minibatch that belongs to `number`."""
    generator = torch.Generator().manual_seed(number)
    x = torch.randn(16, 6, generator=generator, dtype=torch.float64)
    x = x.to(next(model.parameters()).dtype)
    loss = (model(x) - x.sum(dim=1)).square().mean()
    return torch.autograd.grad(loss, list(model.parameters()))


def train(model, optimizer, n=3, first=0):
    """Take `n` steps."""
    for number in range(first, first + n):
        step_with(model, optimizer, gradients_of(model, number))


def step_with(model, optimizer, gradients):
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter.grad = None if gradient is None else gradient.clone()
    optimizer.step()


def trained(name, dtype=torch.float64, scheduled=False):
    """A model, its optimizer after three steps, and a schedule that has wrapped its step."""
    model = small_model(dtype)
    optimizer = ALL[name](list(model.parameters()))
    wraps = "param_groups" not in vars(optimizer)  # and has no groups of its own to schedule
    schedule = lr_scheduler.StepLR(optimizer, 2) if scheduled and not wraps else None
    train(model, optimizer)
    return model, optimizer, schedule


def frozen_view(value):
    """All that an object holds, as it is now: tensors with their bits, versions and addresses."""
    return _seen(value, {})


def _seen(value, done):
    if isinstance(value, torch.Tensor):
        kept = value.detach().clone()
        return ("tensor", id(value), value.data_ptr(), value._version, value.dtype, kept)
    if id(value) in done:
        return ("again", id(value))
    if isinstance(value, Optimizer):
        done[id(value)] = True
        return {key: _seen(own, done) for key, own in vars(value).items()}
    if isinstance(value, dict):
        done[id(value)] = True
        return [(_name(key), _seen(own, done)) for key, own in value.items()]
    if isinstance(value, list | tuple | set):
        return [type(value).__name__, *(_seen(own, done) for own in value)]
    return value if isinstance(value, bool | int | float | str | type(None)) else id(value)


def _name(key):
    return id(key) if isinstance(key, torch.Tensor) else key


def same(one, two):
    """Whether two of `frozen_view` are equal, bit for bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(two, torch.Tensor) and torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two or (one != one and two != two)


def all_of(model, optimizer):
    """What a view must leave: weights, gradients, buffers, the optimizer, random states."""
    # Buffers are put back, so only their values count; the others are not written to at all.
    return {
        "weights": frozen_view(list(model.parameters())),
        "gradients": frozen_view([p.grad for p in model.parameters()]),
        "buffers": [buffer.clone() for buffer in model.buffers()],
        "optimizer": frozen_view(optimizer),
        "random": torch.get_rng_state(),
    }


def copied(model, optimizer, make):
    """A second model and optimizer in the same state, copied by hand."""
    other = copy.deepcopy(model)
    twin = make(list(other.parameters()))
    twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    return other, twin
