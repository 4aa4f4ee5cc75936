"""A recorder for each view, and the memory of all, counted against what is allocated."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from noise_lens import optim
from noise_lens.capture.budget import HOST, MODEL, STATE, part_of_budget
from noise_lens.capture.channels import ChannelPlan
from noise_lens.capture.coordinates import sample_coordinates
from noise_lens.capture.groups import build_groups
from noise_lens.capture.layout import build_layout
from noise_lens.capture.reference import MeanVector
from noise_lens.capture.views import build_views
from noise_lens.capture.views.trajectory import Trajectory
from noise_lens.errors import CaptureError

SHAPES = {"matrix": (300, 200), "bias": (200,), "other": (100, 30), "scalar": ()}
N = sum(int(np.prod(shape)) for shape in SHAPES.values())


def given(dtype=torch.float32):
    """Parameters, and a loss of which a minibatch is the gradient."""
    model = nn.Module()
    for name, shape in SHAPES.items():
        model.register_parameter(name, nn.Parameter(torch.ones(shape, dtype=dtype)))

    def loss(model, batch):
        return sum((p * g).sum() for p, g in zip(model.parameters(), batch, strict=True))

    return model, loss


def rows_of(model, n):
    generator = torch.Generator().manual_seed(0)
    for _ in range(n):
        yield [torch.randn(p.shape, generator=generator).to(p.dtype) for p in model.parameters()]


def plan_of(model, reference, n, **options):
    groups = build_groups(list(SHAPES), "all")
    layout = build_layout({name: p.shape for name, p in model.named_parameters()}, groups)
    positions = sample_coordinates(layout, groups[0], 40, 0)
    options = {"block_sums": True, "published": False} | options
    plan = ChannelPlan(layout, torch.device("cpu"), positions, 0, reference, n, **options)
    return plan, groups, positions


def storages(found, seen):
    """Memory that an object holds, by storage."""
    if isinstance(found, torch.Tensor):
        storage = found.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
    elif isinstance(found, np.ndarray):
        seen[found.ctypes.data] = found.nbytes
    elif isinstance(found, dict):
        for value in found.values():
            storages(value, seen)
    elif isinstance(found, list | tuple):
        for value in found:
            storages(value, seen)
    elif isinstance(found, torch.optim.Optimizer):
        storages([found.state, found.param_groups], seen)
    elif type(found).__module__.startswith("noise_lens.capture"):
        storages(vars(found), seen)
    return seen


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("n_steps", [0, 1])
@pytest.mark.parametrize("reference", ["pair", "mean"])
def test_a_budget_is_what_is_held(reference, n_steps, dtype):
    """All views of frozen weights, of an optimizer with its state and of one that has none yet:
    every tensor that is held when most is.
    """
    model, _ = given(dtype)
    optimizer = optim.AdaL(model.parameters())
    gradient = next(rows_of(model, 1))
    for _ in range(n_steps):
        for p, g in zip(model.parameters(), gradient, strict=True):
            p.grad = g
        optimizer.step()
    outside = storages([list(model.parameters()), optimizer, gradient], {})
    outside |= storages([p.grad for p in model.parameters() if p.grad is not None], {})
    plan, _, _ = plan_of(model, reference, 64)
    names = ("gradient", "momentum", "update", "transformed")
    views = build_views(names, list(model.parameters()), optimizer, 0.5, needs_state=False)
    gradient_bytes = N * torch.finfo(dtype).bits // 8
    budget = plan.budget(views, gradient_bytes)
    references = {}
    if reference == "mean":
        means = {view.name: MeanVector(plan.layout, plan.device) for view in views}
        references = {name: mean.compute() for name, mean in means.items()}
        del means
    channels = plan.open(views, references, None)
    losses = torch.zeros(64, dtype=torch.float64)
    for number, row in enumerate(rows_of(model, 8)):
        vectors = {view.name: view.update(row) for view in views}
        if number == 7:  # a first of each pair waits, and every view gives a second
            own = [vectors[view.name] for view in views[1:]]
            held = storages([channels, views, losses, own], {})
        for name, vector in vectors.items():
            if vector is not None:
                channels[name].update(vector)
    found = sum(size for pointer, size in held.items() if pointer not in outside)
    state, kept, host = (part_of_budget(budget, part) for part in (STATE, MODEL, HOST))
    assert sum(budget.values()) == state + kept + host
    # For a moment: cells of lines, a transformed gradient on its way into the average, and the
    # gradients of the copy in float64, of which the step has taken the place.
    moment = sum(size for name, size in budget.items() if "sums of a window's lines" in name)
    moment += gradient_bytes + 8 * N - N * max(torch.finfo(dtype).bits // 8, 4)
    assert found == pytest.approx(state + kept + host - moment, rel=1e-3)


def test_lines_name_the_view_and_add_up():
    model, _ = given()
    optimizer = torch.optim.Adam(model.parameters())
    plan, _, _ = plan_of(model, "pair", 640)
    parameters = list(model.parameters())
    views = build_views(("gradient", "momentum", "update"), parameters, optimizer, 0.9,
                        needs_state=False)  # fmt: skip
    budget = plan.budget(views, 4 * N)
    assert budget[f"{STATE}: losses"] == 8 * 640
    assert not any(name != f"{STATE}: losses" and "losses" in name for name in budget)
    assert budget[f"{MODEL}: momentum view, what it holds"] == 4 * N
    # Weights, gradients and two moments in float64, and the step counts.
    assert budget[f"{MODEL}: update view, what it holds"] == 4 * 8 * N + 4 * len(SHAPES)
    assert budget[f"{MODEL}: update view, first gradient of a pair"] == 4 * N
    assert sum("sum of gradients" in name for name in budget) == 1  # of gradients alone
    rows = [plan.n_rows(view) for view in views]
    assert rows == [320, 640 // 44, 320]
    assert budget[f"{HOST}: momentum view, coordinates"] == (640 // 44) * 40 * 4


def test_a_full_gradient_is_there_once():
    """Two views of frozen weights share it; what moves has noise already."""
    model, loss = given()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    plan, _, _ = plan_of(model, "full", 64)
    parameters = list(model.parameters())
    views = build_views(("gradient", "momentum"), parameters, optimizer, 0.5, needs_state=False)
    moving = Trajectory(model, loss, plan.layout, parameters, optimizer, 0.5, list)
    full = f"{MODEL}: full gradient (8 bytes a parameter)"
    for own, there in (((*views, moving), 1), (views, 1), ((moving,), 0)):
        budget = plan.budget(own, 4 * N)
        assert sum("full gradient" in name for name in budget) == there
        assert budget.get(full, 0) == there * 8 * plan.layout.size
    # Weights and a gradient of the copy, a part of a full gradient, noise and an average.
    assert budget[f"{MODEL}: trajectory view, what it holds"] == 5 * 4 * N


def test_rows_of_a_view():
    model, _ = given()
    momentum, gradient = build_views(
        ("momentum", "gradient"), list(model.parameters()), None, 0.9, needs_state=False
    )
    for reference, a_row in (("pair", 44), ("full", 22), ("mean", 22)):
        plan = plan_of(model, reference, 200)[0]
        assert plan.n_rows(momentum) == 200 // a_row
        assert plan.n_rows(gradient) == 200 // (a_row // 22)
    plan = plan_of(model, "pair", 87)[0]
    with pytest.raises(
        CaptureError, match=r"takes 44 minibatches .*and 87 give 1\. Ask .* 880 .*8800"
    ):
        plan.n_rows(momentum)
    with pytest.raises(CaptureError, match=r"'gradient' takes 2 minibatches, and 3 give 1"):
        plan_of(model, "pair", 3)[0].n_rows(gradient)


def test_only_gradients_are_summed_and_published():
    model, _ = given()
    optimizer = optim.AdaL(model.parameters())
    plan, groups, positions = plan_of(model, "pair", 16, published=True)
    names = ("update", "gradient", "transformed")
    views = build_views(names, list(model.parameters()), optimizer, None, needs_state=False)
    channels = plan.open(views, {}, None)
    for row in rows_of(model, 16):
        for view in views:
            channels[view.name].update(view.update(row))
    for name, channel in channels.items():
        (sketch,) = channel.finish(groups, [positions], 64)
        assert (channel.published is not None) == (name == "gradient")
        assert bool(sketch.block_squares.size) == (name == "gradient")
        assert channel.n_rows == len(sketch.norms) == 8


def test_no_memory_is_an_error_with_a_number(monkeypatch):
    model, _ = given()
    plan, _, _ = plan_of(model, "pair", 64)
    views = build_views(["gradient"], list(model.parameters()), None, None, needs_state=False)

    def broken(*parts):
        raise MemoryError

    monkeypatch.setattr("noise_lens.capture.channels.Recorder", broken)
    with pytest.raises(CaptureError, match=r"needs \d+\.\d GB beside the model.*fewer views"):
        plan.open(views, {}, None)


SCRIPT = """
import json, re, sys
from pathlib import Path
import torch
from torch import nn
from torch.utils.data import TensorDataset
from noise_lens.capture import budget, probe_views
from noise_lens.tasks import minibatches_of

