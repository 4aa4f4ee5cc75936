"""Tensor parallel with real processes: each rank's own coordinates, each of them once."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from processes import launch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)
from torch.utils.data import DataLoader, TensorDataset

import noise_lens as nl
from noise_lens.capture.passive import PassiveCapture
from noise_lens.capture.passive.shards import box_of, stretch_of
from noise_lens.capture.passive.taps import Taps


def build():
    """By columns, by rows, and a part that every rank holds."""
    torch.manual_seed(7)
    return nn.Sequential(
        nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 5), nn.Dropout(0.2), nn.Linear(5, 1)
    )


def parallel(world_size):
    mesh = init_device_mesh("cpu", (world_size,))
    return parallelize_module(build(), mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})


def examples():
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(64, 6, generator=generator)
    return TensorDataset(x, x.sum(dim=1, keepdim=True))


def loss_of(model, batch):
    return (model(batch[0]) - batch[1]).square().mean()


def capture_rows(rank, world_size):
    """What the hooks of this rank saw, column by column of the whole model."""
    model, alone = parallel(world_size).eval(), build().eval()
    parameters, problems, found = dict(model.named_parameters()), [], []
    taps = Taps(parameters, model)
    capture = PassiveCapture(
        parameters, n_coordinates=60, seed=1, on_rows=lambda rows: found.extend(rows.values),
        on_problem=problems.append, taps=taps,
    )  # fmt: skip
    expected = []
    for batch in DataLoader(examples(), batch_size=8):
        alone.zero_grad()
        loss_of(alone, batch).backward()
        own = {name: p.grad for name, p in alone.named_parameters()}
        expected.append(
            np.concatenate(
                [
                    own[n].flatten()[at]
                    for n, at in zip(capture.names, capture.positions, strict=True)
                ]
            )
        )
        loss_of(model, batch).backward()
        capture.end_step()
    capture.drain()
    capture.remove()
    return found, expected, problems, [pick.count for pick in capture.picks], taps.facts


@pytest.mark.parametrize("world_size", [2, 3])
def test_every_coordinate_is_seen_on_one_rank(tmp_path, world_size):
    """Rows of the ranks side by side are those of one process."""
    results = launch(capture_rows, world_size, tmp_path)
    counts = np.array([result[3] for result in results])
    assert counts.sum() == len(results[0][1][0]) == 60
    assert (counts[1:, -3:] == 0).all()  # what every rank holds is counted on the first
    assert (counts[0, -3:] > 0).all()
    assert (counts[:, :3].sum(axis=1) > 0).all()
    for found, expected, problems, _, facts in results:
        assert problems == []
        assert len(found) == len(expected) == 8
        assert "no independent samples" in facts["rank_correction"]
    for index, exact in enumerate(results[0][1]):
        # Within a tensor the order is by rank: compare what is there, tensor by tensor.
        parts = [np.split(r[0][index], np.cumsum(r[3])[:-1]) for r in results]
        ends = np.cumsum(counts.sum(axis=0))[:-1]
        for tensor, whole in enumerate(np.split(exact, ends)):
            together = np.sort(np.concatenate([part[tensor] for part in parts]))
            gap = np.linalg.norm(together - np.sort(whole))
            assert gap <= 1e-5 * np.linalg.norm(whole)


def boxes(rank, world_size):
    """Boxes of several placements against shards of a tensor of all indices."""
    mesh = init_device_mesh("cpu", (world_size,))
    wide = init_device_mesh("cpu", (2, world_size // 2)) if world_size == 4 else None
    cases = [(mesh, [Shard(0)]), (mesh, [Shard(1)]), (mesh, [Replicate()])]
    if wide is not None:
        cases += [(wide, [Replicate(), Shard(0)]), (wide, [Shard(1), Shard(0)])]
        cases += [(wide, [Shard(0), Shard(0)])]
    answers = []
    for where, placements in cases:
        for shape in ((5, 7, 2), (2, 3), (1, 4), (9, 1)):
            whole = torch.arange(int(np.prod(shape))).view(shape)
            tensor = distribute_tensor(whole, where, placements)
            box = box_of(tensor)
            if box is None:
                answers.append((len(answers), None, None))
                continue
            inside = tuple(slice(o, o + n) for o, n in zip(*box, strict=True))
            assert torch.equal(whole[inside], tensor.to_local())
            stretch = stretch_of(box, torch.Size(shape))
            if stretch is not None:
                assert torch.equal(whole.flatten()[slice(*stretch)], tensor.to_local().flatten())
            answers.append((len(answers), whole[inside].flatten().tolist(), whole.numel()))
    return answers


@pytest.mark.parametrize("world_size", [3, 4])
def test_boxes_are_the_shards_and_cover_each_element_once(tmp_path, world_size):
    for answers in zip(*launch(boxes, world_size, tmp_path), strict=True):
        numel = next(n for _, held, n in answers if held is not None)
        held = [index for _, part, _ in answers if part is not None for index in part]
        assert sorted(held) == list(range(numel))


def sequence_parallel(rank, world_size):
    """The norm's gradients are sums over ranks that nobody has added up yet."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 8), nn.Linear(8, 6))
    plan = {
        "0": SequenceParallel(),
        "1": ColwiseParallel(input_layouts=Shard(1)),
        "2": RowwiseParallel(output_layouts=Shard(1)),
    }
    parallelize_module(model, init_device_mesh("cpu", (world_size,)), plan)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nl.NoiseLens(model, optimizer, preset="full") as lens:
        x = torch.randn(4, 2 * world_size, 6).chunk(world_size, dim=1)[rank]
        model(x).square().mean().backward()
        optimizer.step()
    return lens.capture, lens.problems


def test_partial_sums_are_not_read(tmp_path):
    for rank, (capture, problems) in enumerate(launch(sequence_parallel, 2, tmp_path)):
        assert problems == []
        # Copies are the first rank's to read.
        assert capture.get("not_read", []) == ([] if rank else ["0.bias", "0.weight"])


def train(rank, world_size, seen):
    model = parallel(world_size)
    torch.manual_seed(11)  # all ranks drop out the same units
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    loader = DataLoader(examples(), batch_size=8, shuffle=True)
    lens, messages = None, []
    if seen:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            lens = nl.NoiseLens(
                model, optimizer, loss=loss_of, data=loader, schedule=nl.every(20), preset="full"
            )
        messages = [str(one.message) for one in caught]
        lens.attach()
    for _ in range(6):
        for batch in loader:
            optimizer.zero_grad()
            loss_of(model, batch).backward()
            optimizer.step()
    if seen:
        lens.close()
    state = [p.to_local() if hasattr(p, "to_local") else p for p in model.parameters()]
    state = [p.detach() for p in state] + [torch.get_rng_state()]
    return state, messages, lens and (lens.problems, lens.measurements, lens.capture)


def test_training_is_the_same_to_the_last_bit_and_probes_are_off(tmp_path):
    seen = launch(train, 2, tmp_path, True)
    bare = launch(train, 2, tmp_path, False)
    for (state, messages, about), (without, *_) in zip(seen, bare, strict=True):
        assert all(one.abs().sum() > 0 for one in state)
        assert all(torch.equal(one, two) for one, two in zip(state, without, strict=True))
        assert len(messages) == 1
        assert "probes are off: a probe cannot read this model: tensor-parallel" in messages[0]
        assert "noise-lens measure" in messages[0]
        problems, measurements, capture = about
        assert len(problems) == 1
        assert capture["n_lost"] == 0
        assert measurements == []
        assert capture["point"].startswith("tensor hooks: this rank's shards")
