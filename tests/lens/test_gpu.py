"""A lens on a GPU; skipped where there is none, failed with NOISE_LENS_REQUIRE_GPU=1."""

from __future__ import annotations

import pytest
import torch
from programs import batches, fresh, loss_of, same, state_of

import noise_lens as nl


def prepared(kind="mlp"):
    model, loader = fresh(kind)
    data = [tuple(part.cuda() for part in batch) for batch in batches(loader, 64)]
    model = model.cuda()
    return model, torch.optim.AdamW(model.parameters(), lr=1e-3), data, loader


@pytest.mark.gpu
@pytest.mark.parametrize("preset", ["light", "standard", "full"])
@pytest.mark.parametrize("autocast", [False, True])
def test_a_step_makes_no_host_sync(preset, autocast):
    """Any that it made would raise; 24 steps, so rows are sent to the host once."""
    model, optimizer, data, _ = prepared("transformer")

    def step(batch):
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=autocast):
            loss = loss_of(model, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    lens = nl.NoiseLens(model, optimizer, preset=preset).attach()
    for batch in data[:2]:
        step(batch)
    torch.cuda.synchronize()
    try:
        torch.cuda.set_sync_debug_mode("error")
        for batch in data[2:26]:
            step(batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    lens.detach()
    assert lens.problems == []


@pytest.mark.gpu
def test_rows_of_a_gpu_are_the_gradients_that_it_computed():
    model, optimizer, data, _ = prepared()
    model.eval()
    found, expected = [], []
    from noise_lens.capture.passive import PassiveCapture

    parameters = dict(model.named_parameters())
    capture = PassiveCapture(
        parameters, n_coordinates=200, seed=0, on_rows=lambda r: found.extend(r.values),
        on_problem=pytest.fail,
    )  # fmt: skip
    for batch in data[:50]:
        loss_of(model, batch).backward()
        expected.append(
            torch.cat([parameters[p.name].grad.flatten()[p.positions].cpu() for p in capture.picks])
        )
        optimizer.step()
        capture.end_step()
        optimizer.zero_grad()
    capture.drain()
    capture.remove()
    assert len(found) == 50
    assert all(torch.equal(torch.from_numpy(a), b) for a, b in zip(found, expected, strict=True))


@pytest.mark.gpu
def test_a_lens_changes_no_bit_of_a_run_on_a_gpu():
    def run(seen):
        torch.cuda.manual_seed_all(3)
        model, optimizer, data, loader = prepared()
        lens = nl.NoiseLens(
            model, optimizer, loss=loss_of, data=loader, schedule=nl.every(20), n_minibatches=50
        )
        if seen:
            lens.attach()
        for index in range(200):
            loss_of(model, data[index % 64]).backward()
            optimizer.step()
            optimizer.zero_grad()
        lens.detach()
        assert len(lens.measurements) == (10 if seen else 0)
        return state_of(model, optimizer), torch.cuda.get_rng_state()

    with_lens, without = run(seen=True), run(seen=False)
    assert all(torch.equal(a.cpu(), b.cpu()) for a, b in zip(
        with_lens[0]["model"].values(), without[0]["model"].values(), strict=True
    ))  # fmt: skip
    assert same(with_lens[1], without[1])


@pytest.mark.gpu
def test_memory_between_steps_is_what_is_printed():
    model, optimizer, data, _ = prepared("transformer")
    lens = nl.NoiseLens(model, optimizer)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    lens.attach()
    loss_of(model, data[0]).backward()
    optimizer.zero_grad()
    printed = sum(lens._follower.watch.state.values())
    held = torch.cuda.memory_allocated() - before
    lens.detach()
    assert printed <= held <= printed + 1e6
