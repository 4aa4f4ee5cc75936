from __future__ import annotations

import numpy as np
import pytest

from noise_lens import SamplesError, SymmetricStable, scipy_fit


def test_it_is_scipys_fit_and_the_time_comes_first(rng, capsys, monkeypatch):
    """The time is on stderr before scipy is called, and scipy's numbers come back."""
    from scipy import stats

    def fit(data, **fixed):
        assert fixed == {"fbeta": 0.0}
        assert "of 40 samples: about 3 s" in capsys.readouterr().err
        return 1.3, 0.0, 0.1, 2.5

    monkeypatch.setattr(stats.levy_stable, "fit", fit)
    x = np.append(SymmetricStable(1.4).rvs(40, rng), [0.0, 0.0])
    found = scipy_fit(x)
    assert (found.alpha, found.sigma, found.n, found.n_zero) == (1.3, 2.5, 40, 2)
    low, high = found.confidence_interval()
    assert low < 1.3 < high


@pytest.mark.slow
def test_a_real_fit(rng):
    """scipy finds the law that we find: alpha within half a standard error (free location)."""
    from noise_lens import maximum_likelihood

    x = SymmetricStable(1.5).rvs(150, rng)
    ours, theirs = maximum_likelihood(x), scipy_fit(x)
    assert abs(ours.alpha - theirs.alpha) < 0.5 * ours.standard_error


def test_a_size_limit_that_is_raised_by_hand(rng):
    with pytest.raises(SamplesError, match="about 32 s for 400 samples, and max_samples is 300"):
        scipy_fit(rng.standard_normal(400))
    with pytest.raises(SamplesError, match=r"one series of shape \(n,\), got shape \(50, 2\)"):
        scipy_fit(rng.standard_normal((50, 2)))
