"""Mixed precision: a probe computes as training does, and no loss scale is taken for noise."""

from __future__ import annotations

import pytest
import torch
from models import dataset, plain_model, squared
from programs import batches
from torch.utils.data import DataLoader

import noise_lens as nl


def test_a_probe_repeats_the_autocast_mode_of_training():
    """The loop enters autocast outside of the loss function that the lens is given."""
    modes = []

    def loss(model, batch):
        modes.append((torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")))
        return squared(model, batch)

    model = plain_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loader = DataLoader(dataset(), batch_size=8)
    lens = nl.NoiseLens(
        model, optimizer, loss=loss, data=loader, schedule=nl.every(2), n_minibatches=50
    )
    with lens:
        for batch in batches(loader, 2):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                value = squared(model, batch)
            value.backward()
            optimizer.step()
    assert lens.capture["autocast"] == "bfloat16"
    assert len(modes) >= 50
    assert set(modes) == {(True, torch.bfloat16)}
    assert not torch.is_autocast_enabled("cpu")


def test_a_probe_of_a_float32_loop_is_float32_also_inside_an_autocast_block():
    modes = []

    def loss(model, batch):
        modes.append(torch.is_autocast_enabled("cpu"))
        return squared(model, batch)

    model = plain_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loader = DataLoader(dataset(), batch_size=8)
    with nl.NoiseLens(
        model, optimizer, loss=loss, data=loader, schedule=nl.every(1), n_minibatches=50
    ):
        squared(model, next(iter(loader))).backward()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            optimizer.step()
    assert set(modes) == {False}


@pytest.mark.parametrize("given", [True, False])
def test_a_loss_scale_is_divided_out_and_found_where_it_is_not_given(given):
    """The trend of a scaled loop is that of the same loop without a scale."""

    def run(scale):
        model = plain_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        loader = DataLoader(dataset(), batch_size=8)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**14, growth_interval=50, enabled=scale)
        with nl.NoiseLens(model, optimizer, scaler=scaler if given else None) as lens:
            for batch in batches(loader, 300):
                scaler.scale(squared(model, batch)).backward()
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()
        return lens

    scaled, plain = run(scale=True), run(scale=False)
    assert scaled.capture["loss_scale"] == "divided out"
    assert plain.capture["loss_scale"] == "none"
    first = 0 if given else 1  # a scale that is found begins the window anew
    assert scaled.trend[0]["first_step"] == first
    norms = [lens.trend[0]["gradient_norm"] for lens in (scaled, plain)]
    assert norms[0] == pytest.approx(norms[1], rel=0.05)
    if given:
        for key in ("alpha", "low", "high", "gradient_norm", "scale_spread"):
            assert scaled.trend[0][key] == pytest.approx(plain.trend[0][key], rel=1e-4)


def test_dropped_steps_are_counted_and_their_rows_left_out():
    model = plain_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loader = DataLoader(dataset(), batch_size=8)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    with nl.NoiseLens(model, optimizer, scaler=scaler) as lens:
        for index, batch in enumerate(batches(loader, 300)):
            factor = float("inf") if index % 25 == 3 else 1.0
            scaler.scale(squared(model, batch) * factor).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
    assert lens.step == 288
    assert lens.trend[0]["n_not_finite"] == pytest.approx(
        lens.trend[0]["n_micro_batches"] / 25, abs=1
    )
    assert 0.5 < lens.trend[0]["alpha"] <= 2
    assert lens.trend[0]["largest_gradient_norm"] < 1e3


@pytest.mark.parametrize("preset", ["light", "standard"])
def test_closing_probes(preset):
    """On request always; else only where nothing was measured and the preset has probes."""

    def run(**options):
        model = plain_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        loader = DataLoader(dataset(), batch_size=8)
        lens = nl.NoiseLens(
            model, optimizer, loss=squared, data=loader, preset=preset, n_minibatches=50, **options
        )
        with lens:
            for batch in batches(loader, 7):
                squared(model, batch).backward()
                optimizer.step()
        return [(m.records[0]["step"], m.records[0]["n_minibatches"]) for m in lens.measurements]

    if preset == "light":
        assert run() == []
        assert run(closing=60) == [(7, 60)]
    else:
        assert run() == [(7, 50)]
        assert run(schedule=nl.every(3)) == [(3, 50), (6, 50)]
        assert run(schedule=nl.every(3), closing=60) == [(3, 50), (6, 50), (7, 60)]
        assert run(schedule=nl.every(7), closing=60) == [(7, 50)]
