"""FSDP2 with real processes: local gradients, shards of probes, and no bit changed."""

from __future__ import annotations

import contextlib
import random
import warnings

import numpy as np
import pytest
import torch
from processes import launch
from programs import MODELS, batches, dataset, loss_of, same, state_of
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.utils.data import DataLoader, DistributedSampler

import noise_lens as nl
from noise_lens.capture import probe
from noise_lens.capture.passive import PassiveCapture
from noise_lens.capture.passive.taps import Taps
from noise_lens.capture.seeding import derived_seed
from noise_lens.lens.watch import watched_parameters
from noise_lens.tasks import minibatches_of


def sharded(kind, policy=None, mesh=None, **options):
    """A seeded model under fully_shard, block by block and then the rest."""
    warnings.filterwarnings("ignore", ".*returned a view tensor")  # the model's own flatten
    torch.manual_seed(7)
    model = MODELS[kind]()
    options |= {"mesh": mesh} | ({} if policy is None else {"mp_policy": policy})
    blocks = model.body.layers if kind == "transformer" else model
    for block in blocks:
        if any(p.requires_grad for p in block.parameters()):
            fully_shard(block, **options)
    return fully_shard(model, **options)


def loader_of(kind, rank, world_size):
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    torch.manual_seed(100 + rank)  # ranks drop out other units
    sampler = DistributedSampler(dataset(kind), world_size, rank, shuffle=True)
    return DataLoader(dataset(kind), batch_size=8, sampler=sampler)


def local(value):
    """Shards as plain tensors, which can be compared and saved."""
    if isinstance(value, torch.Tensor):
        return (value.to_local() if hasattr(value, "to_local") else value).detach().clone()
    if isinstance(value, dict):
        return {key: local(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [local(one) for one in value]
    return value


def train(rank, world_size, kind, seen, n_steps, accumulate, out, in_backward=False):
    """One rank's training; under accumulation all micro-batches but the last are not synced."""
    model = sharded(kind)
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
    ("world_size", "kind", "n_steps", "accumulate", "in_backward"),
    [
        pytest.param(2, "mlp", 40, 1, False),
        pytest.param(2, "mlp", 200, 1, False, marks=pytest.mark.slow),
        pytest.param(2, "transformer", 200, 1, False, marks=pytest.mark.slow),
        pytest.param(3, "mlp", 200, 2, False, marks=pytest.mark.slow),
        pytest.param(2, "mlp", 200, 1, True, marks=pytest.mark.slow),
    ],
)
def test_training_is_the_same_to_the_last_bit(
    tmp_path, world_size, kind, n_steps, accumulate, in_backward
):
    """Probes of 50 minibatches every 20 steps, passive capture in every backward pass."""
    out = tmp_path / "run"
    seen = launch(train, world_size, tmp_path, kind, True, n_steps, accumulate, out, in_backward)
    bare = launch(train, world_size, tmp_path, kind, False, n_steps, accumulate, None, in_backward)
    for (state, problems, n_probes, capture, trend), without in zip(seen, bare, strict=True):
        assert problems == []
        assert n_probes == n_steps // 20
        assert "whole parameters of fully_shard" in capture["point"]
        assert capture["reduced"] is False
        assert capture["micro_batches_a_step"] == accumulate
        assert len(trend) == n_steps * accumulate // 256
        assert same(state, without)
    run = nl.read_run(out)
    assert {record["step"] for record in run.records} == set(range(20, n_steps + 1, 20))
    assert run.manifest["split"] == "shards"
    assert run.warnings == []


def capture_rows(rank, world_size, kind, accumulate, dtype, reduced, hybrid=False):
    """Rows of the taps, and the same gradients computed alone on this rank's minibatches."""
    policy = (
        None
        if dtype is None
        else MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    )
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
                gradient /= world_size
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
    names = [pick.name for pick in capture.picks]
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


def test_rows_under_mixed_precision(tmp_path):
    """bfloat16 parameters, float32 reduction: the gradient is what bfloat16 gives."""
    for _, rows, expected, problems, *_ in launch(
        capture_rows, 2, tmp_path, "mlp", 1, torch.bfloat16, False
    ):
        assert problems == []
        norm = np.linalg.norm(np.concatenate(expected[0]))
        for row, exact in zip(rows, expected, strict=True):
            gap = np.linalg.norm(np.concatenate(row) - np.concatenate(exact))
            assert 1e-6 * norm < gap <= 2e-2 * np.linalg.norm(np.concatenate(exact))


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


def linear():
    """A bias of one row: shards without elements on all ranks but the first."""
    return nn.Sequential(nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 1), nn.Linear(1, 4))


