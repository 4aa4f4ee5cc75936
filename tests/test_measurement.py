from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from models import dataset, plain_model, squared
from torch import nn
from torch.utils.data import TensorDataset

import noise_lens as nl


def task(**options):
    return nl.Task(plain_model, squared, dataset(), name="plain", **options)


def test_one_row_per_group_and_kind():
    found = nl.measure(task(), n_minibatches=60, batch_size=8)
    frame = pd.DataFrame(found.table())
    assert list(frame["group"].unique()) == ["all", "0.weight", "0.bias", "2.weight", "2.bias"]
    assert set(frame["of"]) == {"coordinates", "projections"}
    assert (frame["low"] <= frame["alpha"]).sum() == frame["alpha"].notna().sum()
    assert frame["gradient_zero_share"].between(0, 1).all()


def test_estimates_are_those_of_the_rows():
    """The table holds `pooled` of the kept rows; with reference mean, of their pairs."""
    for reference in ("full", "mean"):
        found = nl.measure(
            task(), n_minibatches=80, batch_size=8, reference=reference, groups="all"
        )
        rows = found.sketch.groups[0].projections.astype(np.float64)
        rows = rows[::2] - rows[1::2] if reference == "mean" else rows
        expected = nl.pooled(rows)
        row = next(r for r in found.table() if r["of"] == "projections")
        assert row["alpha"] == expected.alpha
        assert (row["low"], row["high"]) == expected.confidence_interval()
        assert row["mohammadi"] == nl.pooled(rows, "mohammadi").alpha


def test_groups_that_cannot_be_estimated_say_why():
    model = nn.Linear(1, 1)
    found = nl.measure(
        nl.Task(model, lambda m, b: (m(b[0]) - 1).square().mean(),
                TensorDataset(torch.zeros(20, 1)), name="dead"),
        n_minibatches=50,
    )  # fmt: skip
    reasons = {(row["group"], row["of"]): row["reason"] for row in found.table()}
    assert (
        "fewer than four" in reasons["bias", "projections"]
        or "at least four" in (reasons["bias", "projections"])
    )
    assert "times the value 0" in reasons["weight", "coordinates"]
    assert all(math.isnan(row["alpha"]) for row in found.table())


def test_save_and_read(tmp_path):
    found = nl.measure(task(), n_minibatches=60, batch_size=8, out=tmp_path / "run")
    run = nl.read_run(tmp_path / "run")
    assert len(run.records) == len(found.records)
    assert run.closed["status"] == "finished"
    kept = run.sketch(run.records[1])
    assert np.array_equal(kept["coordinates"], found.sketch.groups[1].coordinates)
    assert run.manifest["tensors"] == list(found.sketch.tensors)
    histogram = np.zeros(8192, dtype=np.int64)
    histogram[run.records[0]["histogram_bins"]] = run.records[0]["histogram_counts"]
    assert np.array_equal(histogram, found.sketch.groups[0].histogram)


def test_a_checkpoint_is_measured_and_named(tmp_path):
    model = plain_model()
    nn.init.zeros_(model[2].weight)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    found = nl.measure(task(), tmp_path / "model.pt", n_minibatches=50)
    assert found.manifest["settings"]["checkpoint"] == "model.pt"
    assert len(found.manifest["settings"]["checkpoint_sha256"]) == 64
    first_layer = next(group for group in found.sketch.groups if group.name == "0.weight")
    assert not first_layer.norms.any()  # a zero head sends nothing back


def test_the_output_folder_is_checked_before_the_work(tmp_path):
    calls = []

    def loss(model, batch):
        calls.append(1)
        return squared(model, batch)

    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    with pytest.raises(nl.RunFolderError, match="is not empty"):
        nl.measure(nl.Task(plain_model, loss, dataset(), name="t"), out=tmp_path / "full")
    assert not calls


def test_nothing_half_written_stays_after_a_failure(tmp_path):
    bad = nl.Task(plain_model, lambda m, b: m(b[0]), dataset(), name="bad")
    with pytest.raises(nl.CaptureError):
        nl.measure(bad, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_does_not_stay_in_a_built_module(tmp_path):
    model, other = plain_model(), plain_model()
    nn.init.zeros_(other[0].weight)
    torch.save(other.state_dict(), tmp_path / "model.pt")
    before = model[0].weight.detach().clone()
    nl.measure(
        nl.Task(model, squared, dataset(), name="t"), tmp_path / "model.pt", n_minibatches=50
    )
    assert torch.equal(model[0].weight, before)


def test_a_built_module_is_measured_where_it_is():
    model = plain_model()
    found = nl.measure(nl.Task(model, squared, dataset(), name="t"), n_minibatches=50)
    assert found.manifest["device"] == "cpu"


def test_budget_comes_before_progress():
    seen = []
    nl.measure(
        task(), n_minibatches=50,
        on_budget=lambda lines: seen.append(sum(lines.values())),
        on_progress=lambda what, done, total: seen.append((what, done, total)),
    )  # fmt: skip
    assert seen[0] > 1000
    assert ("minibatches", 50, 50) in seen
    assert seen[-1][0] == "verdicts"
    assert seen[-1][1] == seen[-1][2]


def test_unknown_views_and_devices():
    with pytest.raises(nl.CaptureError, match="views must be different ones of gradient, "):
        nl.measure(task(), views=("gradients",))
    with pytest.raises(nl.CaptureError, match="the views momentum are an optimizer's, and none"):
        nl.measure(task(), views=("momentum",))
    with pytest.raises(nl.CaptureError, match="device 'gpu' cannot be used"):
        nl.measure(task(), device="gpu")


def test_several_ranks_need_a_folder(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(nl.CaptureError, match=r"this is rank 1 of 2.*ranks=.0, 1."):
        nl.measure(task(), n_minibatches=50)
    assert nl.measure(task(), n_minibatches=50, ranks=(0, 1)).records[0]["n_rows"] == 50


def test_the_part_of_a_rank_is_not_judged(tmp_path):
    found = nl.measure(task(), n_minibatches=60, out=tmp_path / "run", ranks=(1, 2))
    assert found.records[0]["n_rows"] == 30
    assert not found.verdicts
    assert {row["verdict"] for row in found.table()} == {None}


def test_a_merged_measurement_is_saved_as_one(tmp_path):
    options = {"n_minibatches": 60, "batch_size": 8, "groups": "all"}
    nl.measure(task(), **options, out=tmp_path / "run", ranks=(1, 2))
    found = nl.measure(task(), **options, out=tmp_path / "run", ranks=(0, 2), wait=0)
    found.save(tmp_path / "copy")
    copy = nl.read_run(tmp_path / "copy")
    assert copy.closed is not None
    assert copy.records[0] | {"part": ""} == found.records[0] | {"part": ""}
    assert len(list((tmp_path / "copy" / "records").iterdir())) == 1


def test_the_same_noise_whatever_was_drawn_before():
    """Dropout's masks belong to a minibatch, not to its turn."""
    options = {"batch_size": 8, "reference": "pair", "groups": "all", "n_minibatches": 50}
    dropping = nl.Task(
        lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 1)),
        lambda m, b: (m(b[0]) - b[1][:, None]).square().mean(),
        dataset(),
        name="dropout",
    )  # fmt: skip
    first = nl.measure(dropping, **options).sketch.groups[0].projections
    again = nl.measure(dropping, **options | {"n_minibatches": 80}).sketch.groups[0].projections
    assert np.array_equal(first, again[:25])
    assert len(np.unique(first, axis=0)) == 25
