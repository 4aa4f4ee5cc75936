from __future__ import annotations

import math

import numpy as np
import pytest

import noise_lens as nl
from noise_lens.theory.kesten import kesten_tail_index
from noise_lens.theory.stationary import (
    PUBLISHED_BLOCK_SIZES,
    median_over_block_sizes,
    simulate_stationary,
    stationary_tails,
    theoretical_tail,
)
from noise_lens.theory.stationary.tails import norms

# Step size, coordinates, theory: papers of the field print them to four digits.
CELLS = [
    *((2 / 3, 1, 2.0), (0.8, 1, 1.546), (0.9, 1, 1.294)),
    *((0.6, 2, 1.301), (0.55, 2, 1.621), (0.5, 2, 2.0), (0.4, 2, 3.016)),
]


def hill_of(step_size, dim, seeds):
    found = []
    for seed in seeds:
        rows = stationary_tails(simulate_stationary(step_size, 1, dim, seed=seed))
        assert (rows[0].of, rows[0].method) == ("iterates", "hill")
        assert "k = 1,000, 1 %" in rows[0].setting
        found.append(rows)
    return found


@pytest.mark.parametrize(("step_size", "dim", "theory"), [CELLS[2]])
def test_hill_reads_the_theory(step_size, dim, theory):
    """1 % of 100,000 replicas has an error of alpha / sqrt(1000), 0.04: 0.15 is 3.7 of them."""
    (rows,) = hill_of(step_size, dim, [11])
    assert rows[0].estimate.alpha == pytest.approx(theory, abs=0.15)
    assert rows[0].theory.alpha == pytest.approx(theory, abs=1e-3)
    assert [row.label for row in rows] == ["", "", ""]
    # A heavy index: the multiscale reading of averages is on it too, that of iterates is below.
    assert rows[2].estimate.alpha == pytest.approx(theory, abs=0.1)
    assert rows[1].estimate.confidence_interval().high < theory


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step_size", "dim", "theory"), [cell for cell in CELLS if cell != CELLS[2]]
)
def test_hill_reads_the_theory_in_every_cell(step_size, dim, theory):
    """Three seeds of 100,000: the error of the mean is alpha / sqrt(3000), at most 0.055."""
    found = hill_of(step_size, dim, [21, 22, 23])

    assert np.mean([rows[0].estimate.alpha for rows in found]) == pytest.approx(theory, abs=0.15)
    averages = np.mean([rows[2].estimate.alpha for rows in found])
    iterates = np.mean([rows[1].estimate.alpha for rows in found])
    if theory <= 1.55:
        assert averages == pytest.approx(theory, abs=0.1)
    assert iterates < averages < theory + 0.05  # both read low, averages less so
    assert averages < 2.02


def test_what_a_light_index_reads_is_said_to_be_low():
    """Theory 4 reads 3.5 by Hill and 2 by the multiscale estimator: the sentences say so."""
    rows = stationary_tails(simulate_stationary(0.383451, 1, 1, n_replicas=50_000, seed=5))
    assert rows[0].theory.alpha == pytest.approx(4, abs=1e-4)
    assert rows[0].estimate.alpha < 4
    assert "4.0 reads 3.6" in rows[0].bias
    assert all("2.0 reads" in row.bias and row.estimate.alpha < 2.05 for row in rows[1:])


@pytest.mark.parametrize(
    ("step_size", "dim", "steps", "label"),
    [
        (1.2, 2, 60, "of a diverging run, not a stationary tail"),
        (0.17, 10, 60, "of a run that has not mixed, not a stationary tail"),
    ],
)
def test_numbers_of_no_stationary_law_are_labelled(step_size, dim, steps, label):
    sample = simulate_stationary(step_size, 1, dim, n_replicas=1000, n_steps=steps)
    rows = stationary_tails(sample)
    assert rows[0].estimate.alpha == nl.hill(np.linalg.norm(sample.iterates, axis=1), 10).alpha
    for row, vectors in zip(rows[1:], (sample.iterates, sample.averages), strict=True):
        assert row.estimate.alpha == median_over_block_sizes(vectors).alpha
    for row in rows:
        assert row.label == label
        assert f"({label})" in str(row)
        assert math.isfinite(row.estimate.alpha)
        assert (row.theory.regime == "no stationary law") is (step_size > 1)


def test_without_replicas_there_is_no_estimate_and_no_nan():
    """All have left float64; or 300 are left, where blocks of 100 need 400."""
    gone = stationary_tails(simulate_stationary(1e150, 1, 2, n_replicas=500, n_steps=8))
    assert [row.estimate for row in gone] == [None] * 3
    assert all("no estimate" in str(row) and "nan" not in str(row) for row in gone)

    few = stationary_tails(simulate_stationary(0.5, 1, 2, n_replicas=300))
    assert few[0].estimate is not None
    assert [row.estimate for row in few[1:]] == [None, None]


def test_a_large_scale_is_no_overflow():
    vectors = np.array([[3e300, 4e300], [3e-300, -4e-300], [0.0, 0.0]])
    assert np.allclose(norms(vectors), [5e300, 5e-300, 0], rtol=1e-14, atol=0)

    rows = np.random.default_rng(1).standard_cauchy((2000, 2))
    plain = median_over_block_sizes(rows)
    assert median_over_block_sizes(1e250 * rows).alpha == pytest.approx(plain.alpha)


def test_the_median_is_that_of_the_estimator():
    rows = np.random.default_rng(2).standard_t(2, (1600, 3))
    each = [nl.mohammadi_norm(rows, m).alpha for m in PUBLISHED_BLOCK_SIZES]
    assert median_over_block_sizes(rows).alpha == pytest.approx(np.median(each))
    with pytest.raises(nl.NotEnoughDataError, match="at least 400 replicas, got 399"):
        median_over_block_sizes(rows[:399])


def test_the_interval_of_the_median_holds_its_index():
    """Cauchy noise, 200 samples: 95 % intervals hold 1 in 170 to 199 of them (1 in 10^5 beyond)."""
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        low, high = median_over_block_sizes(rng.standard_cauchy((4000, 1))).confidence_interval()
        held += low < 1 < high
    assert 170 <= held <= 199


def test_the_theory_is_the_closed_form():
    sample = simulate_stationary(0.4, 2, 2, sigma=1.2, n_replicas=10)
    assert theoretical_tail(sample).alpha == kesten_tail_index(0.4, 2, 2, 1.2).alpha
    assert theoretical_tail(sample).standard_error is None

    given = kesten_tail_index(0.5, 1, 1)
    assert stationary_tails(sample, theory=given)[0].theory is given


@pytest.mark.slow
def test_the_theory_of_a_data_set_is_that_of_its_rows():
    """One coordinate: the moment of abs(1 - eta x^2) over the rows is 1 at alpha."""
    rng = np.random.default_rng(4)
    data = rng.standard_normal((500, 1)), rng.standard_normal(500)
    offline = theoretical_tail(simulate_stationary(0.7, 1, data=data, n_replicas=10))
    x = data[0][:, 0] ** 2
    moment = (np.abs(1 - 0.7 * x) ** offline.alpha).mean()  # h(alpha) = 1 over the rows
    assert math.log(moment) == pytest.approx(0, abs=0.05)
    assert offline.standard_error > 0


@pytest.mark.parametrize("share", [0, 1, -0.1, math.nan])
def test_a_share_out_of_range_is_refused(share):
    sample = simulate_stationary(0.5, 1, 1, n_replicas=10)
    with pytest.raises(ValueError, match="share must lie between 0 and 1"):
        stationary_tails(sample, share=share)
