from __future__ import annotations

import numpy as np
import pytest
import torch

from noise_lens.capture.groups import build_groups
from noise_lens.capture.layout import build_layout
from noise_lens.capture.projections import BANK_LENGTH
from noise_lens.capture.windows import Stage, plan_windows

SHAPES = {
    "conv": torch.Size([5, 7, 3, 3]),
    "empty": torch.Size([0, 4]),
    "matrix": torch.Size([30, 50]),
    "scalar": torch.Size([]),
    "bias": torch.Size([130]),
}


def layout_of(shapes=SHAPES, spec="tensor", **shards):
    return build_layout(shapes, build_groups(list(shapes), spec), **shards)


def read_back(layout, length, *minibatches):
    """All gradients, through windows of this length, by place: shape (n, size)."""
    windows = plan_windows(layout, length)
    n = len(minibatches)
    buffer = torch.full((n * length,), torch.nan)  # what a window does not write shows
    stage = Stage(windows, buffer, n)
    found = []
    for window in windows:
        stage.fill(window, minibatches)
        size = window.stop - window.start
        found.append(buffer[: n * size].view(n, size).clone())
        buffer.fill_(torch.nan)
    return torch.cat(found, dim=1)


def expected(layout, gradients):
    flat = torch.zeros(layout.size)
    for start, numel, gradient in zip(layout.starts, layout.numels, gradients, strict=True):
        if gradient is not None:
            flat[start : start + numel] = gradient.reshape(-1).float()
    return flat


def gradients_of(layout, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in layout.shapes]


@pytest.mark.parametrize("length", [64, 128, 320, 4096])
def test_every_element_comes_once_whatever_the_window(length):
    """Two minibatches; a tensor without a gradient, another type, and strides of every kind."""
    layout = layout_of()
    places = {name: index for index, name in enumerate(layout.names)}
    one, two = gradients_of(layout), gradients_of(layout, seed=1)
    one[places["conv"]] = one[places["conv"]].to(memory_format=torch.channels_last)
    one[places["matrix"]] = torch.randn(50, 30).t()
    one[places["bias"]] = torch.ones(()).expand(130)
    two[places["matrix"]] = None
    two[places["bias"]] = torch.randn(260)[::2]
    two[places["conv"]] = two[places["conv"]].bfloat16()
    found = read_back(layout, length, one, two)
    assert torch.equal(found, torch.stack([expected(layout, one), expected(layout, two)]))


def test_a_copy_of_a_strided_gradient_is_never_made():
    """Of channels_last tensors only boxes are read: no call makes a tensor of its size."""
    shapes = {"conv": torch.Size([64, 32, 3, 3])}
    layout = layout_of(shapes)
    gradient = torch.randn(shapes["conv"]).to(memory_format=torch.channels_last)
    windows = plan_windows(layout, 1024)
    stage = Stage(windows, torch.zeros(1024), 1)
    with torch.profiler.profile(profile_memory=True) as profile:
        for window in windows:
            stage.fill(window, [[gradient]])
    taken = max((event.self_cpu_memory_usage for event in profile.key_averages()), default=0)
    assert taken <= 4096


def test_windows_are_as_many_as_their_size_asks_for():
    """200 small tensors or one large one of the same size: the same number of windows."""
    many = layout_of({f"p{i}": torch.Size([640]) for i in range(200)})
    one = layout_of({"p": torch.Size([128_000])})
    assert len(plan_windows(many, 12_800)) == len(plan_windows(one, 12_800)) == 10


def test_a_piece_is_at_most_as_long_as_the_bank():
    layout = layout_of({"w": torch.Size([700_000])}, "all")
    windows = plan_windows(layout, 524_288)
    lengths = [piece.stop - piece.start for window in windows for piece in window.pieces]
    assert max(lengths) == BANK_LENGTH
    assert sum(lengths) == 700_000


def test_cells_of_a_window_are_those_of_its_lines():
    layout = layout_of(spec={"x": "matrix", "y": "*i*"})
    by_line = np.repeat(np.arange(layout.n_cells), np.diff(layout.cell_lines))
    for window in plan_windows(layout, 192):
        own = by_line[window.start // 64 : window.stop // 64]
        assert window.cells == tuple(np.unique(own).tolist())
        assert np.repeat(window.cells, np.diff(window.cell_lines)).tolist() == own.tolist()


def test_a_rank_that_holds_nothing_has_no_window():
    assert plan_windows(layout_of({"w": torch.Size([0])}), 64) == ()
