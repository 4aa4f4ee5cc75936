from __future__ import annotations

import numpy as np
import torch

from noise_lens.capture.coordinates import sample_coordinates
from noise_lens.capture.groups import build_groups
from noise_lens.capture.layout import build_layout


def chosen(numels, n, seed=0, spec="all", group=0):
    shapes = {f"p{i}": torch.Size([numel]) for i, numel in enumerate(numels)}
    groups = build_groups(list(shapes), spec)
    layout = build_layout(shapes, groups)
    positions = sample_coordinates(layout, groups[group], n, seed)
    tensor = np.searchsorted(layout.starts, positions, side="right") - 1
    assert np.all(positions - layout.starts[tensor] < layout.numels[tensor])
    assert len(set(positions.tolist())) == len(positions)
    return positions, np.bincount(tensor, minlength=len(numels))


def test_in_proportion_to_size():
    _, counts = chosen([1000, 2000, 3000], 60)
    assert counts.tolist() == [11, 20, 29]  # two each, the other 54 as 9 : 18 : 27 of what is left


def test_at_least_two_a_tensor_of_all_and_one_elsewhere():
    _, counts = chosen([1_000_000, 3, 1, 5], 10)
    assert counts.tolist() == [5, 2, 1, 2]
    _, counts = chosen([10] * 50, 20)
    assert counts.tolist() == [2] * 50  # more than asked rather than none of a tensor
    _, counts = chosen([1_000_000, 3, 1, 5], 10, spec="p[0-3]", group=1)
    assert counts.min() == 1


def test_small_groups_give_all_they_have():
    positions, counts = chosen([4, 5], 128)
    assert counts.tolist() == [4, 5]
    assert len(positions) == 9


def test_a_function_of_seed_and_name():
    one, two = chosen([500, 500], 40)[0], chosen([500, 500], 40)[0]
    other = chosen([500, 500], 40, seed=1)[0]
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
    # Another tensor beside it does not move the choice in a tensor, only its size.
    group = chosen([500, 500], 40, spec="tensor", group=1)[0]
    assert np.array_equal(group, chosen([500, 900], 40, spec="tensor", group=1)[0])
