from __future__ import annotations

import numpy as np

from noise_lens.inference.artefacts import sample_warnings


def test_clean_noise_has_no_warning():
    """10,000 columns of symmetric noise: at most 3 false alarms (0.6 expected, chance 3e-3)."""
    rng = np.random.default_rng(0)
    samples = rng.standard_t(2, (200, 10_000))
    found = sample_warnings(samples)
    assert not found or int(found[0].split()[0]) <= 3


def test_a_location_is_found_and_numbered(rng):
    samples = rng.standard_normal((500, 3))
    samples[:, 1] += 1
    (warning,) = sample_warnings(samples)
    assert warning.startswith("1 of 3 columns are not centred (")


def test_zeros_are_no_location(rng):
    samples = rng.standard_normal(1000)
    samples[:900] = 0
    assert sample_warnings(samples) == ["90.0 % of the values are exactly 0 and were dropped."]
