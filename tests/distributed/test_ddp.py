"""DistributedDataParallel with real processes: local gradients, and no bit changed."""

from __future__ import annotations

import contextlib
import random
import socket
import warnings

import numpy as np
import pytest
import torch
from programs import MODELS, batches, dataset, loss_of, same, state_of
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler

import noise_lens as nl
from noise_lens.capture.passive import PassiveCapture


def launch(job, world_size, folder, *arguments):
    """Run `job(rank, world_size, *arguments)` in so many processes; return what each returned."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.start_processes(
        _process, (job, world_size, port, str(folder), *arguments), world_size, start_method="fork"
    )
    return [torch.load(f"{folder}/{rank}.pt", weights_only=False) for rank in range(world_size)]


def _process(rank, job, world_size, port, folder, *arguments):
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world_size
    )
    torch.save(job(rank, world_size, *arguments), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def setting(kind, rank, world_size):
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    torch.manual_seed(7)
    model = MODELS[kind]()
    torch.manual_seed(100 + rank)  # ranks drop out other units
    sampler = DistributedSampler(dataset(kind), world_size, rank, shuffle=True)
    return model, DataLoader(dataset(kind), batch_size=8, sampler=sampler)


def train(rank, world_size, kind, seen, accumulate, n_steps, out):
    """One rank's training; under accumulation the first micro-batch of each step is not synced."""
    model, loader = setting(kind, rank, world_size)
    ddp = DistributedDataParallel(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    lens = contextlib.nullcontext()
    if seen:
        lens = nl.NoiseLens(
            ddp, optimizer, loss=loss_of,
            data=lambda: DataLoader(dataset(kind), batch_size=8, shuffle=True),
            schedule=nl.every(20), n_minibatches=100, out=out, loss_divisor=accumulate,
        )  # fmt: skip
    with lens:
        for index, batch in enumerate(batches(loader, n_steps * accumulate)):
            last = index % accumulate == accumulate - 1
            with contextlib.nullcontext() if last else ddp.no_sync():
                (loss_of(ddp, batch) / accumulate).backward()
            if last:
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                optimizer.step()
                optimizer.zero_grad()
    state = state_of(model, optimizer)
    if seen:
        return state, lens.problems, len(lens.measurements), lens.capture, lens.trend
    return state


@pytest.mark.parametrize(
    ("world_size", "kind", "accumulate", "n_steps"),
    [
        (2, "mlp", 2, 40),
        pytest.param(2, "mlp", 1, 200, marks=pytest.mark.slow),
        pytest.param(3, "transformer", 1, 200, marks=pytest.mark.slow),
        pytest.param(2, "cnn", 2, 200, marks=pytest.mark.slow),
    ],
)
def test_training_is_the_same_to_the_last_bit(tmp_path, world_size, kind, accumulate, n_steps):
    """Probes every 20 steps on every rank, passive capture in every backward pass."""
    seen = launch(train, world_size, tmp_path, kind, True, accumulate, n_steps, tmp_path / "run")
    bare = launch(train, world_size, tmp_path, kind, False, accumulate, n_steps, None)
    for (state, problems, n_probes, capture, _), without in zip(seen, bare, strict=True):
        assert problems == []
        assert n_probes == n_steps // 20
        assert capture["micro_batches_a_step"] == accumulate
        assert capture["world_size"] == world_size
        for part, value in without.items():
            assert same(state[part], value), part
    assert same(bare[0]["model"], bare[1]["model"]) or kind == "cnn"  # buffers are a rank's own
    run = nl.read_run(tmp_path / "run")
    assert {record["step"] for record in run.records} == set(range(20, n_steps + 1, 20))
    assert run.closed is not None
    if n_steps * accumulate >= 256:  # a window of each rank, and so one of their differences
        assert run.trend[0]["differences"] == "between ranks at the same weights"
        assert 0.5 < run.trend[0]["low"] < run.trend[0]["alpha"] <= 2


def wrong_loss(rank, world_size):
    """A loss that closes over the DDP model of the loop."""
    model, loader = setting("cnn", rank, world_size)
    ddp = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    lens = nl.NoiseLens(
        ddp, optimizer, loss=lambda _, batch: loss_of(ddp, batch),
        data=lambda: DataLoader(dataset("cnn"), batch_size=8), schedule=nl.every(2),
        n_minibatches=51,
    )  # fmt: skip
    with warnings.catch_warnings(), lens:
        warnings.simplefilter("ignore")
        for batch in batches(loader, 4):
            loss_of(ddp, batch).backward()
            optimizer.step()
            optimizer.zero_grad()
    return lens.problems


def test_a_loss_that_calls_the_ddp_model_is_refused_and_no_rank_waits(tmp_path):
    for problems in launch(wrong_loss, 2, tmp_path):
        assert len(problems) >= 2
        assert all("DistributedDataParallel model" in problem for problem in problems)


def capture_rows(rank, world_size, kind, accumulate):
    """Rows of the hooks, and the same gradients computed alone on this rank's minibatches."""
    model, loader = setting(kind, rank, world_size)
    model.eval()  # no dropout: the second computation must be of the same function
    alone = MODELS[kind]().eval()
    ddp = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    found, norms, problems = [], [], []

    def keep(rows):
        found.extend(rows.values)
        norms.extend(rows.norms)

    capture = PassiveCapture(
        dict(model.named_parameters()), n_coordinates=300, seed=1, on_rows=keep,
        on_problem=problems.append, loss_divisor=accumulate,
    )  # fmt: skip
    expected = []
    for index, batch in enumerate(batches(loader, 8 * accumulate)):
        alone.load_state_dict(model.state_dict())
        alone.zero_grad()
        loss_of(alone, batch).backward()
        own = dict(alone.named_parameters())
        expected.append([own[p.name].grad.flatten()[p.positions].numpy() for p in capture.picks])
        last = index % accumulate == accumulate - 1
        with contextlib.nullcontext() if last else ddp.no_sync():
            (loss_of(ddp, batch) / accumulate).backward()
        if last:
            optimizer.step()
            capture.end_step()
            optimizer.zero_grad()
    reduced = [p.detach().clone() for p in model.parameters()]
    capture.drain()
    capture.remove()
    counts = np.cumsum([pick.count for pick in capture.picks])[:-1]
    return found, [np.split(row, counts) for row in found], expected, problems, reduced


@pytest.mark.parametrize(
    ("world_size", "accumulate"),
    [(2, 2), pytest.param(3, 1, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("kind", ["mlp", "transformer"])
def test_rows_are_this_ranks_own_gradients(tmp_path, kind, world_size, accumulate):
    """Before the reduction, each micro-batch apart: to 1e-5 of the row, tensor by tensor."""
    results = launch(capture_rows, world_size, tmp_path, kind, accumulate)
    for _, rows, expected, problems, _ in results:
        assert problems == []
        assert len(rows) == len(expected) == 8 * accumulate
        for row, exact in zip(rows, expected, strict=True):
            for part, own in zip(row, exact, strict=True):
                assert np.linalg.norm(part - own) <= 1e-5 * np.linalg.norm(own)
    assert not np.array_equal(results[0][0][0], results[1][0][0])  # ranks have other minibatches
    for one, two in zip(results[0][4], results[1][4], strict=True):
        assert torch.equal(one, two)  # and yet the same weights
