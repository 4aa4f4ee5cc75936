from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from noise_lens.theory.stationary.rows import distinct, finite_rows


@pytest.mark.parametrize(("n", "size"), [(6, 3), (9, 7), (4, 4), (5, 1)])
def test_distinct_numbers_are_uniform_over_all_sets(n, size):
    """Both ways of drawing: Floyd's and by order (9 choose 7). False alarms: 1 in 1000."""
    sets = distinct(n, size, 20_000, torch.Generator().manual_seed(1)).sort(1).values

    found = [tuple(one) for one in sets.tolist()]
    counts = [found.count(one) for one in itertools.combinations(range(n), size)]
    assert sum(counts) == 20_000  # no set holds a number twice
    assert len(counts) == 1 or stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("replace", [False, True])
def test_minibatches_are_rows_of_the_data(replace):
    rng = np.random.default_rng(0)
    inputs, targets = rng.standard_normal((7, 2)), rng.standard_normal(7)
    data = finite_rows(inputs, targets, replace=replace)
    draw = data.draws(50, 3, torch.device("cpu"))
    generator = torch.Generator().manual_seed(2)

    twice = 0
    for _ in range(70):  # beyond the steps whose numbers are drawn at once
        rows, residuals = draw(generator)
        number = (rows[:, :, None] == torch.as_tensor(inputs)).all(-1).int().argmax(-1)
        assert (rows == torch.as_tensor(inputs)[number]).all()
        left = targets - inputs @ np.linalg.lstsq(inputs, targets, rcond=None)[0]
        assert np.allclose(residuals, left[number], atol=1e-12)
        twice += sum(len(set(one)) < 3 for one in number.tolist())
    assert bool(twice) is replace


@pytest.mark.parametrize(
    ("inputs", "targets", "said"),
    [
        (np.ones((4, 1, 1)), np.ones(4), r"shapes \(n, d\) and \(n,\), got \(4, 1, 1\)"),
        (np.ones((4, 1)), np.ones(3), r"got \(4, 1\) and \(3,\)"),
        ([[1.0], [np.nan]], [1.0, 2.0], "NaN or inf in 1 of 2 rows"),
        ([[1.0], [2.0]], [1.0, np.inf], "NaN or inf in 1 of 2 rows"),
        (np.ones((4, 2)), np.ones(4), "rank 1 in 2 columns"),
        (np.ones((1, 2)), np.ones(1), "rank 1 in 2 columns"),
    ],
)
def test_data_without_a_centre_is_refused(inputs, targets, said):
    with pytest.raises(ValueError, match=said):
        finite_rows(inputs, targets, replace=False)
