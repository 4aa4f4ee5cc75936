from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from noise_lens import RunFolderError
from noise_lens.contrasts import comparison_table

ALPHA = "projections_characteristic_function"
KURTOSIS = "projections_excess_kurtosis"
LEVELS = {"sgd": 1.5, "adam": 1.8, "adal": 1.3}


@pytest.fixture
def invented(noise):
    def value(optimizer, seed, step, view, group):
        alpha = LEVELS[optimizer] + noise(optimizer, seed, view, scale=0.1)
        return {
            f"{ALPHA}_alpha": alpha,
            f"{ALPHA}_low": alpha - 0.01,
            f"{ALPHA}_high": alpha + 0.01,
            KURTOSIS: 3.0 + noise("kurtosis", seed),
            "projections_verdict": "gaussian" if seed else "gaussianising",
            "metrics": {
                "train/loss": 0.3 + noise("loss", seed),
                "test/loss": 0.2,
                "train/accuracy": 0.9,
                "test/accuracy": 0.8 + noise("accuracy", seed),
            },
        }

    return value


def test_one_row_an_optimizer(comparison, invented):
    names = ("sgd", "adam", "adal")
    rates = {"sgd": 0.1, "adam": 0.001, "adal": 0.01}
    run = comparison(invented, optimizers=names, rates=rates, diverged=("adal-s1",))
    table = comparison_table(run)
    assert [(r.optimizer, r.learning_rates, r.n_seeds, r.n_diverged) for r in table] == [
        ("sgd", (0.1,), 6, 0), ("adam", (0.001,), 6, 0), ("adal", (0.01,), 5, 1),
    ]  # fmt: skip
    adam = table[1]
    alphas = [invented("adam", s, 1000, "momentum", "all")[f"{ALPHA}_alpha"] for s in range(6)]
    tail = adam.tails["momentum", "projections"]
    theirs = stats.ttest_1samp(alphas, 0).confidence_interval(0.95)
    assert tail.alpha.low == pytest.approx(theirs.low)
    assert tail.alpha.high == pytest.approx(min(theirs.high, 2.0))
    assert tail.verdicts == {"gaussian": 5, "gaussianising": 1}
    assert tail.references == ("full",)
    assert adam.step == 1000


def test_a_gap_may_be_negative(comparison, invented):
    """The test loss lies below the training loss: the interval is not cut at 0."""
    row = comparison_table(comparison(invented))[0]
    gap = row.metrics["gap/loss"]
    assert gap.mean == pytest.approx(-0.1, abs=0.05)
    assert gap.low < gap.mean < gap.high
    assert row.metrics["gap/accuracy"].mean == pytest.approx(0.1, abs=0.05)


def test_rows_are_a_table(comparison, invented):
    run = comparison(invented)
    table = pd.DataFrame([row.row() for row in comparison_table(run, step=100)])
    assert list(table.optimizer) == ["sgd", "adam"]
    assert list(table.step) == [100, 100]
    place = "gradient/projections"
    for name in ("alpha", "alpha_low", "alpha_high", "excess_kurtosis", "excess_kurtosis_low"):
        assert np.isfinite(table[f"{place}/{name}"]).all(), name
    assert (table[f"{place}/verdicts"] == "gaussian 5, gaussianising 1").all()
    assert (table["gradient/coordinates/verdicts"].isna()).all()
    assert {"test/accuracy", "test/accuracy_low", "gap/loss_high", "train/loss"} <= set(table)


def test_an_optimizer_that_always_diverged_has_an_empty_row(comparison, invented):
    run = comparison(invented, diverged=[f"adam-s{seed}" for seed in range(6)])
    sgd, adam = comparison_table(run)
    assert (adam.n_seeds, adam.n_diverged, adam.tails, adam.metrics) == (0, 6, {}, {})
    assert sgd.n_seeds == 6


def test_runs_that_were_cut_off_count_where_they_came_to(comparison, invented):
    def value(optimizer, seed, step, view, group):
        cut = (optimizer, seed, step) == ("adam", 0, 1000)
        return None if cut else invented(optimizer, seed, step, view, group)

    run = comparison(value)
    assert [row.n_seeds for row in comparison_table(run)] == [6, 5]
    assert [row.n_seeds for row in comparison_table(run, step=100)] == [6, 6]


def test_what_is_refused(comparison, invented):
    run = comparison(invented)
    with pytest.raises(ValueError, match="group must be one of all, got 'head'"):
        comparison_table(run, group="head")
    with pytest.raises(ValueError, match="step must be one of 0, 100, 1000, got 5"):
        comparison_table(run, step=5)
    with pytest.raises(RunFolderError, match="is no comparison"):
        comparison_table(run.runs["sgd-s0"])
    lost = comparison(invented, seeds=[0], diverged=("sgd-s0", "adam-s0"))
    with pytest.raises(RunFolderError, match="no finished measurement of a run that did not"):
        comparison_table(lost)


def test_no_torch_is_loaded():
    code = (
        "import sys, noise_lens.contrasts, noise_lens.theory\n"
        "assert not {'torch', 'matplotlib', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
