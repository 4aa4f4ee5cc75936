from __future__ import annotations

import random

import numpy as np
import pytest
import torch

import noise_lens as nl
from noise_lens.capture.ranks import Ranks, checked_ranks, places_of, ranks_here, seeded


@pytest.mark.parametrize(("n", "world_size"), [(50, 1), (51, 2), (53, 3), (100, 7)])
@pytest.mark.parametrize("reference", ["full", "pair"])
def test_ranks_share_a_draw_without_gap_or_overlap(n, world_size, reference):
    shares = [places_of(n, reference, Ranks(rank, world_size)) for rank in range(world_size)]
    assert sorted(np.concatenate(shares)) == list(range(n))
    rows = [len(share) // (2 if reference == "pair" else 1) for share in shares]
    assert sum(rows) == n // (2 if reference == "pair" else 1)
    assert max(rows) - min(rows) <= 1
    if reference == "pair":
        for share in shares:
            even = share[: len(share) // 2 * 2]
            assert np.array_equal(even[1::2], even[::2] + 1)
            assert not (even[::2] % 2).any()


def test_more_ranks_than_rows():
    with pytest.raises(nl.CaptureError, match=r"50 minibatches are 25 rows .*too few for 26 ranks"):
        places_of(50, "pair", Ranks(0, 26))


def test_ranks_of_the_environment(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("RANK", "3")
    assert ranks_here() == (0, 1)
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert ranks_here() == (3, 4)
    monkeypatch.delenv("RANK")
    with pytest.raises(nl.CaptureError, match="WORLD_SIZE=4 and RANK=nothing"):
        ranks_here()
    with pytest.raises(nl.CaptureError, match="0 <= rank < world_size, got 4 of 4"):
        checked_ranks(4, 4)


def test_a_process_group_knows_better(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    assert ranks_here() == (1, 2)


def test_each_place_has_its_own_draws():
    """The same on every rank, from every global generator, and other for every place."""

    def drawn(places):
        batches = seeded(iter(places), places, 7, torch.device("cpu"))
        return {
            place: (torch.rand(2).tolist(), np.random.rand(), random.random())  # noqa: NPY002
            for place in batches
        }

    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    whole, share = drawn(range(20)), drawn([1, 4, 18])
    assert share == {place: whole[place] for place in share}
    for kind in range(3):
        assert len({str(draws[kind]) for draws in whole.values()}) == 20
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    random.setstate(states[2])


def test_draws_of_whole_blocks_are_seen():
    """312 numbers leave the position of NumPy's generator where seeding put it."""

    def drawn(places):
        return {
            place: np.random.rand(312).sum()  # noqa: NPY002
            for place in seeded(iter(places), places, 7, torch.device("cpu"))
        }

    state = np.random.get_state()  # noqa: NPY002
    whole, share = drawn(range(20)), drawn([3, 17])
    np.random.set_state(state)  # noqa: NPY002
    assert share == {place: whole[place] for place in share}
