from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from noise_lens import NotEnoughDataError, SymmetricStable, quantile
from noise_lens.estimators._quantile import uncut_quantile


@pytest.mark.parametrize("alpha", [0.5, 0.8, 1.0, 1.5, 1.9, 2.0])
def test_exact_quantiles_give_exact_parameters(alpha):
    """A sample of the law's own quantiles reads its alpha and sigma."""
    law = SymmetricStable(alpha, 3.0)
    sample = law.ppf((1 + (np.arange(20_001) + 0.5) / 20_001) / 2)
    found = quantile(sample)
    assert found.alpha == pytest.approx(alpha, abs=1e-3)
    assert found.sigma == pytest.approx(3.0, rel=1e-3)


def test_beyond_two_only_for_jackknives(rng):
    flat = rng.uniform(-1, 1, 1000)
    assert quantile(flat).alpha == 2
    assert uncut_quantile(flat)[0] > 2


def test_against_scipys_start_value(rng):
    """McCulloch's estimate as scipy starts from it: the same information about the same law."""
    x = SymmetricStable(1.5).rvs((2000, 100), rng)
    ours = quantile(x).alpha
    theirs = np.array([stats.levy_stable._fitstart(column)[0] for column in x.T])
    assert np.corrcoef(ours, theirs)[0, 1] > 0.9
    assert abs(np.mean(ours - theirs)) < 0.02


def test_outliers_do_not_move_it(rng):
    x = rng.standard_normal(1000)
    moved = x.copy()
    moved[np.argsort(np.abs(x))[-50:]] *= 1e6
    assert quantile(moved).alpha == pytest.approx(quantile(x).alpha)


def test_too_few():
    with pytest.raises(NotEnoughDataError, match="at least 40 non-zero samples, got 39"):
        quantile(np.arange(1.0, 40))
