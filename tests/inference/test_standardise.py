from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from noise_lens import characteristic_function, maximum_likelihood, quantile
from noise_lens.inference.standardise import calibrate, standardise, uncalibrated


def test_each_column_gets_geometric_mean_one(rng):
    rows = rng.standard_cauchy((50, 4)) * [1, 10, 1e-6, 1e6]
    rows[:10, 2] = 0
    values, n, used = standardise(rows)
    logs = np.log(np.abs(values), out=np.zeros_like(values), where=values != 0)
    assert logs.sum(axis=0) / n == pytest.approx(np.zeros(4), abs=1e-12)
    assert n.tolist() == [50, 50, 40, 50]
    assert used.all()


@pytest.mark.parametrize("n_rows", [20, 50, 128, 700])
def test_calibration_is_its_own_inverse(n_rows):
    alpha = np.linspace(0.5, 2, 31)
    assert calibrate(uncalibrated(alpha, n_rows), n_rows) == pytest.approx(alpha, abs=1e-9)


def test_calibration_vanishes_with_many_rows():
    alpha = np.linspace(0.5, 2, 31)
    assert uncalibrated(alpha, 1e6) == pytest.approx(alpha, abs=1e-4)


READERS = [characteristic_function, maximum_likelihood, quantile]


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
@pytest.mark.parametrize(("alpha", "n_rows"), [(1.2, 24), (1.8, 24), (1.9, 40), (1.5, 100)])
def test_table_against_fresh_draws(reader, alpha, n_rows, rng):
    """The reading on 400,000 of scipy's draws, standardised by hand: within 0.01 of the table
    (its standard error is 0.0025; 0.006 for quantiles, which are allowed 0.025).
    """
    draws = stats.levy_stable(alpha, 0).rvs((n_rows, 400_000 // n_rows), random_state=rng)
    values = draws / np.exp(np.log(np.abs(draws)).mean(axis=0))
    reading = reader(values.ravel()).alpha
    expected = uncalibrated(np.array([alpha]), n_rows, reader.__name__)[0]
    assert expected == pytest.approx(reading, abs=0.025 if reader is quantile else 0.01)
