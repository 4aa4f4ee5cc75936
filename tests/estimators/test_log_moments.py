from __future__ import annotations

import numpy as np
import pytest

from noise_lens import NotEnoughDataError, log_moments
from noise_lens.estimators._log_moments import log_moments_from_sums


def test_closed_form_by_hand():
    """Variance pi**2/6 (1/1.5**2 + 1/2) is alpha = 1.5, and the mean gives sigma."""
    variance = np.pi**2 / 6 * (1 / 2.25 + 0.5)
    found = log_moments_from_sums(1001, 0.7, 1000 * variance)
    assert found.alpha == pytest.approx(1.5)
    assert np.log(found.sigma) == pytest.approx(0.7 - np.euler_gamma * (1 / 1.5 - 1))


def test_error_of_the_published_study():
    """Errors times sqrt(n) of statistics.md A0, in closed form from cumulants of log|X|."""
    for alpha, deviation in {0.8: 1.039, 1.0: 1.5, 1.5: 3.523, 1.9: 6.408}.items():
        variance = np.pi**2 / 6 * (1 / alpha**2 + 0.5)
        found = log_moments_from_sums(1_000_001, 0.0, 1_000_000 * variance)
        assert 1000 * found.standard_error == pytest.approx(deviation, rel=1e-3)


def test_lighter_than_any_power_is_inf(rng):
    """Uniform magnitudes near 1: the variance of the log is below that of every power tail."""
    found = log_moments(1 + rng.random(500))
    assert found.alpha == np.inf
    assert found.confidence_interval() == (np.inf, np.inf)
    assert 0.5 < found.sigma < 2.5


def test_chunks_do_not_matter(rng, monkeypatch):
    from noise_lens.estimators import _log_moments

    x = rng.standard_cauchy((500, 3))
    x[::5, 1] = 0
    expected = log_moments(x).alpha
    monkeypatch.setattr(_log_moments, "_CHUNK", 30)
    assert log_moments(x).alpha == pytest.approx(expected, rel=1e-12)


def test_too_few():
    with pytest.raises(NotEnoughDataError, match="at least 20 non-zero samples, got 7"):
        log_moments_from_sums(7, 0.0, 1.0)
