"""Prefixes, ties and parts: which tensor of a file is which of the model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from noise_lens import CheckpointError
from noise_lens.tasks import load_checkpoint
from noise_lens.tasks.checkpoint.fit import fit
from noise_lens.tasks.checkpoint.opened import OpenedCheckpoint


def net():
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


class Tied(nn.Module):
    """An embedding whose weight is also the head's, as in GPT-2."""

    def __init__(self):
        super().__init__()
        self.transformer = nn.ModuleDict({"wte": nn.Embedding(5, 3), "ln": nn.LayerNorm(3)})
        self.lm_head = nn.Linear(3, 5, bias=False)
        self.lm_head.weight = self.transformer["wte"].weight


def with_prefix(prefix, state):
    return {prefix + name: value for name, value in state.items()}


def loaded(model, state, path, *, key=None, **beside):
    """Save the state dict, load it into the model, and return the model's own."""
    torch.save(state if key is None else {key: state, **beside}, path / "model.pt")
    load_checkpoint(model, path / "model.pt")
    return model.state_dict()


def same(one, two):
    return set(one) == set(two) and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    "prefix",
    ["model.", "net.", "module.", "_orig_mod.", "_fsdp_wrapped_module.", "model._orig_mod.",
     "module._fsdp_wrapped_module.", "model.backbone."],
)  # fmt: skip
def test_a_common_prefix_is_taken_off(prefix, tmp_path):
    state = net().state_dict()
    assert same(loaded(net(), with_prefix(prefix, state), tmp_path), state)


def test_wrappers_inside_of_names_are_taken_off(tmp_path):
    state = net().state_dict()
    inner = {name.replace(".", "._fsdp_wrapped_module.", 1): v for name, v in state.items()}
    assert same(loaded(net(), inner, tmp_path), state)


def test_a_wrapped_model_takes_a_plain_file(tmp_path):
    """The prefix is put on where the task's model has it and the file does not."""
    state = net().state_dict()
    wrapped = nn.Sequential()
    wrapped.add_module("model", net())
    assert same(loaded(wrapped, state, tmp_path), with_prefix("model.", state))
    compiled = nn.Sequential()
    compiled.add_module("_orig_mod", net())
    assert same(loaded(compiled, state, tmp_path), with_prefix("_orig_mod.", state))


def test_one_layer_of_a_file_is_not_the_model(tmp_path):
    """A layer that fits by chance inside of another net is refused: it is another model's."""
    with pytest.raises(CheckpointError, match=r"does not fit .* Linear; unexpected: 1.weight"):
        loaded(nn.Linear(4, 3), net().state_dict(), tmp_path)


def test_lightning_holds_other_attributes_beside_the_net(tmp_path):
    state = net().state_dict()
    file = {**with_prefix("net.", state), "criterion.weight": torch.ones(2)}
    lightning = {"pytorch-lightning_version": "2.6.0", "global_step": 7}
    assert same(loaded(net(), file, tmp_path, key="state_dict", **lightning), state)
    with pytest.raises(CheckpointError, match=r"unexpected: criterion\.weight"):
        loaded(net(), file, tmp_path, key="state_dict")  # not Lightning's: whose is it?


def test_a_net_that_stands_there_twice_is_refused(tmp_path):
    state = net().state_dict()
    file = {**with_prefix("student.", state), **with_prefix("teacher.", state)}
    with pytest.raises(CheckpointError, match=r"2 times, under 'student.' and 'teacher.'"):
        loaded(net(), file, tmp_path, key="state_dict", **{"pytorch-lightning_version": "2.6.0"})


def test_a_near_fit_is_told_without_its_prefix(tmp_path):
    state = with_prefix("model.", net().state_dict())
    state["model.0.bias"] = torch.zeros(7)
    with pytest.raises(CheckpointError) as caught:
        loaded(net(), state, tmp_path)
    assert "of another shape: 0.bias (7,) for (3,)" in str(caught.value)
    assert "missing" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_a_tied_head_may_be_left_out(prefix, tmp_path):
    """Base-model names and head-model names, both without the head's weight."""
    state = {n: v for n, v in Tied().state_dict().items() if n != "lm_head.weight"}
    file = {prefix + name.removeprefix("transformer."): value for name, value in state.items()}
    model = Tied()
    load = loaded(model, file, tmp_path)
    assert torch.equal(load["lm_head.weight"], state["transformer.wte.weight"])
    assert torch.equal(load["transformer.ln.weight"], state["transformer.ln.weight"])
    assert model.lm_head.weight is model.transformer["wte"].weight


def test_a_head_that_is_not_tied_may_not_be_left_out(tmp_path):
    state = {n: v for n, v in Tied().state_dict().items() if n != "lm_head.weight"}
    untied = Tied()
    untied.lm_head.weight = nn.Parameter(torch.zeros(5, 3))
    with pytest.raises(CheckpointError, match=r"missing: lm_head\.weight"):
        loaded(untied, state, tmp_path)


def test_values_that_differ_where_the_model_ties_are_refused(tmp_path):
    """Loading one of them would measure a model that was never trained."""
    state = {name: value.clone() for name, value in Tied().state_dict().items()}
    assert same(loaded(Tied(), state, tmp_path), state)
    state["lm_head.weight"] += 1
    with pytest.raises(CheckpointError, match=r"transformer.wte.weight and lm_head.weight are one"):
        loaded(Tied(), state, tmp_path)


def test_buffers_that_a_model_says_to_ignore(tmp_path):
    """transformers' models name buffers that older files of theirs still hold."""
    state = net().state_dict()
    model = net()
    model._keys_to_ignore_on_load_unexpected = [r"\.masked_bias$"]
    assert same(loaded(model, {**state, "0.masked_bias": torch.zeros(1)}, tmp_path), state)


def test_prefixes_hold_for_safetensors_too(tmp_path):
    state = net().state_dict()
    save_file(with_prefix("module.", state), tmp_path / "model.safetensors")
    model = net()
    load_checkpoint(model, tmp_path / "model.safetensors")
    assert same(model.state_dict(), state)


def test_a_small_model_is_found_among_many_larger_ones():
    """What is left out for its size is only what cannot fit."""
    small, state_dicts, shapes = nn.Linear(4, 3), {}, {}
    for number in range(20):
        names = {f"{n}.weight": f"net{number}.{n}.weight" for n in range(5)}
        state_dicts[f"net{number}."] = names
        shapes |= dict.fromkeys(names.values(), (4, 4))
    state_dicts["tiny."] = {"weight": "tiny.weight", "bias": "tiny.bias"}
    shapes |= {"tiny.weight": (3, 4), "tiny.bias": (3,)}
    opened = OpenedCheckpoint(Path("many"), shapes, lambda names: {}, [], state_dicts)
    assert fit(opened, small).names == {"weight": "tiny.weight", "bias": "tiny.bias"}
