from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

import noise_lens as nl


def parameters():
    return [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))]


NAMES = nl.optim.names()


def test_names_make_optimizers():
    kinds = {name: type(nl.optim.create(name, parameters())).__name__ for name in NAMES}
    assert kinds == {
        "sgd": "SGD",
        "sgd-momentum": "SGD",
        "adam": "Adam",
        "amsgrad": "Adam",
        "adamw": "AdamW",
        "adal": "AdaL",
        "padam": "Padam",
        "adai": "Adai",
        "adaiw": "Adai",
        "yogi": "Yogi",
        "adabound": "AdaBound",
    }


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_those_of_the_catalogue(name):
    """And a learning rate that is given goes before."""
    group = nl.optim.create(name, parameters()).param_groups[0]
    wanted = nl.optim.default_options(name)
    assert {key: group[key] for key in wanted} == wanted
    assert wanted["lr"] == nl.optim.default_learning_rate(name)
    assert nl.optim.create(name, parameters(), lr=0.3).param_groups[0]["lr"] == 0.3


def test_what_makes_an_optimizer_the_one_of_its_name():
    assert nl.optim.default_options("sgd-momentum") == {"lr": 0.01, "momentum": 0.9}
    assert nl.optim.default_options("amsgrad")["amsgrad"] is True
    assert nl.optim.default_options("adai")["weight_decouple"] is False
    assert nl.optim.default_options("adaiw")["weight_decouple"] is True
    assert nl.optim.default_options("adabound")["weight_decouple"] is False
    group = nl.optim.create("sgd-momentum", parameters(), momentum=0.5).param_groups[0]
    assert group["momentum"] == 0.5


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("adma", "adam"),
        ("SGD_momentum", "sgd-momentum"),
        ("AdamW", "adamw"),
        ("ada-bound", "adabound"),
    ],
)
def test_unknown_names_list_the_near_ones(name, near):
    message = f"one of sgd, sgd-momentum, adam, .*; got '{name}'. Did you mean {near}"
    with pytest.raises(ValueError, match=message):
        nl.optim.create(name, parameters())
    with pytest.raises(ValueError, match=message):
        nl.optim.default_learning_rate(name)


def test_a_name_that_is_near_none():
    with pytest.raises(ValueError, match=r"adabound; got 'xyz'\.$"):
        nl.optim.create("xyz", parameters())


@pytest.mark.parametrize(
    ("name", "options", "unknown"),
    [
        ("sgd", {"betas": (0.9, 0.99)}, "betas"),
        ("adam", {"p": 0.1, "momentum": 0.9}, "p, momentum"),
        ("amsgrad", {"amsgrad": False}, "amsgrad"),
        ("padam", {"norm": "l1"}, "norm"),
        ("adaiw", {"weight_decouple": False}, "weight_decouple"),
        # The library's constructors swallow any of these without a word.
        ("adai", {"momentum": 0.5}, "momentum"),
        ("yogi", {"amsgrad": True}, "amsgrad"),
        ("adabound", {"beta": 0.5}, "beta"),
    ],
)
def test_options_that_an_optimizer_does_not_take(name, options, unknown):
    with pytest.raises(
        ValueError, match=rf"^{name} does not take {unknown}; it takes lr, "
    ) as error:
        nl.optim.create(name, parameters(), **options)
    takes = str(error.value).partition("it takes ")[2].split(", ")
    assert not {unknown, "kwargs", "self", "params"} & set(takes)
    with pytest.raises(ValueError, match=f"^{name} does not take "):
        nl.optim.create(name, [{"params": parameters(), **options}])


ZERO, UNIT = "be at least 0 and finite", r"be two numbers that lie in \[0, 1\)"
OUT_OF_RANGE = [
    ("lr", -0.1, ZERO, NAMES),
    ("lr", float("inf"), ZERO, NAMES),
    ("weight_decay", -0.1, ZERO, NAMES),
    ("eps", -1.0, ZERO, NAMES[2:]),
    ("betas", (0.9, 1.0), UNIT, NAMES[2:]),
    ("betas", (-0.1, 0.9), UNIT, NAMES[2:]),
    ("momentum", 1.0, r"lie in \[0, 1\)", NAMES[:2]),
    ("p", 0.6, r"lie in \(0, 1/2\]", ["padam"]),
    ("final_lr", -1.0, ZERO, ["adabound"]),
    ("initial_accumulator", -1.0, ZERO, ["yogi"]),
]


