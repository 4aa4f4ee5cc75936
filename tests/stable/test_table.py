from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from noise_lens import SymmetricStable
from noise_lens.stable import table

REFERENCE = json.loads((Path(__file__).parent / "density_reference.json").read_text("utf-8"))
X = np.array(REFERENCE["x"])


@pytest.mark.parametrize("row", range(len(REFERENCE["alpha"])))
def test_against_forty_digits(row):
    """mpmath's values (benchmarks/density_reference.py): log f to 1e-7 at |x| <= 1e4, cdf to 1e-10.

    The bars are 1e-6 for alpha in [0.8, 1.995], 1e-4 below, and 1e-7.
    """
    law = SymmetricStable(REFERENCE["alpha"][row])
    log_density, survival = (np.array(REFERENCE[key][row]) for key in ("log_density", "survival"))
    inside = X <= 1e4
    assert np.abs(law.logpdf(X) - log_density)[inside].max() < 1e-7
    assert np.abs(law.cdf(X) - (1 - survival)).max() < 1e-10
    assert np.abs(law.cdf(-X) - survival).max() < 1e-10


@pytest.mark.parametrize("alpha", [0.5, 0.9, 1.4, 1.8, 1.98, 1.9999])
def test_small_probabilities_keep_their_digits(alpha):
    """The survival function is right relative to itself, on to 1e6."""
    row = int(np.argmin(np.abs(np.array(REFERENCE["alpha"]) - alpha)))
    law, survival = SymmetricStable(REFERENCE["alpha"][row]), np.array(REFERENCE["survival"][row])
    assert law.sf(X) == pytest.approx(survival, rel=1e-6)


def test_the_shipped_table_is_what_the_quadrature_gives():
    assert table.build() == pytest.approx(table.load(), abs=1e-9)
    shipped = resources.files("noise_lens.stable").joinpath("density_table.npy").read_bytes()
    assert len(shipped) < 1_000_000


def test_no_seam_between_table_and_series():
    """Density and survival on both sides of the end of the table: no jump beyond 1e-8."""
    for alpha in (0.4, 0.7, 1.3, 1.9, 1.9999):
        curves = table.curves(alpha)
        end = curves.width * np.sinh(table.LARGEST_U)
        x = end * np.array([1 - 1e-9, 1 + 1e-9])
        assert np.diff(curves.log_density(x)) == pytest.approx(0, abs=1e-8)
        assert np.diff(curves.log_survival(x)) == pytest.approx(0, abs=1e-8)
        assert end > 50
