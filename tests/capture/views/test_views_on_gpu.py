"""Views on a GPU; skipped where there is none, failed with NOISE_LENS_REQUIRE_GPU=1."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from models import data, plain_model, squared
from optimizers import gradients_of, small_model, step_with

from noise_lens import optim
from noise_lens.capture import probe_views
from noise_lens.capture.views.update import Update

MAKES = {
    "sgd": lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9),
    "adam": lambda ps: torch.optim.Adam(ps, lr=1e-2, foreach=True),
    "fused": lambda ps: torch.optim.AdamW(ps, lr=1e-2, fused=True),
    "capturable": lambda ps: torch.optim.Adam(ps, lr=torch.tensor(1e-2).cuda(), capturable=True),
    "adal": optim.AdaL,
}


def trained(name, dtype=torch.float64):
    model = small_model(dtype)
    gradients = [[g.cuda() for g in gradients_of(model, number)] for number in range(4)]
    model = model.cuda()
    optimizer = MAKES[name](list(model.parameters()))
    for own in gradients[:3]:
        step_with(model, optimizer, own)
    return model, optimizer, gradients[3]


@pytest.mark.gpu
@pytest.mark.parametrize("name", MAKES)
def test_a_step_of_the_copy_is_the_next_step_of_the_optimizer(name):
    model, optimizer, gradients = trained(name)
    view = Update(optimizer, list(model.parameters()))
    view.update(gradients)
    found = view.update(gradients)
    weights = [p.detach().clone() for p in model.parameters()]
    step_with(model, optimizer, gradients)
    for step, parameter, weight in zip(found, model.parameters(), weights, strict=True):
        assert torch.allclose(weight + step, parameter.detach(), rtol=1e-12, atol=1e-14)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["sgd", "adam", "capturable", "adal"])
def test_an_update_does_not_wait_for_the_device(name):
    model, optimizer, gradients = trained(name, torch.float32)
    view = Update(optimizer, list(model.parameters()))
    view.update(gradients)
    torch.cuda.set_sync_debug_mode("error")
    try:
        view.update(gradients)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.parametrize("reference", ["pair", "mean"])
def test_a_gpu_sees_the_same_views(reference):
    views = ("gradient", "momentum", "update", "transformed")

    def probed(model):
        return probe_views(
            model, squared, data(), views=views, optimizer=optim.AdaL(model.parameters()),
            beta=0.5, n_minibatches=64, batch_size=8, reference=reference, published=True,
        )  # fmt: skip

    here, there = probed(plain_model()), probed(plain_model().cuda())
    for view in views:
        for one, two in zip(here[view].groups, there[view].groups, strict=True):
            # The first step of an adaptive optimizer is the sign of the gradient, nearly: where
            # that is as good as zero the two may differ.
            tolerance = 1e-3 if view == "update" else 1e-4
            scale = np.abs(one.coordinates).max()
            same = np.abs(two.coordinates - one.coordinates) <= tolerance * scale
            assert same.mean() > 0.99
            assert two.norms == pytest.approx(one.norms, rel=10 * tolerance)
    assert there["gradient"].published[0] == pytest.approx(here["gradient"].published[0], rel=0.02)
