"""Folders of torch.distributed.checkpoint: what torch writes is read, what would run is not."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.distributed import checkpoint as dcp

from noise_lens import CheckpointError
from noise_lens.tasks import load_checkpoint
from noise_lens.tasks.checkpoint.files import open_checkpoint
from noise_lens.tasks.checkpoint.metadata import read_metadata

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
TWO_RANKS = Path(__file__).parent / "save_distributed.py"


def net():
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def trained():
    model = net()
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(8, 4)).square().sum().backward()
    optimizer.step()
    return model, optimizer


def same(path, state):
    """A fresh model has these weights after loading."""
    model = net()
    load_checkpoint(model, path)
    return all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.fixture
def saved(tmp_path):
    """A nested checkpoint, and the state dict in it."""
    model, optimizer = trained()
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": 7}
    dcp.save(content, checkpoint_id=tmp_path / "saved")
    return tmp_path / "saved", model.state_dict()


def replace_metadata(folder, change):
    """Load the metadata with plain pickle, change it and write it back."""
    path = folder / ".metadata"
    metadata = pickle.loads(path.read_bytes())
    change(metadata)
    path.write_bytes(pickle.dumps(metadata))


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_flat_state_dict(tmp_path):
    state = trained()[0].state_dict()
    dcp.save(dict(state), checkpoint_id=tmp_path)
    assert same(tmp_path, state)
    assert open_checkpoint(tmp_path).step is None


def test_the_model_beside_the_optimizer(saved):
    folder, state = saved
    assert same(folder, state)
    assert open_checkpoint(folder).step == 7


def test_a_stateful_application(tmp_path):
    model, optimizer = trained()

    class Application(dcp.stateful.Stateful):
        def state_dict(self):
            return {"net": model.state_dict(), "optim": optimizer.state_dict()}

        def load_state_dict(self, state):
            raise AssertionError

    progress = {"step": torch.tensor(12), "epoch": 3}
    dcp.save({"app": Application(), "progress": progress}, checkpoint_id=tmp_path)
    assert same(tmp_path, model.state_dict())
    assert open_checkpoint(tmp_path).step == 12


@pytest.mark.parametrize("readable", [True, False])
def test_a_folder_of_lightning(tmp_path, readable):
    """Its strategies write the module's state dict under "model", and the rest into meta.pt."""
    state = trained()[0].state_dict()
    wrapped = {f"net.{name}": value for name, value in state.items()}
    wrapped["criterion.weight"] = torch.ones(2)
    dcp.save({"model": wrapped}, checkpoint_id=tmp_path)
    notes = {"global_step": 40, "hyper_parameters": {} if readable else {"trap": Bomb(tmp_path)}}
    torch.save(notes, tmp_path / "meta.pt")
    assert same(tmp_path, state)
    assert open_checkpoint(tmp_path).step == (40 if readable else None)


def test_the_usual_key_goes_before_a_copy(tmp_path):
    state = trained()[0].state_dict()
    copy = {name: value + 1 for name, value in state.items()}
    dcp.save({"ema": copy, "model": state}, checkpoint_id=tmp_path / "usual")
    assert same(tmp_path / "usual", state)
    dcp.save({"ema": copy, "student": state}, checkpoint_id=tmp_path / "unusual")
    with pytest.raises(CheckpointError, match=r"2 times, under 'ema\.' and 'student\.'"):
        load_checkpoint(net(), tmp_path / "unusual")


def test_only_the_tensors_of_the_model_are_read(saved, monkeypatch):
    from noise_lens.tasks.checkpoint import distributed

    folder, state = saved
    read = []
    real = distributed._load_slice
    monkeypatch.setattr(
        distributed, "_load_slice", lambda folder, piece: read.append(piece) or real(folder, piece)
    )
    assert same(folder, state)
    assert len(read) == len(state) + 1  # and the step