torch.set_num_threads(1)
views, reference = tuple(sys.argv[1].split(",")), sys.argv[2]
# Not ru_maxrss: a child begins with the peak of the process that started it.
peak = lambda: 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
model = nn.Sequential(nn.Linear(500, 10_000), nn.ReLU(), nn.Linear(10_000, 500))
data = minibatches_of(TensorDataset(torch.randn(64, 500)))
loss = lambda m, b: m(b[0]).square().mean()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for number in range(3):  # what a training step takes anyway
    optimizer.zero_grad()
    loss(model, data.pick(range(2))).backward()
    optimizer.step()
optimizer.zero_grad()  # the budget is beside the model and one gradient
before, lines = peak(), {}
probe_views(model, loss, data, views=views, optimizer=optimizer, beta=0.5, n_minibatches=50,
            batch_size=2, reference=reference, block_sums=False, groups="all",
            on_budget=lines.update)
parts = {part: budget.part_of_budget(lines, part)
         for part in (budget.STATE, budget.MODEL, budget.HOST)}
print(json.dumps({"growth": peak() - before, "parts": parts,
                  "parameters": sum(p.numel() for p in model.parameters())}))
"""


def run(views, reference):
    command = [sys.executable, "-c", SCRIPT, views, reference]
    # Large blocks are given back at once: what a peak counts is what is held.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000"}
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(found.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("views", "reference"),
    [
        ("gradient,momentum,update", "mean"),
        ("gradient,trajectory", "full"),
    ],
)
def test_peak_memory_is_the_printed_budget(views, reference):
    """10 million parameters, 40 MB a copy: the process grows by no more than what is printed, a
    second copy of the rows and 20 MB, and by nine tenths of what is as large as the model.
    """
    found = run(views, reference)
    parts = found["parts"]
    assert found["growth"] < sum(parts.values()) + parts[HOST] + 20e6
    assert found["growth"] > 0.9 * parts[MODEL]
