from __future__ import annotations

import importlib

import numpy as np
import pytest
from scipy import stats

from noise_lens import SymmetricStable, aggregation_curve
from noise_lens.inference.dependence import SharedScale
from noise_lens.inference.stable_errors import StableErrors
from tests.inference.test_dependence import elliptical
from tests.test_documentation import ROOT

INDEPENDENT, ONE_RADIUS = SharedScale(0.0, 0.0), SharedScale(1.0, 0.0)


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        return importlib.import_module("calibrate_stable_errors")


def test_script_reads_what_the_curve_reads(script, rng):
    """The generator has its own loop; on one order it is the first level of the curve."""
    rows = SymmetricStable(1.5).rvs((400, 8), rng)
    curve = aggregation_curve(rows, np.random.default_rng(0))
    (alone,) = script.fitted([script.defects(rows)[None]], 400)
    assert curve.uncut[0] == pytest.approx(alone, abs=1e-5)


def test_part_of_the_table_is_what_the_script_makes(script):
    """60 replications of one cell against the shipped 1000: medians within five of their errors,
    and the 5 % and 95 % points too (false alarm about 1e-5 for normal errors).
    """
    levels, drifts = script.cell("elliptical", 1.5, 16, 60)
    from noise_lens.inference import stable_errors

    table = stable_errors._tables()
    alpha, law, d = 3, 1, 2
    for m, r in ((0, 3), (4, 3), (4, 4)):
        kept = table.level[m, r, d, law, alpha]
        spread = (kept[5] - kept[1]) / 3.92
        assert abs(levels[m, r, 3] - kept[3]) < 5 * 1.25 * spread / np.sqrt(60)
        assert np.all(np.abs(levels[m, r, [2, 4]] - kept[[2, 4]]) < 5 * 2.1 * spread / np.sqrt(60))
    kept = table.drift[3, 3, d, law, alpha]
    spread = (kept[5] - kept[1]) / 3.92
    assert abs(drifts[3, 3, 3] - kept[3]) < 5 * 1.25 * spread / np.sqrt(60)


@pytest.mark.parametrize(
    ("law", "alpha", "shape", "fewest"),
    [
        ("independent", 1.5, (200, 10), 0.92), ("independent", 1.8, (200, 30), 0.92),
        ("elliptical", 1.5, (200, 30), 0.85), ("elliptical", 1.8, (400, 10), 0.85),
    ],
)  # fmt: skip
def test_coverage(law, alpha, shape, fewest):
    """200 data sets, drawn and read by code that shares none with the generator of the table: 95 %
    intervals of the last level hold alpha at least as often as the bar, less what 200 draws
    miss by (false alarm 1e-3 at the bar).
    """
    held = 0
    for seed in range(200):
        rng = np.random.default_rng([21, seed, round(100 * alpha)])
        rows = (
            SymmetricStable(alpha).rvs(shape, rng)
            if law == "independent"
            else elliptical(alpha, *shape, rng)
        )
        curve = aggregation_curve(rows * np.exp(rng.standard_normal(shape[1])), rng)
        held += curve.low[-1] <= alpha <= curve.high[-1]
    assert held >= stats.binom(200, fewest).ppf(1e-3)


def test_one_radius_is_wider():
    wide, narrow = (
        np.diff(StableErrors(1000, 64, shared).interval(1.5, 16))[0]
        for shared in (ONE_RADIUS, INDEPENDENT)
    )
    assert wide > 3 * narrow


def test_more_blocks_and_more_columns_are_narrower():
    def width(n, d, size=1):
        return np.diff(StableErrors(n, d, INDEPENDENT).interval(1.5, size))[0]

    assert width(400, 16) < width(100, 16) < width(50, 16)
    assert width(200, 64) < width(200, 16) < width(200, 4)
    assert width(4000, 64) == pytest.approx(width(1000, 64) / 2, rel=0.2)
    assert width(200, 256) == pytest.approx(width(200, 64) / 2, rel=0.2)
    assert width(100, 1) > width(200, 1) > width(400, 1)


def test_bounds_of_90_percent_lie_inside():
    errors = StableErrors(1000, 10, ONE_RADIUS)
    for value in (0.5, 1.2, 1.8, 1.95, 2.0, 2.1):
        low, high = errors.interval(value, 16)
        inner_low, inner_high = errors.interval(value, 16, 0.9)
        assert 0 <= low <= inner_low <= min(value, 2) <= inner_high <= high <= 2


def test_drift_limits():
    errors = StableErrors(1000, 10, ONE_RADIUS)
    assert errors.drift_limits(1.5, 1) == (0.0, 0.0)
    low, high = errors.drift_limits(1.5, 16)
    assert low < 0 < high
    far = StableErrors(64_000, 10, ONE_RADIUS).drift_limits(1.5, 1024)
    assert far[1] == pytest.approx(high, rel=0.35)  # the drift becomes the error of the last level