@pytest.mark.slow
@pytest.mark.parametrize("form", ["save", "async"])
def test_two_ranks_of_fsdp(form, tmp_path):
    """DTensors in blocks, written by two processes; the whole ones were kept beside by torch."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, str(TWO_RANKS), str(tmp_path), form], check=True, env=environment,
        capture_output=True, timeout=300,
    )  # fmt: skip
    folder, state = tmp_path / "sharded", torch.load(tmp_path / "whole.pt", weights_only=True)
    metadata = read_metadata(folder / ".metadata")
    assert len(metadata.chunks["model.0.weight"]) == 2
    assert len(list(folder.glob("*.distcp"))) == 2
    assert same(folder, state)
    assert open_checkpoint(folder).step == 9
    next(iter(sorted(folder.glob("__1_*")))).unlink()
    with pytest.raises(CheckpointError, match=r"1 of 2 shards are missing, __1_0\.distcp"):
        load_checkpoint(net(), folder)


@pytest.mark.parametrize("place", ["whole", "planner_data", "storage_meta"])
def test_metadata_that_would_run_code_does_not(saved, tmp_path, place):
    folder, _ = saved
    trap = tmp_path / "trap"
    if place == "whole":
        (folder / ".metadata").write_bytes(pickle.dumps(Bomb(trap)))
    else:
        replace_metadata(folder, lambda metadata: setattr(metadata, place, Bomb(trap)))
    with pytest.raises(CheckpointError, match=r"wants to run (posix|nt)\.system, .* not run"):
        load_checkpoint(net(), folder)
    assert not trap.exists()


@pytest.mark.parametrize(
    "code",
    [
        b"cbuiltins\neval\n(V1\ntR.",
        b"cbuiltins\ngetattr\n.",
        b"ctorch\nload\n.",
        b"ctorch\nhub.load\n.",
        b"ctorch.serialization\n_get_layout.__globals__\n.",
        b"\x80\x04\x8c\x05torch\x8c\x0bSize.__new__\x93.",
        b"(iposix\nsystem\n.",
        b"\x82\x01.",
    ],
)
def test_no_other_name_is_reached(saved, code):
    folder, _ = saved
    (folder / ".metadata").write_bytes(code)
    with pytest.raises(CheckpointError, match=r"wants to run|is damaged"):
        load_checkpoint(net(), folder)


def test_nothing_of_torch_is_changed_by_metadata(saved):
    """A pickle may set attributes of what it names: here of stand-ins, not of torch's classes."""
    from torch.distributed.checkpoint.metadata import Metadata

    folder, _ = saved
    before = dict(vars(Metadata))
    name = b"ctorch.distributed.checkpoint.metadata\nMetadata\n"
    (folder / ".metadata").write_bytes(b"\x80\x02" + name + b"N}U\x08__init__K\x01s\x86b.")
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(net(), folder)
    assert dict(vars(Metadata)) == before


def test_a_shard_that_would_run_code_does_not(saved, tmp_path):
    folder, _ = saved
    trap = tmp_path / "trap"
    shard = next(folder.glob("*.distcp"))
    bad = tmp_path / "bad.pt"
    torch.save(Bomb(trap), bad)
    content = bad.read_bytes()

    def point_to_it(metadata):
        for index, info in metadata.storage_data.items():
            if index.fqn == "model.0.weight":
                info.offset, info.length = shard.stat().st_size, len(content)

    replace_metadata(folder, point_to_it)
    with shard.open("ab") as file:
        file.write(content)
    with pytest.raises(CheckpointError, match=r"distcp holds a pickle that can run code.* not run"):
        load_checkpoint(net(), folder)
    assert not trap.exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_truncated_metadata(saved, share):
    path = saved[0] / ".metadata"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match=r"is damaged, or is no metadata"):
        load_checkpoint(net(), saved[0])


def test_other_pickles_are_no_metadata(saved):
    for other in ({"a": 1}, None, [1], torch.Size([3])):
        (saved[0] / ".metadata").write_bytes(pickle.dumps(other))
        with pytest.raises(CheckpointError, match="stands where a record should"):
            load_checkpoint(net(), saved[0])


