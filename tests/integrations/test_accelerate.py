"""A loop under Accelerate: the lens sees through its wrappers, and changes nothing."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from frameworks import check_equal_rows, equal, plain_loop, random_states, required, rows_seen
from programs import MODELS, dataset, fresh, loss_of
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, WeightedRandomSampler

import noise_lens as nl
from noise_lens.lens.sources import batch_size_of, source_of
from noise_lens.tasks import MapMinibatches

accelerate = required("accelerate")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of the framework
    pytest.mark.filterwarnings("error:NoiseLens"),
]
__all__ = ["rows_seen"]


@pytest.fixture(autouse=True)
def _own_accelerator():
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerate.state.GradientState._reset_state()
    yield
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerate.state.GradientState._reset_state()


def train(kind, steps, *, lens=None, optimizer=torch.optim.Adam, batches=None, **options):
    """The loop of Accelerate's own documentation, 2 accumulations, clipped."""
    model, loader = fresh(kind)
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2, **options)
    model, optimizer, loader = accelerator.prepare(
        model, optimizer(model.parameters(), lr=1e-2), loader
    )
    lens = lens(model, optimizer, loader) if lens else None
    with lens or torch.enable_grad():
        done = 0
        while done < steps:
            for batch in loader:
                if batches is not None:
                    batches.append([part.clone() for part in batch])
                with accelerator.accumulate(model):
                    accelerator.backward(loss_of(model, batch))
                    if accelerator.sync_gradients:
                        accelerator.clip_grad_norm_(model.parameters(), 0.5)
                    optimizer.step()
                    optimizer.zero_grad()
                done += accelerator.sync_gradients
                if done == steps:
                    break
    state = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    return lens, (*state, random_states())


@pytest.mark.parametrize(
    ("kind", "options"),
    [*((kind, {}) for kind in MODELS), ("mlp", {"mixed_precision": "bf16"})],
    ids=[*MODELS, "bfloat16"],
)
def test_training_is_the_same_to_the_last_bit(kind, options):
    def watched(model, optimizer, loader):
        return nl.NoiseLens(
            model, optimizer, loss=loss_of, data=loader, schedule=nl.every(20), n_minibatches=50,
            loss_divisor=2,
        )  # fmt: skip

    lens, with_lens = train(kind, 200, lens=watched, **options)
    _, without = train(kind, 200, **options)
    assert equal(with_lens, without)
    assert lens.problems == []
    assert [m.records[0]["step"] for m in lens.measurements] == list(range(20, 201, 20))
    assert lens.measurements[0].records[0]["batch_size"] == 8


def test_rows_are_those_of_a_plain_loop(rows_seen):
    batches = []
    train(
        "cnn", 18, optimizer=torch.optim.SGD, batches=batches,
        lens=lambda m, o, _: nl.NoiseLens(m, o, loss_divisor=2),
    )  # fmt: skip
    model, _ = fresh("cnn")
    expected = plain_loop(
        model, loss_of, batches, torch.optim.SGD(model.parameters(), lr=1e-2), accumulate=2,
        clip=0.5,
    )  # fmt: skip
    assert len(expected) == 36
    check_equal_rows(rows_seen, expected)


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("seedable", [False, True])
def test_loaders_of_several_processes_are_seen_through(split, seedable):
    """What each of two processes gets: half of a minibatch of the loader where that is split."""
    loader = DataLoader(dataset("mlp"), batch_size=8, shuffle=True)
    prepared = accelerate.data_loader.prepare_data_loader(
        loader, num_processes=2, process_index=1, split_batches=split, put_on_device=False,
        use_seedable_sampler=seedable,
    )  # fmt: skip
    assert isinstance(source_of(prepared), MapMinibatches)
    assert batch_size_of(prepared) == (4 if split else 8) == len(next(iter(prepared))[0])


def test_a_sampler_of_weights_is_not_sampled_away():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for sampler, plain in (
            (RandomSampler(dataset("mlp")), True),
            (WeightedRandomSampler([1.0] * 96, 96), False),
        ):
            loader = DataLoader(dataset("mlp"), batch_sampler=BatchSampler(sampler, 8, False))
            prepared = accelerate.data_loader.prepare_data_loader(
                loader, num_processes=2, process_index=0, put_on_device=False
            )
            if plain:
                source_of(prepared)
            else:
                with pytest.raises(nl.CaptureError, match="BatchSamplerShard"):
                    source_of(prepared)
