"""Folders of save_pretrained, without transformers."""

from __future__ import annotations

import hashlib
import json
import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from noise_lens import CheckpointError
from noise_lens.tasks import load_checkpoint
from noise_lens.tasks.checkpoint import checkpoint_digest


def net():
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))


@pytest.fixture
def state():
    return net().state_dict()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def write_shards(folder, state, suffix):
    """Two shards and their index, as save_pretrained(max_shard_size=...) writes them."""
    stem = "model" if suffix == ".safetensors" else "pytorch_model"
    names = sorted(state)
    places = {}
    for number, part in enumerate((names[:2], names[2:]), start=1):
        file = f"{stem}-0000{number}-of-00002{suffix}"
        tensors = {name: state[name] for name in part}
        if suffix == ".safetensors":
            save_file(tensors, folder / file)
        else:
            torch.save(tensors, folder / file)
        places |= dict.fromkeys(part, file)
    index = folder / f"{stem}{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return index


def fits(folder, state):
    model = net()
    load_checkpoint(model, folder)
    own = model.state_dict()
    return all(torch.equal(own[name], state[name]) for name in state)


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_sharded(folder, state, suffix):
    write_shards(folder, state, suffix)
    assert fits(folder, state)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_one_file(folder, state, name):
    save = save_file if name.endswith("safetensors") else torch.save
    save(state, folder / name)
    assert fits(folder, state)


def test_safetensors_go_before_pickles(folder, state):
    save_file(state, folder / "model.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"damaged")
    assert fits(folder, state)


def test_the_body_of_a_model_with_a_head(folder, state):
    body = {f"bert.{name}": value for name, value in state.items()}
    save_file({**body, "cls.predictions.bias": torch.ones(3)}, folder / "model.safetensors")
    assert fits(folder, state)


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_a_missing_shard(folder, state, suffix):
    write_shards(folder, state, suffix)
    next(folder.glob(f"*00002-of*{suffix}")).unlink()
    with pytest.raises(CheckpointError, match=r"incomplete: 1 of 2 shards are missing, .*00002-of"):
        load_checkpoint(net(), folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read as an index"),
        ("[]", "cannot be read as an index"),
        ('{"weight_map": {}}', "it names no shard"),
        ('{"weight_map": {"a": "../b.safetensors"}}', "a shard is no file beside it"),
        ('{"weight_map": {"a": 3}}', "a shard is no file beside it"),
    ],
)
def test_a_damaged_index(folder, content, said):
    (folder / "model.safetensors.index.json").write_text(content)
    with pytest.raises(CheckpointError, match=said):
        load_checkpoint(net(), folder)


def test_an_index_that_names_more_than_the_shards_hold(folder, state):
    index = write_shards(folder, state, ".safetensors")
    places = json.loads(index.read_text())
    places["weight_map"]["2.weight"] = next(iter(places["weight_map"].values()))
    index.write_text(json.dumps(places))
    with pytest.raises(CheckpointError, match=r"names 2.weight, which is in no shard"):
        load_checkpoint(net(), folder)


def test_a_shard_that_would_run_code_does_not(folder, state):
    trap = folder / "trap"
    write_shards(folder, state, ".bin")

    class Bomb:
        def __reduce__(self):
            return os.system, (f"touch {trap}",)

    torch.save({"0.weight": Bomb()}, next(folder.glob("*00001-of*.bin")))
    with pytest.raises(CheckpointError, match="it was not run"):
        load_checkpoint(net(), folder)
    assert not trap.exists()


def test_folders_of_other_kinds(tmp_path):
    with pytest.raises(CheckpointError, match=r"is a folder that is empty\. Name a"):
        load_checkpoint(net(), tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"holds an adapter.* Merge the adapter"):
        load_checkpoint(net(), tmp_path)


def test_the_digest_of_a_folder_is_that_of_its_weights(folder, state):
    save_file(state, folder / "model.safetensors")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert checkpoint_digest(folder / "model.safetensors") == digest
    line = f"{digest}  model.safetensors\n".encode()
    assert checkpoint_digest(folder) == hashlib.sha256(line).hexdigest()
    before = checkpoint_digest(folder)
    (folder / "optimizer.bin").write_bytes(b"1")
    assert checkpoint_digest(folder) == before
    save_file({**state, "0.bias": torch.ones(3)}, folder / "model.safetensors")
    assert checkpoint_digest(folder) != before
