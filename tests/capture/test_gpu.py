"""The same sketch on a GPU; skipped where there is none, failed with NOISE_LENS_REQUIRE_GPU=1."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from models import data, noisy_model, plain_model, squared
from torch import nn
from torch.utils.data import TensorDataset

from noise_lens.capture import probe
from noise_lens.capture.budget import MODEL, STATE, part_of_budget
from noise_lens.tasks import minibatches_of


@pytest.mark.gpu
@pytest.mark.parametrize("reference", ["full", "pair", "mean"])
def test_a_gpu_sees_the_same_noise(reference):
    """Rows, norms and histograms of a CUDA probe equal those of the CPU up to float32 sums."""
    options = {"n_minibatches": 64, "batch_size": 8, "reference": reference, "seed": 1}
    here = probe(plain_model(), squared, data(), **options)
    there = probe(plain_model().cuda(), squared, data(), **options)
    for one, two in zip(here.groups, there.groups, strict=True):
        scale = np.abs(one.coordinates).max()
        assert two.coordinates == pytest.approx(one.coordinates, abs=1e-4 * scale)
        assert two.norms == pytest.approx(one.norms, rel=1e-4)
        assert two.gradient_squares == pytest.approx(one.gradient_squares, rel=1e-4)
        assert two.block_squares == pytest.approx(one.block_squares, rel=1e-4)
        assert two.reference_square == pytest.approx(one.reference_square, rel=1e-4, nan_ok=True)
        assert two.histogram.sum() == one.histogram.sum()


@pytest.mark.gpu
def test_a_gpu_model_is_left_as_it_was():
    model = noisy_model().cuda()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    probe(model, squared, data(), n_minibatches=50)
    assert all((tensor == before[name]).all() for name, tensor in model.state_dict().items())


@pytest.mark.gpu
@pytest.mark.parametrize("reference", ["full", "pair", "mean"])
def test_the_loop_never_waits_for_the_gpu(monkeypatch, reference):
    """After the first minibatch, which checks the loss, any wait raises; a ring of one row
    goes to the host each time.
    """
    monkeypatch.setattr("noise_lens.capture.rows.RING_BYTES", 1)
    n, seen = 64, []

    def watch(_):
        seen.append(1)
        torch.cuda.set_sync_debug_mode("error" if len(seen) < n else "default")

    try:
        sketch = probe(
            plain_model().cuda(), squared, data(), n_minibatches=n, batch_size=8,
            reference=reference, on_minibatch=watch,
        )  # fmt: skip
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(seen) == n
    assert np.all(sketch.groups[0].norms > 0)


@pytest.mark.gpu
@pytest.mark.parametrize("reference", ["full", "pair"])
def test_what_a_gpu_allocates_is_the_budget(reference):
    """20 million parameters: the peak beside a training step's is the lines on the device and at
    most 4 MB of the allocator's rounding.
    """
    model = nn.Sequential(nn.Linear(3000, 3400), nn.ReLU(), nn.Linear(3400, 3000)).cuda()
    source = minibatches_of(TensorDataset(torch.randn(64, 3000)))

    def loss(model, batch):
        return model(batch[0]).square().mean()

    def peak(work):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before

    def step():
        batch = torch.stack([source.pick([index])[0][0] for index in range(16)]).cuda()
        torch.autograd.grad(loss(model, [batch]), list(model.parameters()))

    lines = {}
    step()
    alone = peak(step)
    found = peak(
        lambda: probe(
            model, loss, source, n_minibatches=64, batch_size=16, reference=reference,
            on_budget=lines.update,
        )
    )  # fmt: skip
    on_device = part_of_budget(lines, STATE) + part_of_budget(lines, MODEL)
    assert found - alone <= on_device + 4e6
    assert part_of_budget(lines, STATE) < 20e6
