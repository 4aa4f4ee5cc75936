from __future__ import annotations

import numpy as np
import torch

from noise_lens.capture.groups import build_groups
from noise_lens.capture.layout import LINE, build_layout

SHAPES = {
    "a": torch.Size([5, 30]),
    "b": torch.Size([7]),
    "c": torch.Size([64]),
    "d": torch.Size([]),
}


def layout_of(spec):
    return build_layout(SHAPES, build_groups(list(SHAPES), spec))


def test_views_do_not_overlap_and_start_on_lines():
    layout = layout_of("tensor")
    flat = torch.zeros(layout.size)
    for number, view in enumerate(layout.views(flat), start=1):
        view.fill_(number)
    counts = np.bincount(flat.to(torch.int64).numpy())
    assert counts[1:].tolist() == layout.numels.tolist()
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
    """Members of a group that are apart in the model lie together in the buffer."""
    layout = layout_of({"x": "[ac]"})
    places = {name: index for index, name in enumerate(layout.names)}
    assert abs(places["a"] - places["c"]) == 1