def take_probes(rank, world_size, out, reference):
    """One closing probe of a lens, at weights that one step of training has moved."""
    MODELS["linear"] = linear
    model = sharded("linear")
    loader = loader_of("mlp", rank, world_size)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nl.NoiseLens(
        model, optimizer, loss=loss_of, data=loader, n_minibatches=60,
        schedule=lambda step: step == 1,
        reference=reference, seed=3, out=out, groups="tensor",
    ) as lens:  # fmt: skip
        loss_of(model, next(iter(loader))).backward()
        optimizer.step()
        whole = {name: p.full_tensor().detach() for name, p in model.named_parameters()}
        loss_of(model, next(iter(loader))).backward()
        optimizer.step()
    return whole, lens.problems, [m.sketch for m in lens.measurements], lens.capture


@pytest.mark.parametrize(
    ("world_size", "reference"),
    [
        (2, "pair"),
        (3, "full"),
        pytest.param(2, "full", marks=pytest.mark.slow),
        pytest.param(2, "mean", marks=pytest.mark.slow),
        pytest.param(3, "pair", marks=pytest.mark.slow),
    ],
)
def test_merged_shards_are_the_rows_of_one_process(tmp_path, world_size, reference):
    """Minibatches of W x b examples, drawn alike: coordinates, projections, norms, counts."""
    from noise_lens.merging import merged_measurement

    results = launch(take_probes, world_size, tmp_path, tmp_path / "run", reference)
    assert [problems for _, problems, *_ in results] == [[]] * world_size
    merged, records, _ = merged_measurement(tmp_path / "run", step=1)
    model = linear()
    model.load_state_dict(results[0][0])
    alone = probe(
        model, loss_of, minibatches_of(dataset("mlp")), n_minibatches=60,
        batch_size=8 * world_size, seed=derived_seed(3, "probe", "1"), sketch_seed=3,
        groups="tensor", reference=reference,
    )  # fmt: skip
    assert merged.batch_size == alone.batch_size == 8 * world_size
    assert f"the mean gradient of {world_size} ranks, {world_size} x 8" in merged.sampling
    assert merged.tensors == alone.tensors
    assert np.allclose(merged.losses, alone.losses, rtol=1e-5)
    assert [group.name for group in merged.groups] == [group.name for group in alone.groups]
    for ours, one in zip(merged.groups, alone.groups, strict=True):
        assert ours.n_parameters == one.n_parameters
        assert np.array_equal(ours.positions, one.positions)
        for what in ("coordinates", "projections"):
            rows, exact = getattr(ours, what), getattr(one, what)
            assert rows.shape == exact.shape
            gaps = np.linalg.norm(rows - exact, axis=1)
            assert (gaps <= 1e-5 * np.linalg.norm(exact, axis=1) + 1e-7).all()
        for what in ("norms", "gradient_squares", "block_squares", "reference_square"):
            assert np.allclose(
                getattr(ours, what), getattr(one, what), rtol=1e-4, atol=1e-7, equal_nan=True
            ), what
        assert ours.histogram.sum() == one.histogram.sum()
    run = nl.read_run(tmp_path / "run")
    assert {record["batch_size"] for record in run.records} == {8 * world_size}
    assert run.closed is not None
    assert run.records[0]["group"] == "all"
    assert run.records[0]["projections_verdict"] == records[0]["projections_verdict"] is not None
    # Training's rows are training's alone: no pass of a probe is among them.
    assert [capture["micro_batches_a_step"] for *_, capture in results] == [1] * world_size
    # Some rank holds nothing of the bias of one row.
    empty = [
        group for sketch in results[-1][2] for group in sketch.groups if not group.n_parameters
    ]
    assert [group.name for group in empty][:2] == ["2.weight", "2.bias"]


