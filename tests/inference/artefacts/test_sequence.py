"""Location, dependence along the sequence, and epochs, each with a number that is known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from noise_lens.inference.artefacts import row_warnings


def test_a_mean_left_in_is_a_share_of_columns(rng, named):
    rows = rng.standard_normal((1000, 10))
    rows[:, 3:6] += 0.5
    found = named(row_warnings(rows))
    assert set(found) == {"location"}
    assert found["location"].value == pytest.approx(0.3)
    assert found["location"].message.startswith("3 of 10 columns are not centred (")


def test_signs_that_alternate_have_correlation_minus_one(rng, named):
    rows = np.abs(rng.standard_normal((1000, 10))) * (-1.0) ** np.arange(1000)[:, None]
    found = named(row_warnings(rows))
    assert found["autocorrelation"].value == pytest.approx(-1)
    assert set(found) == {"autocorrelation", "without_replacement"}  # pairs nearly cancel


def test_an_average_over_steps_is_autocorrelated(rng, named):
    """Neighbours of correlation .9 have signs of correlation 2 / pi * asin(.9) = .713."""
    rows = np.zeros((1000, 50))
    for before, row in pairwise(rows):
        row[:] = 0.9 * before + rng.standard_normal(50)
    found = named(row_warnings(rows))
    assert {"autocorrelation", "magnitude_autocorrelation"} <= set(found)
    expected = 2 / np.pi * np.arcsin(0.9)
    assert found["autocorrelation"].value == pytest.approx(expected, abs=0.03)
    assert "location" not in found


def test_a_location_is_no_autocorrelation(rng, named):
    found = named(row_warnings(rng.standard_normal((1000, 20)) + 3))
    assert set(found) == {"location"}


def test_a_scale_that_varies_slowly_is_found(rng, named):
    """Log scales of -1 and 1 in turns of 100: 1 / (1 + pi**2 / 8) = .448, a little more clipped."""
    scales = np.exp(np.repeat((-1.0) ** np.arange(10), 100))[:, None]
    found = named(row_warnings(rng.standard_normal((1000, 30)) * scales))
    assert set(found) == {"magnitude_autocorrelation", "shared_scale"}
    assert found["magnitude_autocorrelation"].value == pytest.approx(0.46, abs=0.03)


def test_rows_of_pairs_that_cancel_have_no_variance(rng, named):
    """x, -x, y, -y: each sum of two is 0."""
    first = rng.standard_normal((200, 10))
    rows = np.stack([first, -first], axis=1).reshape(400, 10)
    found = named(row_warnings(rows))["without_replacement"]
    assert found.value == 0
    assert "rows have 0.00 times the variance" in found.message


def epochs(rng, n_examples, batch_size, n_rows, d):
    """Minibatch means over shuffled epochs, minus the mean of all examples."""
    examples = rng.standard_normal((n_examples, d))
    examples -= examples.mean(axis=0)
    drawn = []
    while len(drawn) < n_rows:
        order = rng.permutation(n_examples).reshape(-1, batch_size)
        drawn.extend(examples[order].mean(axis=1))
    return np.array(drawn[:n_rows]), examples


@pytest.mark.parametrize(
    ("n_examples", "n_rows", "d"), [(320, 1000, 1), (1440, 1000, 20), (1440, 100, 60)]
)
def test_epochs_are_seen_in_sums(rng, n_examples, n_rows, d, named):
    """10 and 45 minibatches an epoch; with replacement, from the same examples, none is seen."""
    rows, examples = epochs(rng, n_examples, 32, n_rows, d)
    found = named(row_warnings(rows))["without_replacement"]
    assert found.value < 0.5
    assert "minibatches drawn without replacement" in found.message
    again = examples[rng.integers(0, n_examples, (n_rows, 32))].mean(axis=1)
    assert set(named(row_warnings(again))) <= {"few_rows", "few_columns"}


def test_rows_centred_by_their_own_mean_sum_to_nothing(rng, named):
    rows = rng.standard_normal((1000, 60))
    found = named(row_warnings(rows - rows.mean(axis=0)))
    assert set(found) == {"without_replacement"}
    assert found["without_replacement"].value == pytest.approx(0, abs=1e-6)
    assert found["without_replacement"].message.startswith("sums of 1000 consecutive rows")


def test_columns_that_are_one_count_as_one(rng, named):
    """64 copies of one column, 200 samples: a count of entries would see epochs in most."""
    found = [row_warnings(np.repeat(rng.standard_normal((200, 1)), 64, axis=1)) for _ in range(200)]
    assert {name for one in found for name in named(one)} == {"few_rows"}


@pytest.mark.parametrize(
    ("sampling", "said"),
    [
        ("i.i.d. with replacement", False),
        ("as the loader gives them, without replacement", True),
        ("epoch by epoch", True),
        ("as the loader's WeightedRandomSampler gives them", False),
        (None, False),
    ],
)
def test_what_is_known_of_the_sampling_is_said(rng, sampling, said, named):
    found = named(row_warnings(rng.standard_normal((1000, 20)), sampling=sampling))
    assert set(found) == ({"without_replacement"} if said else set())
    few = named(row_warnings(rng.standard_normal((19, 20)), sampling=sampling))
    assert ("without_replacement" in few) == said
    if said:
        # Of all rows the ratio is chi-square with 20 degrees over 20: below .18 once in 1e5.
        assert 0.18 < found["without_replacement"].value < 2
        assert f"minibatches come {sampling}" in found["without_replacement"].message
