from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import noise_lens as nl
from noise_lens.optim import first_moment_decay


def weight():
    return nn.Parameter(torch.ones(2, 2))


@pytest.mark.parametrize(
    ("name", "decay"),
    [
        ("sgd", 0.0),
        ("sgd-momentum", 0.9),
        ("adam", 0.9),
        ("amsgrad", 0.9),
        ("adamw", 0.9),
        ("adal", 0.9),
        ("padam", 0.9),
        ("adai", 0.9),
        ("adaiw", 0.9),
        ("yogi", 0.9),
        ("adabound", 0.9),
    ],
)
def test_of_every_name(name, decay):
    assert first_moment_decay(nl.optim.create(name, [weight()])) == pytest.approx(decay)


def test_every_name_is_in_the_test_above():
    (cases,) = [m for m in test_of_every_name.pytestmark if m.name == "parametrize"]
    assert tuple(name for name, _ in cases.args[1]) == nl.optim.names()


@pytest.mark.parametrize("name", ["adam", "amsgrad", "adamw", "adal", "padam", "yogi", "adabound"])
def test_the_moment_forgets_with_that_factor(name):
    """A gradient, then none: the first moment of the state falls by beta a step."""
    parameter = weight()
    optimizer = nl.optim.create(name, [parameter], betas=(0.7, 0.99))
    parameter.grad = torch.ones(2, 2)
    optimizer.step()
    before = optimizer.state[parameter]["exp_avg"].clone()
    parameter.grad = torch.zeros(2, 2)
    optimizer.step()
    ratio = optimizer.state[parameter]["exp_avg"] / before
    assert first_moment_decay(optimizer) == 0.7
    assert np.allclose(ratio.numpy(), 0.7)


@pytest.mark.parametrize(
    ("kind", "options", "decay"),
    [
        ("SGD", {"lr": 0.1, "momentum": 0.8, "dampening": 0.8}, 0.8),
        ("SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True}, 0.8),
        ("RMSprop", {"momentum": 0.6}, 0.6),
        ("RMSprop", {}, 0.0),
        ("NAdam", {"betas": (0.8, 0.99)}, 0.8),
        ("RAdam", {"betas": (0.8, 0.99)}, 0.8),
        ("Adamax", {"betas": (0.8, 0.99)}, 0.8),
        ("Adagrad", {}, 0.0),
        ("Adadelta", {}, 0.0),
        ("Adafactor", {}, 0.0),
        ("ASGD", {}, 0.0),
        ("Rprop", {}, 0.0),
    ],
)
def test_of_torchs_own(kind, options, decay):
    assert first_moment_decay(getattr(torch.optim, kind)([weight()], **options)) == decay


def test_every_kind_of_torchs_is_known_or_refused():
    """A kind that a new torch brings is refused, and never read wrong."""
    for name in dir(torch.optim):
        kind = getattr(torch.optim, name)
        if not isinstance(kind, type) or kind is torch.optim.Optimizer:
            continue
        optimizer = kind([weight()])
        if name == "LBFGS":
            with pytest.raises(ValueError, match="of LBFGS is not known here; give its decay as b"):
                first_moment_decay(optimizer)
        else:
            assert 0 <= first_moment_decay(optimizer) < 1


def test_of_derived_classes_and_wrappers():
    class Mine(torch.optim.AdamW):
        pass

    class Wrapper(torch.optim.Optimizer):
        def __init__(self, optimizer):
            self.optimizer = optimizer

    inner = Mine([weight()], betas=(0.5, 0.9))
    assert first_moment_decay(inner) == 0.5
    assert first_moment_decay(Wrapper(Wrapper(inner))) == 0.5


def test_others_are_refused():
    """Lion keeps its moment with the second of its betas: having betas is not enough."""

    class Lion(torch.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"betas": (0.9, 0.99)})

    with pytest.raises(ValueError, match="first moment of Lion is not known here; give its decay"):
        first_moment_decay(Lion([weight()]))


def test_groups_that_differ_are_refused():
    groups = [{"params": [weight()]}, {"params": [weight()], "betas": (0.8, 0.99)}]
    with pytest.raises(
        ValueError, match=r"groups of Adam have first moments that decay with 0\.8, 0\.9"
    ):
        first_moment_decay(torch.optim.Adam(groups))
