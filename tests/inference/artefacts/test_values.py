"""Zeros, dead columns, atoms, ties and copies, each with a number that is known."""

from __future__ import annotations

import numpy as np
import pytest

from noise_lens.inference.artefacts import row_warnings


@pytest.fixture
def rows(rng):
    return rng.standard_normal((1000, 10)).astype(np.float32)


def test_zeros_are_a_share(rows, named):
    rows[:300, :5] = 0
    found = named(row_warnings(rows))
    assert set(found) == {"zeros"}
    assert found["zeros"].value == pytest.approx(0.15)
    assert found["zeros"].message == "15.0 % of the values are exactly 0 and were dropped."


def test_dead_columns_are_counted(rows, named):
    rows[:, :2], rows[:, 2] = 0, 7
    found = named(row_warnings(rows))
    assert found["dead"].value == 3
    assert found["dead"].message.startswith(
        "3 of 10 columns are dead: 2 always 0, 1 stuck at another value"
    )
    assert set(found) == {"zeros", "dead", "few_columns"}
    assert found["few_columns"].value == 7


def test_a_dead_group_is_all_dead(named):
    found = named(row_warnings(np.zeros((1000, 10))))
    numbers = {name: one.value for name, one in found.items()}
    assert numbers == {"zeros": 1, "dead": 10, "few_columns": 0}


def test_an_atom_of_each_column_is_found(rows, named):
    """Examples without gradient leave -grad_j: .5 % of all values each, a twentieth of a column."""
    rows[::20, :4] = [-0.11, 0.23, 0.37, -0.51]
    rows[7::20, 3] = -0.51
    found = named(row_warnings(rows))
    assert set(found) == {"atom"}
    assert found["atom"].value == 0.1
    assert found["atom"].message.startswith(
        "4 of 10 columns repeat one value, the worst in 10.0 % of its rows: an atom"
    )


def test_a_value_that_columns_share_is_an_atom(rows, named):
    """Clipped at 2: 2 % of the values, less than 5 % of any column."""
    np.minimum(rows, 2, out=rows)
    found = named(row_warnings(rows))
    assert set(found) == {"atom"}
    assert found["atom"].value == pytest.approx((rows == 2).mean())
    assert found["atom"].message.startswith("2.")
    assert "are exactly 2: an atom" in found["atom"].message


def test_low_precision_is_named(rows, named):
    """The low 13 bits of a float16 in float32 are zero, and the low 16 of a bfloat16."""
    half = named(row_warnings(rows.astype(np.float16)))
    assert (half["ties"].value, set(half)) == (1, {"ties"})
    assert "fit into float16 (11 significant bits)" in half["ties"].message
    brain = (rows.view(np.uint32) & 0xFFFF0000).view(np.float32)
    found = named(row_warnings(brain))
    assert (found["ties"].value, set(found)) == (1, {"ties"})
    assert "100 % of the values fit into bfloat16 (8 significant bits)" in found["ties"].message


def test_rounding_is_seen_through_a_mean(rows, named):
    """Rounded values minus a float32 mean have all bits: repeats are counted, by column."""
    brain = (rows.view(np.uint32) & 0xFFFF0000).view(np.float32)
    moved = (brain - np.linspace(0.001, 0.002, 10)).astype(np.float32)
    counts = [np.sort(np.unique(column, return_counts=True)[1]) for column in moved.T]
    repeated = sum(one[:-2][one[:-2] > 1].sum() for one in counts) / moved.size
    found = named(row_warnings(moved))
    assert set(found) == {"ties"}
    assert found["ties"].value == pytest.approx(repeated)
    assert "% of the values occur more than once" in found["ties"].message


def test_a_round_atom_is_no_rounding(rows, named):
    """1.0 fits into bfloat16; gradients clipped there have atoms on both sides and nothing else."""
    assert set(named(row_warnings(np.clip(rows, -1, 1)))) == {"atom"}
    clipped = np.clip(rows, -2.25, 2.25)  # 1.2 % on either side
    assert set(named(row_warnings(clipped))) == {"atom"}


def test_copies_of_rows_are_counted(rows, named):
    """Three minibatches that came again, one of them twice; rows of zeros are no copies."""
    rows[700], rows[800], rows[900], rows[950] = rows[1], rows[2], rows[3], rows[3]
    rows[960:970] = 0
    found = named(row_warnings(rows))
    assert set(found) == {"duplicated_rows", "zeros"}
    assert found["duplicated_rows"].value == 4
    assert found["duplicated_rows"].message.startswith("4 of 1000 rows are exact copies")


def test_values_of_copies_are_not_rounded(rows, named):
    """Examples drawn again, one by one: half of the values occur twice, for one reason."""
    again = np.concatenate([rows, rows[::2]])
    found = named(row_warnings(again))
    assert set(found) == {"duplicated_rows"}
    assert found["duplicated_rows"].value == 500


def test_rows_that_rounding_makes_equal_are_no_copies(rows, named):
    """Two columns of a few integers, or one column: equal rows come by chance."""
    assert "duplicated_rows" not in named(row_warnings(np.round(rows[:, :2] * 10)))
    assert "duplicated_rows" not in named(row_warnings(np.round(rows[:, :1] * 100)))
