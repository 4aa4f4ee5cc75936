from __future__ import annotations

import numpy as np
import pytest

import noise_lens as nl
from noise_lens.judging import examples_a_row, stored_verdict, verdict_columns, verdicts_of_run
from noise_lens.merging import read_run
from noise_lens.run import VERDICT_FIELDS


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judging") / "run"
    found = nl.measure(
        "digits-mlp", n_minibatches=400, batch_size=8, reference="pair", groups="tensor", out=folder
    )
    return found, read_run(folder)


def test_a_pair_is_as_noisy_as_a_minibatch_of_twice_the_size(pairs):
    assert examples_a_row(8, "full") == 8
    assert examples_a_row(8, "pair") == examples_a_row(8, "mean") == 16
    assert examples_a_row(None, "pair") is None
    found, _ = pairs
    for record in found.records:
        for of in ("coordinates", "projections"):
            low = record[f"{of}_gaussianising_low"]
            assert low is None or np.isinf(low) or low % 16 == 0


def test_judging_a_folder_gives_what_was_stored(pairs):
    """Same seeds, same families: every label, alpha and p-value again, from float32 sketches."""
    found, run = pairs
    again = verdicts_of_run(run, run.records)
    for record in run.records:
        for of, verdict in again[record["group"]].items():
            stored = stored_verdict(record, of)
            assert verdict.label == stored.label == found.verdicts[record["group"]][of].label
            assert verdict.alpha == stored.alpha or np.isnan(stored.alpha)
            assert verdict.pvalue == stored.pvalue or np.isnan(stored.pvalue)


def test_every_group_is_judged_and_small_ones_say_so(pairs):
    found, _ = pairs
    assert set(found.verdicts) == {record["group"] for record in found.records}
    names = {warning.name for warning in found.verdicts["5.bias"]["projections"].warnings}
    assert names & {"small_group", "few_columns"}


def test_sampling_reaches_the_warnings(pairs):
    """Differences of pairs have no location by construction: no warning of one."""
    found, _ = pairs
    for kinds in found.verdicts.values():
        for verdict in kinds.values():
            assert "location" not in {warning.name for warning in verdict.warnings}


def test_nothing_judged_is_nothing_stored():
    columns = verdict_columns(None, "coordinates", 8)
    assert set(columns) == {f"coordinates_{name}" for name in VERDICT_FIELDS}
    assert set(columns.values()) == {None}
    assert stored_verdict(columns, "coordinates") is None