def many_steps(rank, world_size, how):
    """Loops that end otherwise than well, or differ between ranks; returns what a lens says."""
    caught: list[warnings.WarningMessage] = []
    options = {"preset": "standard", "n_minibatches": 50}
    model = sharded("mlp")
    loader = loader_of("mlp", rank, world_size)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = loss_of
    if how == "budget":  # one rank is slow: it would probe at other steps
        options |= {"budget": 0.9}
    if how == "diverged":  # on one rank alone
        options |= {"schedule": nl.every(20)}

        def loss(model, batch):
            return loss_of(model, batch) * (float("inf") if rank and lens.step > 20 else 1)

    if how == "no whole parameters":
        from noise_lens.capture.passive import fsdp

        fsdp.is_distributed = lambda parameter: True
        options |= {"preset": "full"}
    passive = how in ("no whole parameters", "full")
    n_steps = 260 if passive else 60
    if how == "full":
        options |= {"preset": "full"}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        lens = nl.NoiseLens(
            model, optimizer, **({} if passive else {"loss": loss, "data": loader}), **options
        )
        with lens:
            for index, batch in enumerate(batches(loader, n_steps)):
                loss_of(model, batch).backward()
                if how == "budget" and rank and index > 20:
                    torch.randn(300, 300) @ torch.randn(300, 300)
                optimizer.step()
                optimizer.zero_grad()
            text = lens.describe()
    steps = [m.records[0]["step"] for m in lens.measurements]
    messages = [str(one.message) for one in caught if "NoiseLens" in str(one.message)]
    return steps, messages, lens.trend, lens.capture, text


def test_ranks_probe_at_the_same_steps_within_a_budget(tmp_path):
    """Rank 0 decides; a rank that decided alone would leave the others waiting."""
    one, two = launch(many_steps, 2, tmp_path, "budget")
    assert one[0] == two[0]
    assert len(one[0]) >= 1
    for _, messages, *_ in (one, two):
        assert len(messages) == 1
        assert "without out= each rank's measurement is of its own shards only" in messages[0]


def test_a_loss_that_is_not_finite_on_one_rank_is_an_error_on_all(tmp_path):
    """And training goes on: nobody waits for a rank that has given up."""
    for steps, messages, *_ in launch(many_steps, 2, tmp_path, "diverged"):
        assert steps == [20]
        assert len([m for m in messages if "the loss is not finite" in m or "is inf" in m]) == 2


def test_every_coordinate_is_kept_once_over_all_ranks(tmp_path):
    """Sums of the preset "full" are of this rank's shards: 8 bytes a parameter are shared out."""
    results = launch(many_steps, 2, tmp_path, "full")
    for _, messages, trend, *_ in results:
        assert messages == []
        assert len(trend) == 1
        assert trend[0]["alpha"] is not None
        assert {"signal", "noise"} <= set(trend[0]["groups"]["0"])
    # Rows of a matrix over two ranks: neither has all the noise, both have some.
    noise = [trend[0]["groups"]["0"]["noise"] for _, _, trend, *_ in results]
    assert all(one > 0 for one in noise)
    assert noise[0] != noise[1]


def test_the_way_out_is_taken_after_the_first_step(tmp_path):
    for _, messages, trend, capture, _ in launch(many_steps, 2, tmp_path, "no whole parameters"):
        assert messages == []
        assert capture["point"] == "reduced shards (mean over 2 ranks)"
        assert len(trend) == 1
        assert trend[0]["first_step"] == 1


def refused(rank, world_size):
    """What is not supported says so when the lens is made."""
    from torch.distributed.fsdp import CPUOffloadPolicy
    from torch.distributed.tensor import Shard
    from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module

    def message(model):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        loader = DataLoader(dataset("mlp"), batch_size=8)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                nl.NoiseLens(model, optimizer, loss=loss_of, data=loader)
            except nl.CaptureError as error:
                return f"raised: {error}"
        return "; ".join(str(one.message) for one in caught)

    model = nn.Sequential(nn.Linear(12, 8), nn.Linear(8, 4))
    left_out = fully_shard(model, ignored_params={model[1].bias})
    by_columns = fully_shard(nn.Linear(12, 4), shard_placement_fn=lambda p: Shard(p.dim() - 1))
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "model"))
    both = parallelize_module(
        nn.Sequential(nn.Linear(12, 4)), mesh["model"], {"0": ColwiseParallel()}
    )
    both = fully_shard(both, mesh=mesh["data"])
    part = fully_shard(nn.Linear(12, 4), mesh=mesh["data"])
    assert CPUOffloadPolicy  # on a CPU nothing is offloaded
    return [message(model) for model in (left_out, by_columns, both, part)]


def test_what_is_not_supported_says_so(tmp_path):
    for left_out, by_columns, both, part in launch(refused, 4, tmp_path):
        assert "probes are off" in left_out
        assert "1.bias is left out of fully_shard" in left_out
        assert "weight is placed by S(1), not sharded by rows" in by_columns
        assert both.startswith("raised: ")
        assert "fully_shard together with tensor parallel is not supported" in both
        assert "weight is sharded over 2 of 4 ranks" in part
