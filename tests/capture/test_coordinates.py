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


def test_shards_together_choose_what_one_process_chooses():
    """Three uneven shards of each tensor, one of them empty: the union, by index of the whole."""
    numels = [5000, 300]
    cuts = {"p0": [0, 1234, 1234, 5000], "p1": [0, 0, 299, 300]}
    names = ["p0", "p1"]
    whole = dict(zip(names, numels, strict=True))
    groups = build_groups(names, "tensor")
    one = build_layout({name: torch.Size([whole[name]]) for name in names}, groups)
    for group in groups:
        expected = {tuple(row) for row in one.indices(sample_coordinates(one, group, 90, 3))}
        found = []
        for shard in range(3):
            held = {name: cuts[name][shard : shard + 2] for name in names}
            layout = build_layout(
                {name: torch.Size([stop - start]) for name, (start, stop) in held.items()},
                groups,
                first={name: start for name, (start, _) in held.items()},
                whole=whole,
            )
            positions = sample_coordinates(layout, group, 90, 3)
            assert np.all(np.diff(positions) > 0)
            found += [tuple(row) for row in layout.indices(positions)]
        assert len(found) == len(set(found)) == len(expected)
        assert set(found) == expected
