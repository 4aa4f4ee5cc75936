"""Of samples: what ``noise-lens estimate`` warns of."""

from __future__ import annotations

import numpy as np
import pytest

from noise_lens import SymmetricStable, maximum_likelihood
from noise_lens.inference.artefacts import Artefact, sample_warnings


def test_an_artefact_prints_its_message():
    artefact = Artefact("zeros", 0.25, "25.0 % of the values are exactly 0.")
    assert str(artefact) == f"{artefact}" == artefact.message
    assert Artefact(**artefact._asdict()) == artefact


def test_clean_noise_has_no_warning():
    """10,000 columns of symmetric noise: a false alarm of all together has the chance 2e-4."""
    samples = np.random.default_rng(0).standard_t(2, (200, 10_000))
    assert sample_warnings(samples) == []


def test_a_location_is_found_and_numbered(rng):
    samples = rng.standard_normal((500, 4))
    samples[:, 1] += 1
    (warning,) = sample_warnings(samples)
    assert (warning.name, warning.value) == ("location", 0.25)
    assert warning.message.startswith("1 of 4 columns are not centred (")


def test_zeros_are_no_location(rng):
    samples = rng.standard_normal(1000)
    samples[:900] = 0
    sentence = "90.0 % of the values are exactly 0 and were dropped."
    assert sample_warnings(samples) == [Artefact("zeros", 0.9, sentence)]


def test_other_clean_noise_has_no_warning(rng):
    """100 stable series of 3000 with the fitted law: at most one warning (.05 expected)."""
    found = []
    for _ in range(100):
        x = SymmetricStable(1.5).rvs(3000, rng)
        found += sample_warnings(x, maximum_likelihood(x))
    assert len(found) <= 1


def test_float32_noise_has_no_ties_by_chance(rng):
    assert sample_warnings(rng.standard_normal(1_000_000).astype(np.float32)) == []


def test_an_atom_is_named(rng, named):
    x = rng.standard_normal(3000)
    x[:600] = -0.7
    found = named(sample_warnings(rng.permutation(x)))
    assert found["atom"].value == 0.2
    assert found["atom"].message.startswith("20.0 % of the non-zero values are exactly -0.7")
    assert "ties" not in found


def test_an_atom_of_the_last_column_is_found(rng, named):
    """40,000 values are looked at one in two: of 2 columns that must not be the first alone."""
    x = rng.standard_normal((20_000, 2))
    x[:600, 1] = 0.5
    assert named(sample_warnings(rng.permutation(x)))["atom"].value == pytest.approx(0.015, rel=0.2)


def test_rounded_noise_has_ties(rng, named):
    x = np.round(rng.standard_normal(5000) * 100)
    counts = np.unique(x[x != 0], return_counts=True)[1]
    found = named(sample_warnings(x))["ties"]
    assert found.value == pytest.approx(
        (counts[counts > 1].sum() - counts.max()) / counts.sum(), abs=1e-9
    )
    assert "occur more than once: rounded or quantised" in found.message


def test_autocorrelation_is_no_location(rng, named):
    """AR(.9) wanders to one side: the warning is of neighbours, not of a location."""
    x = np.empty(5000)
    noise, x[0] = rng.standard_normal(5000), 0.1
    for t in range(1, 5000):
        x[t] = 0.9 * x[t - 1] + noise[t]
    found = named(sample_warnings(x))
    assert "same sign too often" in found["autocorrelation"].message
    assert "location" not in found


def test_scale_mixtures_are_suspected(rng, named):
    """One radius a row; scales put end to end; an unordered mixture, which fits no stable law."""
    radius = np.exp(rng.standard_normal((1000, 1)))
    rows = rng.standard_normal((1000, 30)) * radius
    assert "a scale mixture is suspected" in named(sample_warnings(rows))["shared_scale"].message
    coordinates = (rng.standard_normal((100, 40)) * np.exp(rng.standard_normal(40))).T.ravel()
    found = named(sample_warnings(coordinates))["magnitude_autocorrelation"]
    assert "unequal scale put end to end" in found.message
    mixture = rng.standard_normal(20_000) * np.exp(rng.standard_normal(20_000))
    assert "misfit" in named(sample_warnings(mixture, maximum_likelihood(mixture)))


def test_few_rows_and_zeros_do_not_break_it(rng):
    assert sample_warnings(rng.standard_normal((5, 3))) == []
    (found,) = sample_warnings(np.zeros((50, 2)))
    assert (found.name, found.value) == ("zeros", 1)
    assert found.message == "100.0 % of the values are exactly 0 and were dropped."
    one = np.append(rng.standard_normal(4999), 0.0)
    assert [str(warning) for warning in sample_warnings(one)] == [
        "1 of 5,000 values are exactly 0 and were dropped."
    ]
