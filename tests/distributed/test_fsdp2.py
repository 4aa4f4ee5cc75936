"""FSDP2 with real processes: local gradients, shards of probes, and no bit changed."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch
from processes import BFLOAT16, launch, loader_of, sharded
from programs import MODELS, batches, dataset, loss_of, same, state_of
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.utils.data import DataLoader

import noise_lens as nl
from noise_lens.capture.passive import PassiveCapture
from noise_lens.capture.passive.taps import Taps
from noise_lens.lens.watch import watched_parameters


def local(value):
    """Shards as plain tensors, which can be compared and saved."""
    if isinstance(value, torch.Tensor):
        return (value.to_local() if hasattr(value, "to_local") else value).detach().clone()
    if isinstance(value, dict):
        return {key: local(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [local(one) for one in value]
    return value


def train(rank, world_size, kind, seen, n_steps, accumulate, out, how):
    """One rank's training; under accumulation all micro-batches but the last are not synced."""
    in_backward = how == "optimizer in backward"
    model = sharded(kind, BFLOAT16 if how == "bfloat16" else None)
    loader = loader_of(kind, rank, world_size)
    parameters = list(model.parameters())
    if in_backward:
        optimizers = {p: torch.optim.Adam([p], lr=1e-2) for p in parameters}

        def step(parameter):
            optimizers[parameter].step()
            optimizers[parameter].zero_grad()

        for p in parameters:
            p.register_post_accumulate_grad_hook(step)
        optimizer = list(optimizers.values())
    else:
        optimizer = torch.optim.Adam(parameters, lr=1e-2)
    lens = contextlib.nullcontext()
    if seen:
        lens = nl.NoiseLens(
            model, optimizer, loss=loss_of,
            data=lambda: DataLoader(dataset(kind), batch_size=8, shuffle=True),
            schedule=nl.every(20), n_minibatches=50, out=out, loss_divisor=accumulate,
        )  # fmt: skip
    with lens:
        for index, batch in enumerate(batches(loader, n_steps * accumulate)):
            last = index % accumulate == accumulate - 1
            if index % accumulate == 0 and not in_backward:
                optimizer.zero_grad()  # late: gradients are there while a probe runs
            model.set_requires_gradient_sync(last)
            (loss_of(model, batch) / accumulate).backward()
            if last and not in_backward:
                model.set_requires_gradient_sync(accumulate == 1)  # early
                nn.utils.clip_grad_norm_(parameters, 0.5)
                optimizer.step()
    states = (
        [state_of(model, one) for one in optimizer] if in_backward else [state_of(model, optimizer)]
    )
    state = local({str(number): state for number, state in enumerate(states)})
    if seen:
        return state, lens.problems, len(lens.measurements), lens.capture, lens.trend
    return state


@pytest.mark.parametrize(
    ("world_size", "kind", "n_steps", "accumulate", "how"),
    [
        (2, "mlp", 30, 1, "plain"),
        pytest.param(2, "mlp", 200, 1, "plain", marks=pytest.mark.slow),
        pytest.param(2, "transformer", 200, 1, "plain", marks=pytest.mark.slow),
        pytest.param(3, "mlp", 200, 2, "plain", marks=pytest.mark.slow),
        pytest.param(2, "mlp", 200, 1, "optimizer in backward", marks=pytest.mark.slow),
        pytest.param(2, "transformer", 60, 1, "bfloat16", marks=pytest.mark.slow),
    ],
)
def test_training_is_the_same_to_the_last_bit(tmp_path, world_size, kind, n_steps, accumulate, how):
    """Probes of 50 minibatches every 20 steps, passive capture in every backward pass."""
    out = tmp_path / "run"
    seen = launch(train, world_size, tmp_path, kind, True, n_steps, accumulate, out, how)
    bare = launch(train, world_size, tmp_path, kind, False, n_steps, accumulate, None, how)
    for (state, problems, n_probes, capture, trend), without in zip(seen, bare, strict=True):
        assert problems == []
        assert n_probes == n_steps // 20
        assert "whole parameters of fully_shard" in capture["point"]
        assert capture["reduced"] is False
        assert capture["micro_batches_a_step"] == accumulate
        windows, rest = divmod(n_steps * accumulate, 256)
        assert len(trend) == windows + (rest >= 64)
        assert same(state, without)
    run = nl.read_run(out)
    assert {record["step"] for record in run.records} == set(range(20, n_steps + 1, 20))
    assert run.manifest["split"] == "shards"
    assert run.warnings == []


