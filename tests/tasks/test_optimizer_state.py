"""The state of an optimizer, where the frameworks put it; what does not fit is refused."""

from __future__ import annotations

import copy
import os

import pytest
import torch
from torch import nn

from noise_lens import optim
from noise_lens.errors import CheckpointError
from noise_lens.tasks.checkpoint.optimizer_state import (
    fill_optimizer,
    load_optimizer_state,
    optimizer_state,
)


def model(hidden=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, hidden), nn.LayerNorm(hidden), nn.Linear(hidden, 2))


def trained(own, optimizer, n=2):
    """Gradients that tell every element of every parameter from every other."""
    for step in range(n):
        for number, p in enumerate(own.parameters()):
            p.grad = torch.arange(1.0, p.numel() + 1).view(p.shape) * (number + 1 + step)
        optimizer.step()
    return optimizer


def decayed(own, kind=torch.optim.AdamW, **options):
    """Two groups, as most training scripts have them."""
    wide = [p for p in own.parameters() if p.dim() >= 2]
    narrow = [p for p in own.parameters() if p.dim() < 2]
    groups = [
        {"params": wide, "weight_decay": 0.1}, {"params": narrow, "weight_decay": 0.0, "lr": 0.5},
    ]  # fmt: skip
    return kind(groups, lr=0.25, **options)


def assert_same_state(one, own, two, other):
    """Two optimizers, of two copies of a model, hold the same of every parameter."""
    assert len(one.state) == len(two.state)
    for p, q in zip(own.parameters(), other.parameters(), strict=True):
        assert one.state[p].keys() == two.state[q].keys()
        for key, value in one.state[p].items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(two.state[q][key]))

    def options(optimizer, parameters):
        place = {id(p): number for number, p in enumerate(parameters)}
        return {
            place[id(p)]: {key: value for key, value in group.items() if key != "params"}
            for group in optimizer.param_groups
            for p in group["params"]
        }

    assert options(one, own.parameters()) == options(two, other.parameters())


