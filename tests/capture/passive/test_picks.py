from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from noise_lens.capture.passive.picks import Pick, choose_picks

SHAPES = {
    "embedding": torch.Size([1000, 64]),
    "weight": torch.Size([96, 64]),
    "kernel": torch.Size([16, 8, 3, 3]),
    "bias": torch.Size([7]),
    "scalar": torch.Size([]),
    "empty": torch.Size([0, 4]),
}


def test_picks_are_distinct_inside_and_in_proportion():
    picks = {pick.name: pick for pick in choose_picks(SHAPES, 2000, seed=3)}
    assert list(picks) == ["embedding", "weight", "kernel", "bias", "scalar"]
    assert sum(pick.count for pick in picks.values()) == 2000
    for name, pick in picks.items():
        assert len(np.unique(pick.positions)) == pick.count
        assert pick.positions.min() >= 0
        assert pick.positions.max() < SHAPES[name].numel()
    ratio = picks["embedding"].count / picks["weight"].count
    assert ratio == pytest.approx(64_000 / 6144, rel=0.02)


def test_a_stride_visits_every_column_of_a_matrix():
    """A stride that divides the row length would look at a few columns alone."""
    for pick in choose_picks(SHAPES, 4000, seed=0):
        shape = SHAPES[pick.name]
        if len(shape) == 2 and pick.count > 4 * shape[1]:
            assert len(np.unique(pick.positions % shape[1])) == shape[1]


def test_small_models_are_kept_whole():
    picks = choose_picks({"w": torch.Size([5, 3]), "b": torch.Size([5])}, 65_536, seed=9)
    assert [sorted(pick.positions.tolist()) for pick in picks] == [list(range(15)), list(range(5))]


@pytest.mark.parametrize("cuts", [(0, 7, 20), (0, 0, 20), (0, 3, 3, 19, 20)])
def test_parts_of_shards_are_the_whole(cuts):
    pick = Pick("w", offset=2, stride=5, count=4)  # 2, 7, 12, 17
    whole = torch.arange(20.0)
    found, firsts = [], []
    for start, stop in itertools.pairwise(cuts):
        first, part = pick.within(start, stop)
        found += part.view(whole[start:stop]).tolist()
        firsts.append((first, part.count))
    assert found == [2, 7, 12, 17]
    assert sum(count for _, count in firsts) == 4
    assert all(first == sum(c for _, c in firsts[:i]) for i, (first, c) in enumerate(firsts) if c)


def test_a_stride_of_the_row_length_is_not_taken():
    """128 of 128 x 64: every 64th would be one column; 63 is the next without a factor."""
    (pick,) = choose_picks({"w": torch.Size([128, 64])}, 128, seed=1)
    assert pick.stride == 63
    assert len(np.unique(pick.positions % 64)) == 64


def test_a_small_tensor_is_covered_to_its_end():
    """26 of 12 x 6: a stride of 1 would see the first third alone."""
    (pick,) = choose_picks({"w": torch.Size([12, 6])}, 26, seed=1)
    assert pick.stride == 2
    assert pick.positions.max() - pick.positions.min() == 50
