from __future__ import annotations

import numpy as np
import pytest

import noise_lens as nl
from noise_lens.inference import verdict
from noise_lens.judging import stored_verdict
from noise_lens.merging import read_run
from noise_lens_cli.check import _status

SMALL = ("--task", "digits-mlp", "-n", "200", "-b", "8", "--groups", "all")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check") / "run"
    return nl.measure(
        "digits-mlp", n_minibatches=200, batch_size=8, groups="all", out=folder
    ), folder


def test_exit_table():
    """The table of the design, every cell."""
    expected = {
        "stable": (0, 3), "gaussian": (3, 0), "gaussianising": (3, 3), "drifting": (3, 3),
        "point-mass": (3, 3), "inconclusive": (4, 4), "unusable": (4, 4),
    }  # fmt: skip
    assert set(expected) == set(verdict.LABELS)
    for label, (heavy, gaussian) in expected.items():
        assert _status(label, "heavy-tailed") == heavy
        assert _status(label, "gaussian") == gaussian


def test_status_is_that_of_the_verdict(call, strict, measured):
    found, folder = measured
    for of in ("projections", "coordinates"):
        label = found.verdicts["all"][of].label
        for expect in ("heavy-tailed", "gaussian"):
            code = _status(label, expect)
            result = call("check", folder, "--expect", expect, "--of", of, "--json", code=code)
            document = strict(result.stdout)
            assert document["exit_status"] == code
            (row,) = document["verdicts"]
            assert row["label"] == label
            assert row["reasons"] == list(found.verdicts["all"][of].reasons)


def test_words_for_people(call, measured):
    found, folder = measured
    label = found.verdicts["all"]["projections"].label
    result = call("check", folder, "--expect", "gaussian", code=_status(label, "gaussian"))
    assert f"run, step 0, all, projections: {label} (" in result.stdout
    assert found.verdicts["all"]["projections"].reasons[0] in result.stderr


def test_comparison_judges_what_was_not_judged(call, strict, tmp_path):
    """Step 0 has no verdict on disk: it is judged from the sketch."""
    folder = tmp_path / "runs"
    arguments = ("--optimizers", "sgd,adam", "--seeds", "1", "--steps", "2", "--probe-steps", "0,2")
    call("compare", *SMALL, *arguments, "-o", folder)
    records = read_run(folder / "sgd-s0").records
    assert [stored_verdict(record, "projections") is None for record in records] == [True, False]
    asked = ("check", folder, "--expect", "gaussian", "--json")
    for step in ("0", "last"):
        result = call(*asked, "--step", step, code=None)
        document = strict(result.stdout)
        assert [row["run"] for row in document["verdicts"]] == ["adam-s0", "sgd-s0"]
        codes = [row["exit_status"] for row in document["verdicts"]]
        assert document["exit_status"] == (3 if 3 in codes else max(codes)) == result.exit_code


def test_errors_say_what_there_is(call, measured, tmp_path):
    _, folder = measured
    for arguments, message in (
        ((folder, "--step", "7"), "Steps: 0; groups there: none"),
        ((folder, "--group", "1"), "groups there: all"),
        ((folder, "--view", "update"), "no finished measurement of view 'update'"),
        ((tmp_path,), "is no run folder"),
    ):
        output = call("check", *arguments, "--expect", "gaussian", code=1).stderr
        assert message in output
        assert "Traceback" not in output
    call("check", folder, "--expect", "heavy", code=2)
    wrong = call("check", folder, "--expect", "gaussian", "--step", "first", code=2).stderr
    assert "a number or last, got 'first'" in wrong


def test_stored_verdict_is_the_verdict(measured):
    """What a record gives back is what was judged, but for the evidence."""
    found, folder = measured
    (record,) = read_run(folder).records
    for of in ("projections", "coordinates"):
        whole, stored = found.verdicts["all"][of], stored_verdict(record, of)
        assert stored.label == whole.label
        assert stored.reasons == whole.reasons
        assert stored.warnings == whole.warnings
        assert np.allclose((stored.alpha, *stored.interval), (whole.alpha, *whole.interval))
        assert stored.block_sizes == whole.block_sizes
        assert stored.n_needed == whole.n_needed
