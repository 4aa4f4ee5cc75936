from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from noise_lens import aggregation_curve, gaussianising_batch_size


def curve(low, high):
    sizes = 2 ** np.arange(len(low))
    return SimpleNamespace(block_sizes=sizes, low=np.array(low), high=np.array(high))


def test_by_hand():
    """b = 32: may be Gaussian from 64 on, is shown to be from 256 on."""
    found = gaussianising_batch_size(curve([1, 1.5, 1.9, 1.96], [1.2, 1.99, 2, 2]), 32)
    assert found == (64, 256, 256)
    assert str(found) == "64 to 256"


def test_it_must_stay_reached():
    """An upper bound that falls below 1.98 again was chance, or a point mass."""
    found = gaussianising_batch_size(curve([1.96, 1.5, 1.4], [2, 1.9, 1.8]), 1)
    assert found == (np.inf, np.inf, 4)


def test_a_rejected_batch_size_is_not_in_it():
    both = [1.96, 1.96], [2, 2]
    assert gaussianising_batch_size(curve(*both), 32) == (32, 32, 64)
    assert gaussianising_batch_size(curve(*both), 32, rejected=True) == (64, 64, 64)


def test_beyond_the_range():
    assert str(gaussianising_batch_size(curve([1, 1.1], [1.2, 1.3]), 32)) == "> 64"
    open_end = gaussianising_batch_size(curve([1, 1.8], [1.2, 1.99]), 32)
    assert open_end == (64, np.inf, 64)
    assert str(open_end) == ">= 64 (shown for none up to 64)"


def test_less_data_never_narrows_the_answer():
    """Laplace rows, 20 data sets: from 250 rows the upper end is not below that from 1000 rows.
    (It needs intervals that err in both; seen in none, one is allowed.)
    """
    better = 0
    for seed in range(20):
        rng = np.random.default_rng([12, seed])
        rows = rng.laplace(size=(1000, 40))
        many, few = (
            gaussianising_batch_size(aggregation_curve(part, rng), 1) for part in (rows, rows[:250])
        )
        better += few.high < many.high
    assert better <= 1