@pytest.mark.parametrize(
    ("name", "option", "value", "words"),
    [(name, *case[:3]) for case in OUT_OF_RANGE for name in case[3]],
)
def test_values_out_of_range(name, option, value, words):
    """Of every optimizer that takes the option: also in a group, where torch looks at nothing."""
    with pytest.raises(ValueError, match=f"^{option} must {words}, got "):
        nl.optim.create(name, parameters(), **{option: value})
    with pytest.raises(ValueError, match=f"^{option} must {words}, got "):
        nl.optim.create(name, [{"params": parameters(), option: value}])


@pytest.mark.parametrize("name", NAMES)
def test_parameters_in_every_form(name):
    """Lists, generators, named parameters, groups of either, and groups with names."""
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    halves = [{"params": half.parameters(), "name": f"half {i}"} for i, half in enumerate(model)]
    for given in (
        list(model.parameters()),
        model.parameters(),
        model.named_parameters(),
        halves,
        [{"params": model.named_parameters(), "lr": 0.2}],
    ):
        optimizer = nl.optim.create(name, given)
        found = [p for group in optimizer.param_groups for p in group["params"]]
        assert [id(p) for p in found] == [id(p) for p in model.parameters()]
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()


@pytest.mark.parametrize("name", NAMES)
def test_state_goes_through_a_file_that_runs_no_code(name, tmp_path):
    """And the run that goes on from it is the run that was not interrupted."""
    torch.manual_seed(0)
    one = [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))]
    optimizer = nl.optim.create(name, one)
    gradients = [[torch.randn(3), torch.randn(2)] for _ in range(4)]

    def step(given, by, parts):
        for part in parts:
            for p, g in zip(given, part, strict=True):
                p.grad = g.clone()
            by.step()

    step(one, optimizer, gradients[:2])
    two = copy.deepcopy(one)
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    other = nl.optim.create(name, two)
    other.load_state_dict(torch.load(tmp_path / "optimizer.pt", weights_only=True))
    step(one, optimizer, gradients[2:])
    step(two, other, gradients[2:])
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("name", ["adai", "adaiw"])
def test_adai_without_any_gradient_stays_where_it_is(name):
    """All second moments 0: no 0 / 0, and a bound on the inertia that is the one asked for."""
    given = parameters()
    optimizer = nl.optim.create(name, given, eps=0.01)
    assert optimizer.param_groups[0]["eps"] == 0.01
    for p in given:
        p.grad = torch.zeros_like(p)
    optimizer.step()
    assert all(torch.equal(p.detach(), torch.ones_like(p)) for p in given)


def test_the_library_is_imported_when_it_is_needed_and_changes_nothing():
    """In a process of its own: warnings, logging, torch's switches and random numbers."""
    code = """
import logging, sys, warnings
import numpy, torch
import noise_lens as nl

def settings():
    root = logging.getLogger()
    return (
        list(warnings.filters), warnings.showwarning, root.level, list(root.handlers),
        logging.root.manager.disable, torch.get_default_dtype(), torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(), torch.is_grad_enabled(),
        torch.get_rng_state().tolist(), numpy.random.get_state()[1].tolist(),
        torch.get_float32_matmul_precision(), sorted(vars(torch.optim.Optimizer)),
        sys.getrecursionlimit(),
    )

parameters = [torch.nn.Parameter(torch.ones(2))]
for name in nl.optim.names():
    nl.optim.default_options(name), nl.optim.default_learning_rate(name)
for name in ("sgd", "sgd-momentum", "adam", "amsgrad", "adamw", "adal", "padam"):
    nl.optim.first_moment_decay(nl.optim.create(name, parameters))
assert "pytorch_optimizer" not in sys.modules
before = settings()
nl.optim.create("adai", parameters)
assert "pytorch_optimizer" in sys.modules
assert settings() == before
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
