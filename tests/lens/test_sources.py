"""Which loaders a lens samples by itself, and which it leaves alone."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    RandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

import noise_lens as nl
from noise_lens.lens.sources import batch_size_of, source_of
from noise_lens.tasks import MapMinibatches

DATA = TensorDataset(torch.arange(40.0))


def test_the_share_of_a_rank_is_sampled_from_the_whole_data_set():
    sampler = DistributedSampler(DATA, num_replicas=2, rank=1)
    source = source_of(DataLoader(DATA, batch_size=4, sampler=sampler))
    assert isinstance(source, MapMinibatches)
    drawn = torch.cat([batch[0] for batch in source.draw(200, 4, seed=0)])
    assert len(drawn.unique()) == 40


@pytest.mark.parametrize("own", ["sampler", "batch_sampler"])
def test_weights_are_not_sampled_away(own):
    """Also in a batch_sampler, beside which the loader's own sampler is a plain default."""
    sampler = WeightedRandomSampler([1.0] * 40, 40)
    if own == "sampler":
        loader = DataLoader(DATA, batch_size=4, sampler=sampler)
    else:
        loader = DataLoader(DATA, batch_sampler=BatchSampler(sampler, 4, drop_last=False))
    with pytest.raises(nl.CaptureError, match="WeightedRandomSampler"):
        source_of(loader)


def test_a_plain_batch_sampler_is_seen_through():
    batches = BatchSampler(RandomSampler(DATA), 5, drop_last=False)
    loader = DataLoader(DATA, batch_sampler=batches)
    assert isinstance(source_of(loader), MapMinibatches)
    assert batch_size_of(loader) == 5