def capture_rows(rank, world_size, kind, accumulate, dtype, reduced, hybrid=False):
    """Rows of the taps, and the same gradients computed alone on this rank's minibatches."""
    policy = BFLOAT16 if dtype is torch.bfloat16 else None
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("copy", "shard")) if hybrid else None
    model = sharded(kind, policy, mesh).eval()  # no dropout: it is computed a second time
    alone = MODELS[kind]().eval()
    loader = loader_of(kind, rank, world_size)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    parameters = watched_parameters(model)
    found, norms, problems, expected, sizes = [], [], [], [], []

    def keep(rows):
        found.extend(rows.values)
        norms.extend(rows.norms)

    taps = Taps(parameters, model, reduced=reduced)
    capture = PassiveCapture(
        parameters, n_coordinates=300, seed=1, on_rows=keep, on_problem=problems.append,
        loss_divisor=1 if reduced else accumulate, taps=taps,
    )  # fmt: skip
    for index, batch in enumerate(batches(loader, 8 * accumulate)):
        whole = {n: p.full_tensor().detach() for n, p in model.named_parameters()}
        with torch.no_grad():
            for name, parameter in alone.named_parameters():
                parameter.copy_(whole[name])
        alone.zero_grad()
        loss_of(alone, batch).backward()
        own = {name: p.grad for name, p in alone.named_parameters()}
        if reduced:  # what FSDP2 reduces to, one minibatch a rank
            for gradient in own.values():
                torch.distributed.all_reduce(gradient)
                gradient.div_(world_size)
        places = [
            _in_whole(parameters[p.name], p) if reduced else p.positions for p in capture.picks
        ]
        expected.append(
            [own[p.name].flatten()[at].numpy() for p, at in zip(capture.picks, places, strict=True)]
        )
        sizes.append([float(own[p.name].norm()) for p in capture.picks])
        last = index % accumulate == accumulate - 1
        model.set_requires_gradient_sync(last)
        (loss_of(model, batch) / accumulate).backward()
        if last:
            optimizer.step()
            capture.end_step()
            optimizer.zero_grad()
    capture.drain()
    capture.remove()
    counts = np.cumsum([pick.count for pick in capture.picks])[:-1]
    seen = [np.split(row, counts) for row in found]
    names = {n: (taps.own(n).stop - taps.own(n).start, p.numel()) for n, p in parameters.items()}
    return names, seen, expected, problems, (norms, sizes), taps.facts, taps.sees_nothing


def _in_whole(parameter, pick):
    """Indices in the whole tensor, by a second way: a sharded tensor of all indices."""
    from torch.distributed.tensor import distribute_tensor

    indices = torch.arange(parameter.numel()).view(parameter.shape)
    mine = distribute_tensor(indices, parameter.device_mesh, parameter.placements).to_local()
    return mine.flatten()[pick.positions].numpy()


def close(rows, expected, tolerance):
    assert len(rows) == len(expected) > 0
    for row, exact in zip(rows, expected, strict=True):
        for part, own in zip(row, exact, strict=True):
            assert part.shape == own.shape
            assert np.linalg.norm(part - own) <= tolerance * np.linalg.norm(own)


@pytest.mark.parametrize(
    ("world_size", "kind", "accumulate"),
    [
        (2, "mlp", 2),
        (2, "transformer", 1),
        pytest.param(3, "transformer", 2, marks=pytest.mark.slow),
    ],
)
def test_rows_are_this_ranks_own_gradients(tmp_path, world_size, kind, accumulate):
    """Whole, before the reduction, each micro-batch apart, on every coordinate of every rank."""
    results = launch(capture_rows, world_size, tmp_path, kind, accumulate, None, False)
    for names, rows, expected, problems, (norms, sizes), _, nothing in results:
        assert problems == []
        assert not nothing
        assert len(rows) == 8 * accumulate
        assert sum(len(part) for part in rows[0]) >= 2 * len(names)
        close(rows, expected, 1e-5)
        assert np.allclose(norms, sizes, rtol=1e-5, atol=0)
    assert not np.array_equal(results[0][1][0][0], results[1][1][0][0])
    for name, (_, numel) in results[0][0].items():  # sums of every coordinate are kept once
        assert sum(names[name][0] for names, *_ in results) == numel


def test_rows_under_mixed_precision(tmp_path):
    """bfloat16 parameters, float32 reduction: the gradient is what bfloat16 gives."""
    for _, rows, expected, problems, *_ in launch(
        capture_rows, 2, tmp_path, "mlp", 1, torch.bfloat16, False
    ):
        assert problems == []
        close(rows, expected, 2e-2)
        assert not np.allclose(rows[0][0], expected[0][0], rtol=1e-5)  # it is bfloat16


@pytest.mark.slow
def test_rows_of_a_hybrid_mesh(tmp_path):
    """Two copies of two shards: still each rank's own gradient."""
    for _, rows, expected, problems, *_ in launch(
        capture_rows, 4, tmp_path, "mlp", 1, None, False, True
    ):
        assert problems == []
        close(rows, expected, 1e-5)


@pytest.mark.parametrize("world_size", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_without_whole_parameters_rows_are_reduced_shards(tmp_path, world_size):
    """The way out for a version that keeps no whole parameters: every coordinate once."""
    results = launch(capture_rows, world_size, tmp_path, "mlp", 1, None, True)
    for _, rows, expected, problems, _, facts, _ in results:
        assert problems == []
        close(rows, expected, 1e-5)
        assert facts["point"] == f"reduced shards (mean over {world_size} ranks)"
        assert facts["reduced"] is True
    assert sum(len(part) for result in results for part in result[1][0]) == 300


def collectives(rank, world_size, seen):
    """What passes between the ranks in five steps, by name."""
    model = sharded("mlp")
    loader = loader_of("mlp", rank, world_size)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nl.NoiseLens(model, optimizer) if seen else contextlib.nullcontext():
        loss_of(model, next(iter(loader))).backward()
        optimizer.step()
        with torch.profiler.profile() as profile:
            for batch in batches(loader, 5):
                optimizer.zero_grad()
                loss_of(model, batch).backward()
                optimizer.step()
    return {e.key: e.count for e in profile.key_averages() if e.key.startswith("c10d::")}


def test_passive_capture_talks_to_nobody(tmp_path):
    seen, bare = launch(collectives, 2, tmp_path, True), launch(collectives, 2, tmp_path, False)
    assert seen == bare
    assert seen[0]["c10d::_reduce_scatter_base_"] == 10
