"""Probes under FSDP2 with real processes: rows of all ranks together, and nobody waits."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from processes import launch, loader_of, sharded
from programs import MODELS, batches, dataset, loss_of
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.utils.data import DataLoader

import noise_lens as nl
from noise_lens.capture import probe
from noise_lens.capture.preserve import is_probing
from noise_lens.capture.seeding import derived_seed
from noise_lens.capture.sharded import fsdp_modules
from noise_lens.tasks import minibatches_of


def linear():
    """A bias of one row: shards without elements on all ranks but the first."""
    return nn.Sequential(nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 1), nn.Linear(1, 4))


def take_probes(rank, world_size, out, reference, hybrid):
    """One closing probe of a lens, at weights that one step of training has moved."""
    MODELS["linear"] = linear
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("copy", "shard")) if hybrid else None
    model = sharded("linear", mesh=mesh)
    loader = loader_of("mlp", rank, world_size)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nl.NoiseLens(
        model, optimizer, loss=loss_of, data=loader, n_minibatches=60,
        preset="full", schedule=lambda step: step == 1,
        reference=reference, seed=3, out=out, groups="tensor",
    ) as lens:  # fmt: skip
        loss_of(model, next(iter(loader))).backward()
        optimizer.step()
        whole = {name: p.full_tensor().detach() for name, p in model.named_parameters()}
        loss_of(model, next(iter(loader))).backward()
        optimizer.step()
    return whole, lens.problems, [m.sketch for m in lens.measurements], lens.capture


@pytest.mark.parametrize(
    ("world_size", "reference", "hybrid"),
    [
        (2, "pair", False),
        pytest.param(3, "full", False, marks=pytest.mark.slow),
        pytest.param(2, "mean", False, marks=pytest.mark.slow),
        pytest.param(4, "full", True, marks=pytest.mark.slow),
    ],
)
def test_merged_shards_are_the_rows_of_one_process(tmp_path, world_size, reference, hybrid):
    """Minibatches of W x b examples, drawn alike: coordinates, projections, norms, counts."""
    from noise_lens.merging import merged_measurement

    results = launch(take_probes, world_size, tmp_path, tmp_path / "run", reference, hybrid)
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
    assert {"2.weight", "2.bias"} <= {group.name for group in empty}


def many_steps(rank, world_size, how):
    """Loops that end otherwise than well, or differ between ranks; returns what a lens says."""
    options = {"preset": "standard", "n_minibatches": 50}
    model = sharded("mlp")
    loader = loader_of("mlp", rank, world_size)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = loss_of
    if how == "budget":
        options |= {"budget": 0.9}
    if how == "diverged":  # on one rank alone
        options |= {"schedule": nl.every(20)}

        def loss(model, batch):
            return loss_of(model, batch) * (float("inf") if rank and lens.step > 20 else 1)

    if how == "raises":  # in the middle of a forward pass, on all ranks
        options |= {"schedule": nl.every(20)}
        passes = []

        def fail(*_):
            passes.extend([1] * is_probing())
            if is_probing() and len(passes) == 70:
                raise ZeroDivisionError("by a layer")

        model[2].register_forward_pre_hook(fail)
    if how == "no whole parameters":
        from noise_lens.capture.passive import fsdp

        fsdp.is_distributed = lambda parameter: True
        options |= {"preset": "full"}
    n_steps = 260 if how in ("no whole parameters", "full") else 60
    passive = n_steps > 60 or how == "bare"
    if how == "full":
        options |= {"preset": "full"}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        lens = nl.NoiseLens(
            model, optimizer, **({} if passive else {"loss": loss, "data": loader}), **options
        )
        if how == "budget" and rank:  # alone it would probe at other steps
            lens._pacer._when = lambda step: step + 7
        with lens:
            for index, batch in enumerate(batches(loader, n_steps)):
                loss_of(model, batch).backward()
                optimizer.step()
                optimizer.zero_grad()
                if index == 39:  # of the parts that fully_shard was applied to
                    states = {m._get_fsdp_state()._training_state.name for m in fsdp_modules(model)}
    steps = [m.records[0]["step"] for m in lens.measurements]
    messages = [str(one.message) for one in caught if "NoiseLens" in str(one.message)]
    weights = [p.to_local().detach() for p in model.parameters()]
    return steps, messages, lens.trend, lens.capture, states, weights


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


def test_an_error_in_the_middle_of_a_probe_leaves_training_alone(tmp_path):
    """FSDP2 believes that a forward pass is running; it must not when training goes on."""
    failed, whole = (launch(many_steps, 2, tmp_path, how) for how in ("raises", "bare"))
    for (steps, messages, *_, states, weights), (*_, others) in zip(failed, whole, strict=True):
        assert steps == [20, 60]
        assert any("ZeroDivisionError: by a layer" in message for message in messages)
        assert states == {"IDLE"}
        assert all(map(torch.equal, weights, others))


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
    for _, messages, trend, capture, *_ in launch(many_steps, 2, tmp_path, "no whole parameters"):
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
