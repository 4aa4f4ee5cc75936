"""A recorder by itself, fed with gradients: windows, shards, launches and memory."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from shapes import gpt2_shapes, resnet50_shapes
from torch.utils._python_dispatch import TorchDispatchMode

from noise_lens.capture.budget import HOST, MODEL, STATE, memory_budget, part_of_budget
from noise_lens.capture.coordinates import sample_coordinates
from noise_lens.capture.groups import build_groups
from noise_lens.capture.layout import build_layout
from noise_lens.capture.recorder import Recorder
from noise_lens.capture.reference import ExactReference
from noise_lens.capture.windows import plan_windows, window_length

SHAPES = {
    "conv": torch.Size([9, 7, 3, 3]),
    "matrix": torch.Size([60, 50]),
    "bias": torch.Size([130]),
    "scalar": torch.Size([]),
}


def sketch_of(shapes, rows, reference="pair", spec="tensor", exact=None, **shards):
    """Groups of a probe whose minibatch gradients are `rows`, dicts by name."""
    groups = build_groups(list(shapes), spec)
    layout = build_layout(shapes, groups, **shards)
    positions = [sample_coordinates(layout, group, 40, 0) for group in groups]
    if exact is not None:
        total = torch.zeros(layout.size, dtype=torch.float64)
        for name, start, numel in zip(layout.names, layout.starts, layout.numels, strict=True):
            total[start : start + numel] = exact[name].reshape(-1)
        length = window_length(layout, total.device)
        exact = ExactReference(total, 1.0, plan_windows(layout, length))
    n_rows = len(rows) // 2 if reference == "pair" else len(rows)
    recorder = Recorder(
        layout, torch.device("cpu"), exact, np.concatenate(positions), n_rows, 5, reference
    )
    for row in rows:
        recorder.update([row[name] for name in layout.names])
    return recorder.finish(groups, positions, 64)


def rows_of(shapes, n=12):
    generator = torch.Generator().manual_seed(0)
    rows = []
    for _ in range(n):
        row = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        row["matrix"][row["matrix"] < -1] = 0
        rows.append(row)
    return rows


def assert_same(one, two, rel=1e-5):
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a.positions, b.positions)
        assert np.array_equal(a.coordinates, b.coordinates)
        assert np.array_equal(a.histogram, b.histogram)
        assert np.array_equal(a.gradient_zero_shares, b.gradient_zero_shares)
        assert np.array_equal(a.noise_zero_shares, b.noise_zero_shares)
        scale = float(np.abs(a.projections).max(initial=0))
        assert b.projections == pytest.approx(a.projections, abs=rel * scale)
        assert b.norms == pytest.approx(a.norms, rel=1e-12)
        assert b.gradient_squares == pytest.approx(a.gradient_squares, rel=1e-12)
        assert b.block_squares == pytest.approx(a.block_squares, rel=1e-12)
        assert b.reference_square == pytest.approx(a.reference_square, rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("reference", ["full", "pair"])
@pytest.mark.parametrize("window", [64, 192, 1024])
def test_windows_of_any_length_give_the_same_sketch(monkeypatch, reference, window):
    """Bit for bit, but for sums: also where a window cuts tensors and holds several cells."""
    rows = rows_of(SHAPES)
    exact = rows_of(SHAPES, 1)[0] if reference == "full" else None
    spec = {"x": "[cm]*", "y": "*i*"}
    one = sketch_of(SHAPES, rows, reference, spec, exact)
    monkeypatch.setattr("noise_lens.capture.windows.CPU_WINDOW", window)
    strided = [{**row, "conv": row["conv"].to(memory_format=torch.channels_last)} for row in rows]
    assert_same(one, sketch_of(SHAPES, strided, reference, spec, exact))


def test_bins_of_a_gpu_are_those_of_a_cpu(monkeypatch):
    """The counting of a GPU, by a scatter of int64, run on a CPU."""
    rows = rows_of(SHAPES)
    one = sketch_of(SHAPES, rows)
    monkeypatch.setattr("noise_lens.capture.windows.CPU_WINDOW", 1024)
    real = Recorder.__init__

    def with_wide_bins(self, *parts):
        real(self, *parts)
        for size, space in self._spaces.items():
            space.bins = torch.zeros(size, dtype=torch.int64)

    monkeypatch.setattr(Recorder, "__init__", with_wide_bins)
    assert_same(one, sketch_of(SHAPES, rows))


@pytest.mark.parametrize("reference", ["full", "pair"])
@pytest.mark.parametrize("window", [128, 131_072])
def test_shards_add_up_to_the_whole(monkeypatch, reference, window):
    """Three uneven shards of every tensor, some of them empty: squares, zero counts, histograms,
    projections and coordinates of the whole. The projections' error is that of float32 sums.
    """
    monkeypatch.setattr("noise_lens.capture.windows.CPU_WINDOW", window)
    rows, exact = rows_of(SHAPES), rows_of(SHAPES, 1)[0] if reference == "full" else None
    numels = {name: shape.numel() for name, shape in SHAPES.items()}
    cuts = {"conv": [0, 100, 500, 567], "matrix": [0, 1777, 1777, 3000], "bias": [0, 0, 0, 130],
            "scalar": [0, 0, 1, 1]}  # fmt: skip
    whole = sketch_of(SHAPES, rows, reference, exact=exact)
    parts = []
    for shard in range(3):

        def held(row, shard=shard):
            return {n: t.reshape(-1)[slice(*cuts[n][shard : shard + 2])] for n, t in row.items()}

        own = [held(row) for row in rows]
        parts.append(
            sketch_of(
                {name: own[0][name].shape for name in SHAPES}, own, reference,
                exact=None if exact is None else held(exact),
                first={name: cuts[name][shard] for name in SHAPES}, whole=numels,
            )
        )  # fmt: skip
    for one, *shards in zip(whole, *parts, strict=True):

        def total(of, shards=shards):
            return sum(of(part) for part in shards)

        assert total(lambda s: s.n_parameters) == one.n_parameters
        assert total(lambda s: s.norms**2) == pytest.approx(one.norms**2, rel=1e-6)
        assert total(lambda s: s.gradient_squares) == pytest.approx(one.gradient_squares, rel=1e-6)
        assert np.array_equal(total(lambda s: s.histogram), one.histogram)
        zeros = total(lambda s: s.noise_zero_shares * s.n_parameters) / one.n_parameters
        assert zeros == pytest.approx(one.noise_zero_shares, abs=1e-12) or not len(zeros)
        scale = float(np.abs(one.projections).max(initial=0))
        projections = total(lambda s: s.projections.astype(np.float64))
        assert projections == pytest.approx(one.projections, abs=1e-5 * scale)
        columns = {tuple(where): one.coordinates[:, i] for i, where in enumerate(one.positions)}
        found = {
            tuple(where): part.coordinates[:, i]
            for part in shards
            for i, where in enumerate(part.positions)
        }
        assert found.keys() == columns.keys()
        assert all(np.array_equal(found[where], columns[where]) for where in columns)


def test_a_nan_gradient_surfaces_in_the_shares():
    rows = rows_of(SHAPES)
    rows[3]["bias"][7] = float("nan")
    whole, bias = (
        next(g for g in sketch_of(SHAPES, rows) if g.name == name) for name in ("all", "bias")
    )
    for group in (whole, bias):
        assert np.flatnonzero(np.isnan(group.gradient_zero_shares)).tolist() == [1]
        assert np.flatnonzero(np.isnan(group.noise_zero_shares)).tolist() == [1]


# A meta tensor has a shape and no memory: what would need its values, such as a wait for a GPU
# by `.item()` or a boolean index, raises.


class Calls(TorchDispatchMode):
    """Counts calls that launch a kernel: all that reach the device and are no views."""

    VIEWS = frozenset(
        ("alias", "as_strided", "detach", "empty", "expand", "select", "slice", "t", "unbind",
         "unsqueeze", "view")
    )  # fmt: skip

    def __init__(self):
        super().__init__()
        self.counts = Counter()
        self.waits = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.__name__.partition(".")[0]
        if name not in self.VIEWS:
            self.counts[name] += 1
        devices = {a.device.type for a in args if isinstance(a, torch.Tensor) and a.dim()}
        target = (kwargs or {}).get("device")
        if len(devices | ({torch.device(target).type} if target else set())) > 1:
            self.waits.append(name)
        return function(*args, **(kwargs or {}))


def on_meta(shapes, reference, spec="module", n_rows=1000, block_sums=True):
    groups = build_groups(list(shapes), spec)
    layout = build_layout(shapes, groups)
    positions = np.concatenate([sample_coordinates(layout, group, 128, 0) for group in groups])
    exact = None
    if reference != "pair":
        total = torch.zeros(layout.size, dtype=torch.float64, device="meta")
        windows = plan_windows(layout, window_length(layout, total.device))
        exact = ExactReference(total, 1.0, windows)
    recorder = Recorder(
        layout, torch.device("meta"), exact, positions, n_rows, 0, reference, block_sums
    )
    budget = memory_budget(
        layout, n_rows=n_rows, n_coordinates=len(positions), reference=reference,
        block_sums=block_sums, device="meta",
    )  # fmt: skip
    return layout, recorder, budget


def calls_of(shapes, reference):
    """Calls of one row on a device, and windows it takes."""
    layout, recorder, _ = on_meta(shapes, reference)
    n = 2 if reference == "pair" else 1
    minibatches = [[torch.empty(s, device="meta") for s in layout.shapes] for _ in range(n)]
    with torch.no_grad(), Calls() as calls:
        recorder._fill(0, minibatches)
    assert not calls.waits
    return sum(calls.counts.values()), -(-layout.size // 524_288)


@pytest.mark.parametrize("reference", ["full", "pair", "mean"])
def test_launches_follow_the_size_and_not_the_number_of_tensors(reference):
    """At most 26 a window, and at most a quarter more for 148 tensors than for one of their size;
    nothing asks for a value.
    """
    shapes = gpt2_shapes()
    assert len(shapes) == 148
    many, windows = calls_of(shapes, reference)
    one, _ = calls_of({"w": torch.Size([sum(s.numel() for s in shapes.values())])}, reference)
    assert many <= 26 * windows
    assert many <= 1.25 * one
    shapes = resnet50_shapes()
    assert len(shapes) == 161
    many, windows = calls_of(shapes, reference)
    assert many <= 26 * windows


def storages(found, seen=None):
    """Bytes of all memory that an object holds, each storage once."""
    seen = {} if seen is None else seen
    if isinstance(found, torch.Tensor):
        storage = found.untyped_storage()
        seen[storage._cdata] = storage.nbytes()
    elif isinstance(found, dict):
        for value in found.values():
            storages(value, seen)
    elif isinstance(found, list | tuple):
        for value in found:
            storages(value, seen)
    elif type(found).__module__.startswith("noise_lens.capture"):
        storages(vars(found), seen)
    return seen


@pytest.mark.parametrize("block_sums", [True, False])
@pytest.mark.parametrize("reference", ["full", "pair", "mean"])
def test_a_budget_is_what_is_held(reference, block_sums):
    """GPT-2 of 124 million parameters on a device that is no CPU: the memory of every tensor that
    is held is the budget, but for two lines of what is needed for a moment; the state of the
    sketch is at most 20 MB.
    """
    layout, recorder, budget = on_meta(gpt2_shapes(), reference, block_sums=block_sums)
    held = sum(storages(recorder).values())
    state, model, host = (part_of_budget(budget, part) for part in (STATE, MODEL, HOST))
    if reference == "pair":
        model -= budget[f"{MODEL}: first gradient of a pair"]  # autograd's
    assert sum(budget.values()) == sum(part_of_budget(budget, p) for p in (STATE, MODEL, HOST))
    moment = budget[f"{STATE}: sums of a window's lines"] + budget[f"{STATE}: losses"]
    assert moment < 1e6
    assert held == pytest.approx(state + model + host - moment, abs=100)
    assert state <= 20e6
    expected = {"full": 8, "mean": 8 + 4 * block_sums, "pair": 4 * block_sums}[reference]
    assert model == expected * layout.size


def test_the_state_does_not_grow_with_the_size_of_tensors():
    """Ten times as wide: the same state, to the byte."""
    small, large = (
        on_meta({"a.w": torch.Size([1000 * k, 1000]), "b.w": torch.Size([800 * k, 1000])}, "pair")
        for k in (1, 10)
    )
    assert part_of_budget(small[2], STATE) == part_of_budget(large[2], STATE)
    assert sum(storages(small[1]).values()) > 0
