from __future__ import annotations

import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from noise_lens import CheckpointError
from noise_lens.tasks import load_checkpoint


def net():
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def loads(path):
    """A fresh model has the weights of the file afterwards."""
    model = net()
    load_checkpoint(model, path)
    return torch.equal(model[0].weight, torch.full((3, 4), 0.5))


@pytest.fixture
def state():
    model = net()
    nn.init.constant_(model[0].weight, 0.5)
    return model.state_dict()


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt"])
def test_torch_files(state, tmp_path, suffix):
    torch.save(state, tmp_path / f"model{suffix}")
    assert loads(tmp_path / f"model{suffix}")


def test_safetensors(state, tmp_path):
    save_file(state, tmp_path / "model.safetensors")
    assert loads(tmp_path / "model.safetensors")


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "module", "net"])
def test_usual_keys_beside_other_things(state, tmp_path, key):
    torch.save({"epoch": 3, "optimizer": {"lr": 0.1}, key: state}, tmp_path / "model.pt")
    assert loads(tmp_path / "model.pt")


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."]
)
def test_prefixes_are_taken_off(state, tmp_path, prefix):
    torch.save({prefix + name: value for name, value in state.items()}, tmp_path / "model.pt")
    assert loads(tmp_path / "model.pt")


def test_a_submodule_that_was_compiled(state, tmp_path):
    inner = {name.replace("0.", "0._orig_mod.", 1): value for name, value in state.items()}
    torch.save(inner, tmp_path / "model.pt")
    assert loads(tmp_path / "model.pt")


def test_missing_unexpected_and_other_shapes_are_named(state, tmp_path):
    state["0.bias"] = torch.zeros(7)
    state["extra"] = state.pop("2.weight")
    torch.save(state, tmp_path / "model.pt")
    model = net()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(model, tmp_path / "model.pt")
    message = str(caught.value)
    assert "missing: 2.weight" in message
    assert "unexpected: extra" in message
    assert "0.bias (7,) for (3,)" in message
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_would_run_code_does_not(tmp_path, legacy):
    trap = tmp_path / "trap"
    torch.save(
        {"state_dict": Bomb(trap)}, tmp_path / "m.pt", _use_new_zipfile_serialization=not legacy
    )
    with pytest.raises(CheckpointError, match=r"Save model\.state_dict\(\)") as caught:
        load_checkpoint(net(), tmp_path / "m.pt")
    assert not trap.exists()
    if not legacy:
        assert "system" in str(caught.value)


def test_whole_modules_programs_and_exports_are_refused(tmp_path):
    torch.save(net(), tmp_path / "whole.pt")
    with pytest.raises(CheckpointError, match=r"wants to run torch.nn.modules"):
        load_checkpoint(net(), tmp_path / "whole.pt")
    (tmp_path / "program.pt2").write_bytes(b"PK")
    with pytest.raises(
        CheckpointError, match=r"torch.export program, and loading one can run code"
    ):
        load_checkpoint(net(), tmp_path / "program.pt2")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_refused(tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "script.pt")
    with pytest.raises(CheckpointError, match="TorchScript program"):
        load_checkpoint(net(), tmp_path / "script.pt")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_truncated(state, tmp_path, suffix, share):
    path = tmp_path / f"model{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match=r"truncated|damaged|not a complete safetensors"):
        load_checkpoint(net(), path)


def test_files_that_are_not_there_or_not_checkpoints(tmp_path):
    with pytest.raises(CheckpointError, match=r"none.pt does not exist"):
        load_checkpoint(net(), tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="is a folder"):
        load_checkpoint(net(), tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(CheckpointError, match=r"ends in .txt; known are"):
        load_checkpoint(net(), tmp_path / "notes.txt")
    torch.save({"epoch": 3}, tmp_path / "empty.pt")
    with pytest.raises(CheckpointError, match=r"no state dict, .* it holds the keys epoch"):
        load_checkpoint(net(), tmp_path / "empty.pt")
