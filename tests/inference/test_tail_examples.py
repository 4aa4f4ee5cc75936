from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from noise_lens import NotEnoughDataError, SamplesError
from noise_lens.capture import probe
from noise_lens.inference.tail_examples import tail_examples
from noise_lens.tasks import minibatches_of

OUTLIER = 37


def squared(model, batch):
    return (model(batch[0]) - batch[1]).square().mean()


def sketch_with_an_outlier(batch_size, reference="full", n_minibatches=600):
    """200 examples of Gaussian inputs; the label of number 37 is 30 standard deviations off."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 5, generator=generator)
    y = x.sum(dim=1, keepdim=True) + torch.randn(200, 1, generator=generator)
    y[OUTLIER] += 30
    torch.manual_seed(0)
    data = minibatches_of(TensorDataset(x, y))
    return probe(
        nn.Linear(5, 1), squared, data, n_minibatches=n_minibatches, batch_size=batch_size,
        reference=reference, seed=2,
    )  # fmt: skip


def test_three_rows_by_hand():
    """Squares 1, 4 and 4 of 9: example 8 was drawn twice and stands in the list once."""
    found = tail_examples([1.0, 2.0, 2.0], [[3], [8], [8]])
    assert (found.n_rows, found.examples_a_row) == (3, 1)
    assert found.top_share == pytest.approx(4 / 9)  # 1 % of 3 rows is 1 row
    assert found.rows.tolist() == [1, 2, 0]
    assert found.row_norms.tolist() == [2, 2, 1]
    assert found.row_shares == pytest.approx([4 / 9, 4 / 9, 1 / 9])
    assert found.row_examples.tolist() == [[8], [8], [3]]
    assert found.row_excess == pytest.approx(np.array([[1], [1], [-2]]))
    assert found.examples.tolist() == [8, 3]
    assert found.n_drawn.tolist() == [2, 1]
    assert found.norms == pytest.approx([2, 1])
    assert found.shares == pytest.approx([8 / 9, 1 / 9])
    assert found.excess == pytest.approx([1, -2])


def test_three_minibatches_by_hand():
    """Squares 9, 1 and 2, mean 4. Example 1 is in rows 0 and 2 (once twice in one row): mean 5.5,
    excess 1.5 twice. Example 2 is in row 0 alone: excess 5, of which nothing shows whose it is.
    """
    norms = [3.0, 1.0, np.sqrt(2)]
    found = tail_examples(norms, [[1, 2], [4, 3], [1, 1]], top=2)
    assert found.examples_a_row == 2
    assert found.rows.tolist() == [0, 2]
    assert found.row_examples.tolist() == [[1, 2], [1, 1]]
    assert found.row_excess == pytest.approx(np.array([[1.5, 5], [1.5, 1.5]]))
    assert found.examples.tolist() == [2, 1]
    assert found.n_drawn.tolist() == [1, 2]
    assert found.excess == pytest.approx([5, 1.5])
    assert found.shares == pytest.approx([9 / 12, 11 / 12])


def test_a_companion_does_not_outrank_what_it_came_with():
    """Example 0 in three heavy rows of six; 1 only in the heaviest, with a larger mean."""
    norms = [10.0, 9.0, 9.0, 1.0, 1.0, 1.0]
    found = tail_examples(norms, [[0, 1], [0, 2], [3, 0], [2, 3], [4, 5], [6, 7]])
    assert found.examples[:2].tolist() == [0, 1]
    assert found.excess[1] > found.excess[0]


def test_pairs_hold_the_examples_of_both_minibatches():
    """Row r is of the minibatches 2r and 2r + 1; an odd last one was not used."""
    found = tail_examples([1.0, 5.0], [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]])
    assert found.examples_a_row == 4
    assert found.row_examples.tolist() == [[4, 5, 6, 7], [0, 1, 2, 3]]
    assert 8 not in found.examples


def test_share_of_the_top_percent(rng):
    """1 % of 250 rows is 3 rows; equal norms give 3 of 250."""
    norms = rng.pareto(3, 250)
    indices = np.arange(250)[:, None]
    largest = np.sort(norms**2)[-3:].sum() / (norms**2).sum()
    assert tail_examples(norms, indices).top_share == pytest.approx(largest)
    assert tail_examples(np.ones(250), indices).top_share == pytest.approx(3 / 250)


@pytest.mark.parametrize(
    ("batch_size", "reference"), [(1, "full"), (1, "pair"), (4, "full"), (4, "pair"), (8, "full")]
)
def test_a_planted_outlier_is_found(batch_size, reference):
    """One wrong label of 200, by its number in the data set; alone or among its companions."""
    sketch = sketch_with_an_outlier(batch_size, reference)
    group = sketch.groups[0]
    found = tail_examples(group.norms, sketch.example_indices)
    rows = sketch.example_indices.reshape(len(group.norms), -1)
    assert found.examples[0] == OUTLIER
    assert OUTLIER in found.row_examples[0]
    holding = (rows == OUTLIER).any(axis=1)
    assert found.n_drawn[0] == holding.sum() > 1
    assert found.shares[0] == pytest.approx(
        (group.norms[holding] ** 2).sum() / (group.norms**2).sum()
    )
    assert found.shares[0] > 5 * found.n_drawn[0] / found.n_rows
    assert len(set(found.examples.tolist())) == 10


def test_one_example_a_row_is_one_norm():
    """At batch size 1 and frozen weights every draw of an example is the same noise."""
    sketch = sketch_with_an_outlier(1)
    norms = sketch.groups[0].norms
    found = tail_examples(norms, sketch.example_indices, top=200)
    for example, norm in zip(found.examples, found.norms, strict=True):
        assert norms[sketch.example_indices[:, 0] == example] == pytest.approx(norm, rel=1e-4)


def test_unit_of_the_gradient_does_not_matter(rng):
    norms, indices = rng.pareto(2, 100), rng.integers(30, size=(100, 3))
    one, other = tail_examples(norms, indices), tail_examples(norms * 1e100, indices)
    assert np.array_equal(one.examples, other.examples)
    assert one.shares == pytest.approx(other.shares)


def test_errors():
    indices = np.arange(3)[:, None]
    with pytest.raises(ValueError, match="top must be at least 1, got 0"):
        tail_examples(np.ones(3), indices, top=0)
    with pytest.raises(SamplesError, match=r"one norm a row, got shape \(3, 1\)"):
        tail_examples(np.ones((3, 1)), indices)
    with pytest.raises(SamplesError, match="got 2 others of 3"):
        tail_examples([1, -1, np.inf], indices)
    with pytest.raises(NotEnoughDataError, match="at least 1 norms above 0, got 0"):
        tail_examples(np.zeros(3), indices)
    with pytest.raises(SamplesError, match=r"integers of shape \(M, b\), got float64"):
        tail_examples(np.ones(3), indices * 1.0)
    with pytest.raises(SamplesError, match="A sketch keeps them for a batch size of at most 8"):
        tail_examples(np.ones(3), None)
    with pytest.raises(SamplesError, match="got 3 minibatches and 2 rows"):
        tail_examples(np.ones(2), indices)
