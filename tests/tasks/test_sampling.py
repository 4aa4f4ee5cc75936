from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    TensorDataset,
    WeightedRandomSampler,
)

from noise_lens import TaskError
from noise_lens.tasks import MapMinibatches, StreamMinibatches, minibatches_of


class Squares(Dataset):
    def __len__(self):
        return 10

    def __getitem__(self, index):
        return {"x": torch.tensor(float(index)), "y": index**2}


class Stream(IterableDataset):
    def __iter__(self):
        return iter(torch.arange(20.0))


def test_draws_are_uniform_independent_and_repeatable():
    """Chi-square of 10,000 draws over 10 examples; false alarm 1e-3. Repeats inside a minibatch
    show that it is with replacement.
    """
    source = minibatches_of(TensorDataset(torch.arange(10)))
    batches = torch.stack([batch[0] for batch in source.draw(1000, 10, seed=1)])
    assert stats.chisquare(np.bincount(batches.flatten())).pvalue > 1e-3
    assert any(len(set(row.tolist())) < 10 for row in batches)
    again = torch.stack([batch[0] for batch in source.draw(1000, 10, seed=1)])
    assert torch.equal(batches, again)
    assert source.sampling == "i.i.d. with replacement"


@pytest.mark.parametrize("batch_size", [1, 7])
def test_indices_are_those_of_the_drawn(batch_size):
    """In the order of drawing, for the same seed and no other, without reading an example."""

    class Unreadable(Squares):
        def __getitem__(self, index):
            raise AssertionError("read")

    source = minibatches_of(TensorDataset(torch.arange(10)))
    drawn = torch.stack([batch[0] for batch in source.draw(60, batch_size, seed=3)])
    indices = minibatches_of(Unreadable()).indices(60, batch_size, seed=3)
    assert indices.dtype == np.int64
    assert np.array_equal(indices, drawn)
    assert not np.array_equal(indices, source.indices(60, batch_size, seed=4))


def test_some_places_of_a_draw_are_those_minibatches(monkeypatch):
    """A rank reads its own examples and no others, and all ranks together the whole draw."""
    source = minibatches_of(TensorDataset(torch.arange(1000)))
    drawn = [batch[0].tolist() for batch in source.draw(7, 4, seed=0)]
    read = []
    monkeypatch.setattr(source, "pick", read.append)
    list(source.draw(7, 4, seed=0, places=[1, 4, 6]))
    assert read == [drawn[1], drawn[4], drawn[6]]


def test_a_stream_gives_as_many_as_there_are_places():
    source = minibatches_of(iter(range(5)))
    assert list(source.draw(9, 1, seed=0, places=[1, 4, 6])) == [0, 1, 2]


def test_drawn_minibatches_stay_the_same_between_versions():
    """What seed 0 drew when the first run folders were written."""
    source = minibatches_of(TensorDataset(torch.arange(1000)))
    first, second = (batch[0].tolist() for batch in source.draw(2, 4, seed=0))
    assert (first, second) == ([44, 239, 933, 760], [963, 379, 427, 503])


def test_a_stream_has_no_indices():
    assert minibatches_of(iter([torch.zeros(3)])).indices(1, 3, seed=0) is None


def test_the_global_generator_is_not_used():
    state = torch.get_rng_state()
    list(minibatches_of(Squares()).draw(5, 3, seed=0))
    assert torch.equal(torch.get_rng_state(), state)


def test_any_map_style_dataset_is_collated():
    batch = next(minibatches_of(Squares()).draw(1, 4, seed=0))
    assert batch["x"].shape == (4,)
    assert torch.equal(batch["y"].float(), batch["x"] ** 2)


def test_a_loader_lends_its_dataset_and_its_collate_function():
    loader = DataLoader(Squares(), batch_size=5, collate_fn=len)
    source = minibatches_of(loader)
    assert isinstance(source, MapMinibatches)
    assert next(source.draw(1, 7, seed=0)) == 7


def test_a_sampler_of_its_own_is_another_distribution():
    """Weighted and batch samplers are taken as they come; shuffling is i.i.d. sampling anyway."""
    weighted = WeightedRandomSampler([1.0] + [0.0] * 9, 20)
    source = minibatches_of(DataLoader(Squares(), batch_size=4, sampler=weighted))
    assert isinstance(source, StreamMinibatches)
    assert source.sampling == "as the loader's WeightedRandomSampler gives them"
    assert not next(source.draw(1, 99, seed=0))["x"].any()
    assert source.size_of_drawn(99) == 4
    assert isinstance(minibatches_of(DataLoader(Squares(), shuffle=True)), MapMinibatches)


def test_sizes_of_a_stream_are_those_it_gave():
    source = minibatches_of(iter([torch.zeros(3), torch.zeros(3), torch.zeros(5)]))
    list(source.draw(2, 32, seed=0))
    assert source.size_of_drawn(32) == 3
    list(source.draw(1, 32, seed=0))
    assert source.size_of_drawn(32) is None


def test_a_subclass_of_tensor_dataset_keeps_its_own_items():
    class Doubled(TensorDataset):
        def __getitem__(self, index):
            return tuple(2 * tensor for tensor in super().__getitem__(index))

    assert minibatches_of(Doubled(torch.ones(5))).pick([0, 1])[0].tolist() == [2, 2]


def test_a_list_could_be_either():
    with pytest.raises(TaskError, match="a list of 2, which could be examples or minibatches"):
        minibatches_of([torch.zeros(3), torch.zeros(3)])


def test_whole_data_once_with_the_size_of_the_last():
    sizes = [size for _, size in minibatches_of(Squares()).whole(4)]
    assert sizes == [4, 4, 2]
    seen = torch.cat([batch["x"] for batch, _ in minibatches_of(Squares()).whole(4)])
    assert torch.equal(seen, torch.arange(10.0))


def test_a_stream_goes_on_and_begins_again():
    source = minibatches_of(DataLoader(Stream(), batch_size=8))
    assert isinstance(source, StreamMinibatches)
    first = [batch[0].item() for batch in source.draw(2, 99, seed=0)]
    rest = [batch[0].item() for batch in source.draw(3, 99, seed=0)]
    assert (first, rest) == ([0, 8], [16, 0, 8])
    assert "without replacement" in source.sampling


def test_exhausted_and_empty():
    with pytest.raises(TaskError, match="gave 3 of 5 minibatches and then none from a new start"):
        list(minibatches_of(iter(range(3))).draw(5, 1, seed=0))
    with pytest.raises(TaskError, match="gave 0 of 5"):
        list(minibatches_of(iter([])).draw(5, 1, seed=0))
    with pytest.raises(TaskError, match="the data set is empty"):
        minibatches_of(TensorDataset(torch.empty(0, 3)))
    with pytest.raises(TaskError, match="must be a Dataset, DataLoader or iterable, got int"):
        minibatches_of(3)