def test_flipped_bytes_give_one_kind_of_error(saved):
    """Whatever a damaged byte does to a pickle, it is a CheckpointError or changes nothing."""
    path = saved[0] / ".metadata"
    content = bytearray(path.read_bytes())
    n_refused = 0
    for position in range(0, len(content), 97):
        damaged = bytearray(content)
        damaged[position] ^= 0x5A
        path.write_bytes(damaged)
        try:
            assert same(*saved)
        except CheckpointError:
            n_refused += 1
    assert n_refused > 20


def test_missing_and_truncated_shards(saved):
    folder, _ = saved
    shard = next(folder.glob("*.distcp"))
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    with pytest.raises(CheckpointError, match=r"incomplete: __0_0.distcp has [\d,]+ bytes"):
        load_checkpoint(net(), folder)
    shard.write_bytes(bytes(len(content)))
    with pytest.raises(CheckpointError, match=r"__0_0.distcp (holds a pickle|cannot be read)"):
        load_checkpoint(net(), folder)
    shard.unlink()
    with pytest.raises(CheckpointError, match=r"1 of 1 shards are missing, __0_0\.distcp"):
        load_checkpoint(net(), folder)
    shard.write_bytes(content)
    (folder / ".metadata").unlink()
    with pytest.raises(CheckpointError, match=r"without its .metadata, which is written last"):
        load_checkpoint(net(), folder)


def of_weight(metadata):
    return metadata.state_dict_metadata["model.0.weight"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: of_weight(m).chunks.clear(), r"hold 0 of 12 numbers"),
        (lambda m: setattr(of_weight(m).chunks[0], "sizes", torch.Size([2, 4])),
         r"holds \(3, 4\) for a block of \(2, 4\)"),
        (lambda m: setattr(next(iter(m.storage_data.values())), "relative_path", "../x"),
         "is no file beside it"),
        (lambda m: setattr(next(iter(m.storage_data.values())), "offset", -1), "are no sizes"),
        (lambda m: setattr(next(iter(m.storage_data.values())), "transform_descriptors", ["zstd"]),
         "is compressed or encrypted"),
    ],
)  # fmt: skip
def test_metadata_that_contradicts_itself(saved, change, said):
    replace_metadata(saved[0], change)
    with pytest.raises(CheckpointError, match=said):
        load_checkpoint(net(), saved[0])


def test_blocks_that_leave_a_hole_or_stick_out(tmp_path):
    """A tensor of which a rank's block is missing must not come with what memory held before."""
    dcp.save({"weight": torch.ones(2, 4), "bias": torch.ones(2)}, checkpoint_id=tmp_path)

    def widen(metadata):
        metadata.state_dict_metadata["weight"].size = torch.Size([3, 4])
        metadata.state_dict_metadata["bias"].size = torch.Size([3])

    replace_metadata(tmp_path, widen)
    with pytest.raises(CheckpointError, match=r"hold [28] of (3|12) numbers"):
        load_checkpoint(nn.Linear(4, 3), tmp_path)

    def narrow(metadata):
        metadata.state_dict_metadata["weight"].size = torch.Size([1, 4])
        metadata.state_dict_metadata["bias"].size = torch.Size([1])

    replace_metadata(tmp_path, narrow)
    with pytest.raises(CheckpointError, match=r"does not lie in"):
        load_checkpoint(nn.Linear(4, 1), tmp_path)


def test_one_of_another_model(saved):
    with pytest.raises(CheckpointError, match=r"does not fit .* unexpected: 1\.running_mean"):
        load_checkpoint(nn.Sequential(*(nn.Linear(4, 3) for _ in range(3))), saved[0])


def test_the_nearest_state_dict_is_told(saved):
    """What does not fit is compared with the model that is there, not with its optimizer."""
    with pytest.raises(CheckpointError, match=r"missing: in_proj_weight, .*unexpected: 0\.weight,"):
        load_checkpoint(nn.MultiheadAttention(4, 2), saved[0])