PLACES = {
    "optimizer": lambda own, state: {"model": own, "optimizer": state},
    "optimizer_state_dict": lambda own, state: {
        "model_state_dict": own, "optimizer_state_dict": state, "epoch": 3,
    },
    "lightning": lambda own, state: {
        "state_dict": own, "optimizer_states": [state], "pytorch-lightning_version": "2.6.6",
    },
    "empty list first": lambda own, state: {
        "model": own, "optimizer_states": [], "optimizer_state": state,
    },
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_it_is_found_in_a_checkpoint(tmp_path, place):
    own = model()
    optimizer = trained(own, torch.optim.Adam(own.parameters(), lr=0.125, betas=(0.8, 0.95)))
    saved = PLACES[place](own.state_dict(), optimizer.state_dict())
    torch.save(saved, tmp_path / "step.ckpt")
    state = optimizer_state(tmp_path / "step.ckpt")
    other = model()
    found = optim.create("adam", other.parameters())
    load_optimizer_state(found, other, state)
    assert_same_state(optimizer, own, found, other)
    assert found.param_groups[0]["betas"] == (0.8, 0.95)


@pytest.mark.parametrize("name", ["optimizer.pt", "optimizer.bin"])
@pytest.mark.parametrize("of", ["folder", "file"])
def test_it_is_found_beside_the_weights(tmp_path, name, of):
    """As Hugging Face's Trainer and Accelerate save it, with two groups."""
    from safetensors.torch import save_file

    own = model()
    optimizer = trained(own, decayed(own))
    save_file(own.state_dict(), tmp_path / "model.safetensors")
    torch.save(optimizer.state_dict(), tmp_path / name)
    state = optimizer_state(tmp_path if of == "folder" else tmp_path / "model.safetensors")
    other = model()
    found = optim.create("adamw", other.parameters())
    load_optimizer_state(found, other, state)
    assert_same_state(optimizer, own, found, other)
    assert [len(group["params"]) for group in found.param_groups] == [2, 4]


def test_where_there_is_none(tmp_path):
    own = model()
    torch.save(own.state_dict(), tmp_path / "weights.pt")
    torch.save({"model": own.state_dict(), "optimizer": "adam"}, tmp_path / "named.pt")
    for name in ("weights.pt", "named.pt", ".", "none.safetensors"):
        assert optimizer_state(tmp_path / name) is None


def test_several_optimizers_are_refused(tmp_path):
    state = torch.optim.SGD(model().parameters(), lr=0.1).state_dict()
    torch.save({"state_dict": {}, "optimizer_states": [state, state]}, tmp_path / "gan.ckpt")
    with pytest.raises(CheckpointError, match=r"states of 2 optimizers under optimizer_states"):
        optimizer_state(tmp_path / "gan.ckpt")


class Runs:
    def __reduce__(self):
        return os.mkdir, ("it-ran",)


@pytest.mark.parametrize("beside", [True, False])
def test_a_pickle_that_runs_code_is_not_run(tmp_path, monkeypatch, beside):
    monkeypatch.chdir(tmp_path)
    if beside:
        torch.save(model().state_dict(), tmp_path / "model.pt")
        torch.save({"state": {}, "param_groups": Runs()}, tmp_path / "optimizer.pt")
    else:
        torch.save({"model": {}, "optimizer": Runs()}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="it was not run"):
        optimizer_state(tmp_path / "model.pt")
    assert not (tmp_path / "it-ran").exists()


@pytest.mark.parametrize("name", ["sgd-momentum", "adam", "adamw", "adal", "padam", "yogi", "adai"])
def test_every_named_optimizer_comes_back(tmp_path, name):
    own = model()
    optimizer = trained(own, optim.create(name, own.parameters(), lr=0.0625))
    torch.save({"model": own.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "a.pt")
    other = model()
    found = optim.create(name, other.parameters())
    load_optimizer_state(found, other, optimizer_state(tmp_path / "a.pt"))
    assert_same_state(optimizer, own, found, other)


def test_groups_of_another_split_are_refused():
    """A part of the model after another: with layers of equal shapes any order would fit, and
    every state could go to another tensor.
    """
    own, other = model(), model()
    parts = list(own[0].parameters()), [*own[1].parameters(), *own[2].parameters()]
    optimizer = trained(own, torch.optim.Adam([{"params": part} for part in parts]))
    with pytest.raises(CheckpointError, match=r"2 parameter groups of .* cannot be matched"):
        load_optimizer_state(
            optim.create("adam", other.parameters()), other, optimizer.state_dict()
        )


@pytest.mark.parametrize("order", ["decay first", "decay last"])
def test_two_groups_are_matched_by_axes(order):
    own, other = model(), model()
    parts = (
        [p for p in own.parameters() if p.dim() >= 2],
        [p for p in own.parameters() if p.dim() < 2],
    )
    parts = parts if order == "decay first" else parts[::-1]
    groups = [{"params": parts[0], "lr": 0.5}, {"params": parts[1], "lr": 0.25}]
    optimizer = trained(own, torch.optim.Adam(groups))
    found = optim.create("adam", other.parameters())
    load_optimizer_state(found, other, copy.deepcopy(optimizer.state_dict()))
    assert_same_state(optimizer, own, found, other)


def test_names_that_were_saved_say_whose_is_what():
    """Three groups in an order of their own."""
    own, other = model(), model()
    named = list(own.named_parameters())
    groups = [
        {"params": named[4:], "lr": 0.5},
        {"params": named[1:4:2]},
        {"params": [named[2], named[0]]},
    ]
    optimizer = trained(own, torch.optim.Adam(groups, lr=0.25))
    found = optim.create("adam", other.parameters())
    load_optimizer_state(found, other, copy.deepcopy(optimizer.state_dict()))
    assert_same_state(optimizer, own, found, other)


def test_frozen_parameters_may_have_been_left_out():
    own, other = model(), model()
    for one in (own, other):
        one[0].weight.requires_grad_(False)
    for make in (lambda m, ps: torch.optim.Adam(ps, lr=0.25), lambda m, ps: decayed_of(ps)):
        trainable = [p for p in own.parameters() if p.requires_grad]
        optimizer = make(own, trainable)
        trained(own, optimizer)
        own[0].weight.grad = None
        found = optim.create("adam", other.parameters())
        load_optimizer_state(found, other, copy.deepcopy(optimizer.state_dict()))
        for p, q in zip(own.parameters(), other.parameters(), strict=True):
            if p.requires_grad:
                assert torch.equal(optimizer.state[p]["exp_avg"], found.state[q]["exp_avg"])


def decayed_of(parameters):
    wide = [p for p in parameters if p.dim() >= 2]
    return torch.optim.Adam([{"params": wide}, {"params": [p for p in parameters if p.dim() < 2]}])


def load(optimizer, name="adam", other=None):
    other = model() if other is None else other
    found = optim.create(name, other.parameters())
    load_optimizer_state(found, other, copy.deepcopy(optimizer.state_dict()))
    return found


def test_what_does_not_fit_is_refused_with_what_to_do():
    own = model()
    with pytest.raises(
        CheckpointError, match=r"1 parameter groups of 6 tensors.*Give optimizer= a"
    ):
        load(trained(own, torch.optim.Adam(own.parameters())), other=model(5))
    with pytest.raises(
        CheckpointError, match=r"1 parameter groups of 4 tensors.*with the 6 of Seq"
    ):
        load(torch.optim.Adam(list(own.parameters())[:4]))
    with pytest.raises(
        CheckpointError, match=r"not of Adam: .*momentum.* lack .*betas.*give beta="
    ):
        load(trained(own, torch.optim.SGD(own.parameters(), lr=0.1)))
    with pytest.raises(
        CheckpointError, match=r"not of SGD: its groups have .*betas.* lack .*moment"
    ):
        load(trained(own, torch.optim.Adam(own.parameters())), "sgd")


def test_groups_that_nothing_tells_apart_are_refused():
    """Two groups of SGD without momentum, of four tensors and two: the first two layers and the
    last one, or vectors and matrices? With one learning rate it does not matter.
    """
    own = model()
    first = [*own[0].parameters(), *own[1].parameters()]
    for rate in (0.5, 0.25):
        groups = [{"params": first, "lr": 0.25, "weight_decay": 0.1},
                  {"params": own[2].parameters(), "lr": rate}]  # fmt: skip
        optimizer = trained(own, torch.optim.SGD(groups))
        if rate == 0.25:
            assert {group["lr"] for group in load(optimizer, "sgd").param_groups} == {0.25}
            continue
        with pytest.raises(CheckpointError, match=r"2 parameter groups of 4, 2.*in several ways"):
            load(optimizer, "sgd")


def test_an_optimizer_as_training_built_it():
    """Filled from the saved state, of which an older version may lack an option."""
    own, other = model(), model()
    optimizer = trained(own, decayed(own))
    state = copy.deepcopy(optimizer.state_dict())
    found = decayed(other)
    fill_optimizer(found, state)
    assert_same_state(optimizer, own, found, other)
    for group in state["param_groups"]:
        del group["betas"]
        group["initial_lr"] = 1.0  # as a schedule leaves it
    fill_optimizer(found, state)
    assert {group["betas"] for group in found.param_groups} == {(0.9, 0.999)}

    with pytest.raises(CheckpointError, match=r"does not fit AdamW: .*Name the optimizer of train"):
        fill_optimizer(torch.optim.AdamW(other.parameters()), state)
    reversed_groups = decayed(other)
    reversed_groups.param_groups[1]["params"].reverse()
    with pytest.raises(CheckpointError, match=r"saved exp_avg has the shape .*in another order"):
        fill_optimizer(reversed_groups, optimizer.state_dict())


def test_the_saved_state_is_not_written_to(tmp_path):
    own = model()
    optimizer = trained(own, torch.optim.Adam(own.parameters()))
    torch.save({"model": own.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "a.pt")
    before = (tmp_path / "a.pt").read_bytes()
    other = model()
    found = optim.create("adam", other.parameters())
    load_optimizer_state(found, other, optimizer_state(tmp_path / "a.pt"))
    trained(other, found)
    assert (tmp_path / "a.pt").read_bytes() == before
