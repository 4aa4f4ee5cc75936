"""What docs/published-estimator.md says is what its result file says.

`python benchmarks/published_estimator.py --document` writes it anew.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

import noise_lens as nl

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def script():
    """Return the script as a module; benchmarks is no package."""
    path = ROOT / "benchmarks" / "published_estimator.py"
    spec = importlib.util.spec_from_file_location("published_estimator", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_that_of_the_result_file(script):
    assert list(script.differences()) == []


def test_an_altered_number_is_seen(script):
    page = script.PAGE.read_text(encoding="utf-8")
    for said in ("| published | 1.99 ± 0.04 |", "A log-sd of 1 reads 1.49"):
        there = re.search(r"\s+".join(map(re.escape, said.split())), page).group()
        altered = page.replace(there, there.replace("9", "7"))
        assert altered != page

        assert script.renewed(altered) == page


def test_prose_written_by_hand_has_no_decimal_number(script):
    """Decimals are measured, so they stand where the script writes."""
    by_hand = script.WRITTEN.sub("", script.PAGE.read_text(encoding="utf-8"))
    assert re.findall(r"\d*\.\d+", by_hand.replace("arXiv:1901.06053", "")) == []


def test_every_figure_is_drawn_and_shown(script):
    page = script.PAGE.read_text(encoding="utf-8")
    shown = re.findall(r"\(figures/(.*?)\.svg\)", page)
    assert sorted(shown) == sorted(script.FIGURES)
    for name in shown:
        assert (ROOT / "docs" / "figures" / f"{name}.svg").is_file()


def test_the_arithmetic_with_any_block_size_is_the_published_one(script, rng):
    rows = rng.standard_normal((40, 25))  # 1000 entries: blocks of 25
    rows[:, 3] = 0
    assert script.published_with(rows, 25) == pytest.approx(
        nl.mohammadi(rows, compat="simsekli2019").alpha, rel=1e-12
    )


def test_formulas_of_the_excess(script):
    """Against an integral, and where two of them must agree."""

    def integrand(x):
        return np.log(abs(x)) * stats.norm.pdf(x, 0.7)

    numeric = sum(integrate.quad(integrand, *ends)[0] for ends in ((-8, 0), (0, 9)))
    assert script.mean_log_normal(0.7) == pytest.approx(numeric, abs=1e-6)
    assert script.mean_log_normal(0) == pytest.approx(script.LOG_NORMAL)
    equal = np.full(7, 0.3)
    assert script.excess_of_correlations(equal) == pytest.approx(np.log(1 + 7 * 0.3) / 2)
    centred = np.full(7, -1 / 19)  # of 20 samples less their mean
    assert script.excess_of_correlations(centred) == pytest.approx(script.excess_of_own_mean(20, 8))
