from __future__ import annotations

import numpy as np
import pytest
import torch

from noise_lens.capture.groups import build_groups
from noise_lens.capture.layout import LINE, build_layout

SHAPES = {
    "a": torch.Size([5, 30]),
    "b": torch.Size([7]),
    "c": torch.Size([64]),
    "d": torch.Size([]),
}


def layout_of(spec, **shards):
    return build_layout(SHAPES, build_groups(list(SHAPES), spec), **shards)


def test_tensors_do_not_overlap_and_start_on_lines():
    layout = layout_of("tensor")
    taken = np.zeros(layout.size, dtype=int)
    for start, numel in zip(layout.starts, layout.numels, strict=True):
        taken[start : start + numel] += 1
    assert taken.max() == 1
    assert taken.sum() == 150 + 7 + 64 + 1
    assert all(start % LINE == 0 for start in layout.starts)


def test_cells_are_the_coarsest_that_groups_need():
    assert layout_of("all").n_cells == 1
    assert layout_of("tensor").n_cells == 4
    overlapping = layout_of({"x": "[ac]", "y": "[cb]"})
    assert overlapping.n_cells == 4  # a, b, c, d belong to different sets of groups
    assert layout_of({"x": "[ac]"}).n_cells == 2


def test_groups_are_sums_of_cells():
    layout = layout_of({"x": "[ac]", "y": "[cb]"})
    assert layout.group_numels().tolist() == [150 + 7 + 64 + 1, 150 + 64, 64 + 7]


def test_cells_are_contiguous():
    """Members of a group that are apart in the model lie together in the layout."""
    layout = layout_of({"x": "[ac]"})
    places = {name: index for index, name in enumerate(layout.names)}
    assert abs(places["a"] - places["c"]) == 1


def test_a_shard_keeps_the_place_in_the_line_that_the_whole_tensor_has():
    """Element i of the whole tensor lies at a place that is i modulo 64, and is reported as i."""
    layout = layout_of("all", first={"a": 100, "c": 64}, whole={"a": 700, "c": 200})
    index = layout.names.index("a")
    assert layout.starts[index] % LINE == 100 % LINE
    assert layout.starts[layout.names.index("c")] % LINE == 0
    last = layout.starts[index] + 149
    assert layout.indices(np.array([last])).tolist() == [[index, 249]]
    assert layout.wholes.tolist() == [700, 7, 200, 1]


def test_a_shard_must_lie_in_its_tensor():
    with pytest.raises(ValueError, match="of a holds 150 elements from 100 on, of 249"):
        layout_of("all", first={"a": 100}, whole={"a": 249})
    with pytest.raises(ValueError, match=r"an unknown number. Give whole\[name\]"):
        layout_of("all", first={"a": 100})
