"""200 training steps with a lens end in the same bits as without: every model and every loop."""

from __future__ import annotations

import contextlib
import copy

import pytest
import torch
from programs import LOOPS, MODELS, batches, dataset, fresh, loss_of, plain, same, state_of

import noise_lens as nl

STEPS = 200


def trained(kind, loop, *, seen, wrap=lambda model: model, n_steps=STEPS, preset="standard"):
    model, loader = fresh(kind)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0) if loop == "amp" else None
    wrapped = wrap(model)
    optimizer = (
        torch.optim.LBFGS(model.parameters(), lr=0.05, max_iter=3)
        if loop == "lbfgs"
        else torch.optim.Adam(model.parameters(), lr=1e-2)
    )
    lens = contextlib.nullcontext()
    if seen:
        lens = nl.NoiseLens(
            wrapped, optimizer, loss=loss_of, data=loader, schedule=nl.every(20),
            n_minibatches=50, scaler=scaler, preset=preset,
        )  # fmt: skip
    with lens:
        LOOPS[loop](wrapped, optimizer, loader, n_steps, scaler)
    return lens, state_of(model, optimizer, scaler)


FAST = [("mlp", "amp"), ("cnn", "plain"), ("transformer", "accumulation")]


@pytest.mark.parametrize(
    ("kind", "loop"),
    [
        pytest.param(kind, loop, marks=[] if (kind, loop) in FAST else pytest.mark.slow)
        for kind in MODELS
        for loop in LOOPS
    ],
)
def test_a_lens_changes_no_bit(kind, loop):
    """Weights, buffers, gradients, optimizer, loss scale, modes and three random states."""
    n_steps = 60 if loop == "lbfgs" else STEPS
    lens, with_lens = trained(kind, loop, seen=True, n_steps=n_steps)
    _, without = trained(kind, loop, seen=False, n_steps=n_steps)
    assert lens.problems == []
    n_probes = (n_steps - (4 if loop == "amp" else 0)) // 20
    assert len(lens.measurements) == n_probes
    for part, value in without.items():
        assert same(with_lens[part], value), part


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_the_full_preset_changes_no_bit(kind):
    lens, with_lens = trained(kind, "accumulation", seen=True, preset="full", n_steps=160)
    _, without = trained(kind, "accumulation", seen=False, n_steps=160)
    assert lens.trend[0]["groups"]
    assert same(with_lens, without)


def test_a_compiled_model_changes_no_bit():
    torch._dynamo.reset()
    compiled = lambda model: torch.compile(model, backend="eager")  # noqa: E731
    lens, with_lens = trained("mlp", "plain", seen=True, wrap=compiled)
    torch._dynamo.reset()
    _, without = trained("mlp", "plain", seen=False, wrap=compiled)
    assert len(lens.measurements) == 10
    assert same(with_lens, without)


def test_steps_inside_the_backward_pass_change_no_bit():
    """One optimizer a parameter, stepped in its hook; probes wait for the next forward pass."""

    def outside(model, batch):
        assert torch._C._current_graph_task_id() == -1  # of no backward pass of training
        return loss_of(model, batch)

    def run(seen):
        model, loader = fresh("mlp")
        optimizers = [torch.optim.SGD([p], lr=0.05, momentum=0.9) for p in model.parameters()]

        def stepper(optimizer):
            def step(parameter):
                optimizer.step()
                optimizer.zero_grad()

            return step

        for optimizer, parameter in zip(optimizers, model.parameters(), strict=True):
            parameter.register_post_accumulate_grad_hook(stepper(optimizer))
        lens = contextlib.nullcontext()
        if seen:
            lens = nl.NoiseLens(
                model, optimizers, loss=outside, data=loader, schedule=nl.every(20),
                n_minibatches=50,
            )  # fmt: skip
        with lens:
            for index, batch in enumerate(loader.__class__(dataset("mlp"), batch_size=8)):
                for _ in range(10):
                    loss_of(model, batch).backward()
                del index
        return lens, [state_of(model, one) for one in optimizers]

    lens, with_lens = run(seen=True)
    _, without = run(seen=False)
    assert [m.records[0]["step"] for m in lens.measurements] == [20, 40, 60, 80, 100, 120]
    assert lens.problems == []
    assert same(with_lens, without)


def test_the_comparison_can_fail():
    """One draw from the global generator is seen, and one bit of one weight."""
    model, loader = fresh("mlp")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    plain(model, optimizer, loader, 3)
    before = copy.deepcopy(state_of(model, optimizer))
    assert same(before, state_of(model, optimizer))
    with torch.no_grad():
        model[0].bias.view(torch.int32)[0] ^= 1
    assert not same(before["model"], state_of(model, optimizer)["model"])
    torch.rand(1)
    assert not same(before["torch"], state_of(model, optimizer)["torch"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the compiler itself
def test_a_training_step_that_is_compiled_as_a_whole_changes_no_bit():
    """Hooks and the optimizer's own hook are then called from compiled code."""

    def run(seen):
        torch._dynamo.reset()
        model, loader = fresh("mlp")
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

        @torch.compile(backend="eager")
        def step(x, y):
            loss_of(model, (x, y)).backward()
            optimizer.step()
            optimizer.zero_grad()

        lens = contextlib.nullcontext()
        if seen:
            lens = nl.NoiseLens(
                model, optimizer, loss=loss_of, data=loader, schedule=nl.every(20),
                n_minibatches=50,
            )  # fmt: skip
        with lens:
            for batch in batches(loader, 100):
                step(*batch)
        return lens, state_of(model, optimizer)

    lens, with_lens = run(seen=True)
    _, without = run(seen=False)
    assert lens.step == 100
    assert len(lens.measurements) == 5
    assert same(with_lens, without)
