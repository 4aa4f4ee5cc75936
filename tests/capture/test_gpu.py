"""The same sketch on a GPU; skipped where there is none, failed with NOISE_LENS_REQUIRE_GPU=1."""

from __future__ import annotations

import numpy as np
import pytest
from models import data, noisy_model, plain_model, squared

from noise_lens.capture import probe


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
