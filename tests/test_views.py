"""Views of an optimizer, end to end: measured, written, read, judged and reported."""

from __future__ import annotations

import copy
import math

import numpy as np
import pandas as pd
import pytest
import torch
from models import dataset, plain_model, squared
from optimizers import all_of, same
from torch import nn
from torch.utils.data import IterableDataset

import noise_lens as nl
from noise_lens import optim
from noise_lens.theory import averaging

FROZEN = ("gradient", "momentum", "update", "transformed")


def task(model=plain_model, **options):
    return nl.Task(model, squared, dataset(), name="plain", **options)


def steps(model, optimizer, n=3):
    """Training, by the data in its order."""
    x, y = dataset().tensors
    for number in range(n):
        batch = x[8 * number : 8 * number + 8], y[8 * number : 8 * number + 8]
        optimizer.zero_grad()
        squared(model, batch).backward()
        optimizer.step()


class Stable(IterableDataset):
    """Gradients: i.i.d. vectors of independent stable entries."""

    def __init__(self, alpha, dim):
        self.alpha, self.dim = alpha, dim

    def __iter__(self):
        rng = np.random.default_rng(0)
        law = nl.SymmetricStable(self.alpha)
        while True:
            for row in law.rvs((500, self.dim), rng):
                yield torch.from_numpy(row.astype(np.float32))


@pytest.mark.parametrize("alpha", [1.5])
def test_exact_stable_gradients_keep_alpha_and_have_the_scale_of_the_closed_form(alpha):
    """A loss whose gradient is the minibatch itself, so that every number has a law: alpha of both
    views in its interval (99.9 %) and not rejected, and the ratio of scales within 4.5 standard
    errors of the closed form: of 30,000 entries, beside 120,000, it has 1.4 / sqrt(30,000).
    """
    beta, n_rows, dim = 0.5, 300, 100
    window = 4
    given = nl.Task(
        lambda: nn.Linear(dim, 1, bias=False), lambda m, batch: (m.weight[0] * batch).sum(),
        Stable(alpha, dim), name="stable",
    )  # fmt: skip
    found = nl.measure(
        given, views=("gradient", "momentum"), beta=beta, n_minibatches=2 * window * n_rows,
        groups="all",
    )  # fmt: skip
    assert found.sketch.reference == "pair"
    records = {view: part.records[0] for view, part in found.views.items()}
    assert records["momentum"]["n_rows"] == n_rows
    for part in found.views.values():
        rows = part.sketch.groups[0].coordinates
        low, high = nl.pooled(rows.astype(np.float64)).confidence_interval(0.999)
        assert low <= alpha <= high
    # 300 rows are too few for any support, and enough not to reject.
    verdicts = [record["coordinates_verdict"] for record in records.values()]
    assert verdicts == ["stable", "inconclusive"]
    difference = records["momentum"]["coordinates_log_scale"]
    difference -= records["gradient"]["coordinates_log_scale"]
    expected = math.log(averaging.stable_scale_ratio(alpha, beta, window))
    error = 1.4 / math.sqrt(dim * n_rows)
    assert abs(difference - expected) < 4.5 * error
    # In other words: alpha is told from 2, where the ratio would be another one.
    gaussian = math.log(averaging.stable_scale_ratio(2, beta, window))
    assert abs(difference - gaussian) > 4.5 * error


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """All views of AdaL after some steps, of small minibatches, and their run folder."""
    model = plain_model()
    optimizer = optim.AdaL(model.parameters(), lr=1e-2)
    steps(model, optimizer)
    before = all_of(model, optimizer)
    folder = tmp_path_factory.mktemp("views") / "run"
    found = nl.measure(
        task(model), views=FROZEN, optimizer=optimizer, beta=0.5, n_minibatches=480, batch_size=4,
        groups={"weights": "*.weight"}, out=folder, published=True,
    )  # fmt: skip
    assert same(before, all_of(model, optimizer))
    return found, folder


def test_one_measurement_holds_all_views(measured):
    found, _ = measured
    assert tuple(found.views) == FROZEN
    assert found.views["gradient"] is found
    assert [part.records[0]["n_rows"] for part in found.views.values()] == [240, 60, 240, 240]
    assert (
        "gradient, 2 groups, 240 rows; see .verdicts; also momentum, update, transformed in .v"
        in (repr(found))
    )
    for part in found.views.values():
        assert [g.name for g in part.sketch.groups] == [g.name for g in found.sketch.groups]
        for own, first in zip(part.sketch.groups, found.sketch.groups, strict=True):
            assert np.array_equal(own.positions, first.positions)


def test_few_rows_of_a_view_are_estimated_and_not_judged(measured):
    found, _ = measured
    assert [bool(part.verdicts) for part in found.views.values()] == [True, False, True, True]
    for record in found.views["momentum"].records:
        assert record["coordinates_verdict"] is None
        assert record["noise_scale"] is None
    alphas = [record["coordinates_characteristic_function_alpha"]
              for record in found.views["momentum"].records]  # fmt: skip
    assert all(0.3 < alpha <= 2 for alpha in alphas)


def test_the_table_is_ordered_by_view_group_and_kind(measured):
    found, _ = measured
    frame = pd.DataFrame(found.table())
    assert len(frame) == 4 * 2 * 2
    assert list(frame["view"].unique()) == list(FROZEN)
    assert list(frame["view"]) == [view for view in FROZEN for _ in range(4)]
    first = frame[frame["view"] == "gradient"][["group", "of"]].to_numpy().tolist()
    for view in FROZEN[1:]:
        assert frame[frame["view"] == view][["group", "of"]].to_numpy().tolist() == first
    assert [row["optimizer"] for row in found.table()[::4]] == [None, "AdaL", "AdaL", "AdaL"]
    whose = frame.drop_duplicates("view")
    assert whose["beta"].fillna(-1).tolist() == [-1, 0.5, -1, -1]
    assert whose["window"].tolist() == [1, 4, 1, 1]
    assert whose["n_rows"].tolist() == [240, 60, 240, 240]
    published = frame.dropna(subset="published_alpha")
    assert set(zip(published["view"], published["group"], strict=True)) == {("gradient", "all")}


def test_a_run_folder_holds_what_was_measured(measured):
    found, folder = measured
    run = nl.read_run(folder)
    assert run.closed["status"] == "finished"
    assert run.closed["n_measurements"] == 4
    assert run.manifest["settings"]["views"] == list(FROZEN)
    assert run.manifest["settings"]["optimizer"] == "AdaL"
    assert run.manifest["settings"]["beta"] == 0.5
    kept = {(record["view"], record["group"]): record for record in run.records}
    assert len(kept) == len(run.records) == 8
    for view, part in found.views.items():
        for group, record in zip(part.sketch.groups, part.records, strict=True):
            own = kept[view, group.name]
            assert repr(own | {"part": ""}) == repr(
                {key: (record | {"part": ""})[key] for key in own}
            )
            assert np.array_equal(run.sketch(own)["coordinates"], group.coordinates)
            assert np.array_equal(run.sketch(own)["norms"], group.norms)
        indices = run.example_indices(kept[view, "all"])
        assert (indices is None) == (view == "momentum")


def test_verdicts_come_back_from_the_folder(measured):
    found, folder = measured
    run = nl.read_run(folder)
    for view in ("gradient", "update", "transformed"):
        verdict = nl.judging.verdict_at(run, step=0, group="all", of="projections", view=view)
        assert verdict.label == found.views[view].verdicts["all"]["projections"].label
    with pytest.raises(nl.RunFolderError, match=r"'momentum' has 60 rows .* Measure more.*: 1600"):
        nl.judging.verdict_at(run, step=0, group="all", of="projections", view="momentum")
    records = [record for record in run.records if record["view"] == "momentum"]
    assert not nl.judging.verdicts_of_run(run, records)


def test_a_report_is_written(measured, tmp_path):
    _, folder = measured
    nl.write_report([folder], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "momentum" in text
    assert len(text) > 10_000


@pytest.mark.parametrize("reference", ["pair", "mean"])
def test_the_update_of_sgd_is_its_gradient(reference):
    """To 1e-5 of a row's norm, in float32, with the reference of both."""
    rate = 0.003
    found = nl.measure(
        task(), views=("gradient", "update"), n_minibatches=60, batch_size=8, groups="all",
        optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=rate), reference=reference,
    )  # fmt: skip
    raw, own = (found.views[view].sketch.groups[0] for view in ("gradient", "update"))
    for of in ("coordinates", "projections"):
        errors = np.abs(getattr(own, of) + rate * getattr(raw, of).astype(np.float64)).max(axis=1)
        assert (errors <= 1e-5 * rate * raw.norms).all()
    with pytest.raises(
        nl.CaptureError, match=r"'full' is not the mean of the view 'update'.*'pair'"
    ):
        nl.measure(
            task(), views=("update",), n_minibatches=60, reference="full",
            optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=rate),
        )  # fmt: skip


def checkpoint(path, name="adam", **options):
    model = plain_model()
    optimizer = optim.create(name, model.parameters(), **options)
    steps(model, optimizer)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)
    return model, optimizer


def test_an_update_from_a_checkpoint_is_that_of_the_live_optimizer(tmp_path):
    """The same rows, bit for bit, by name, by function, and from the optimizer itself."""
    model, optimizer = checkpoint(tmp_path / "step-3.pt", betas=(0.8, 0.95))
    options = {"views": ("update", "momentum"), "n_minibatches": 60, "batch_size": 8}
    live = nl.measure(task(model), optimizer=optimizer, **options)
    named = nl.measure(task(), tmp_path / "step-3.pt", optimizer="adam", **options)
    built = nl.measure(
        task(), tmp_path / "step-3.pt", **options,
        optimizer=lambda own: torch.optim.Adam(own.parameters()),
    )  # fmt: skip
    (several,) = nl.measure_trajectory(
        task(), [tmp_path / "step-3.pt"], optimizer="adam", **options
    )
    assert several.records[0]["step"] == 3
    for found in (named, built, several):
        for view in options["views"]:
            one, two = found.views[view], live.views[view]
            assert (one.sketch.beta, one.sketch.window) == (two.sketch.beta, two.sketch.window)
            for a, b in zip(one.sketch.groups, two.sketch.groups, strict=True):
                assert np.array_equal(a.coordinates, b.coordinates)
    assert live.views["momentum"].sketch.beta == 0.8


def test_a_state_that_was_not_saved_is_asked_for(tmp_path):
    model, _ = checkpoint(tmp_path / "a.pt")
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    options = {"views": ("update",), "n_minibatches": 50, "batch_size": 8, "groups": "all"}
    for where in (tmp_path / "weights.pt", None):
        for view in ("update", "trajectory"):
            with pytest.raises(
                nl.CaptureError, match=rf"'{view}' needs the state of Adam.*_states"
            ):
                nl.measure(
                    task(), where, optimizer="adam", beta=0.5, **options | {"views": (view,)}
                )
        nl.measure(task(), where, optimizer="sgd", **options)  # of a step that has no past
    # A live optimizer that has not stepped yet has all the state there is.
    fresh = plain_model()
    nl.measure(task(fresh), optimizer=torch.optim.Adam(fresh.parameters()), **options)


def test_the_average_of_another_optimizer_at_these_weights(tmp_path):
    checkpoint(tmp_path / "a.pt", "sgd")
    found = nl.measure(
        task(), tmp_path / "a.pt", views=("gradient", "momentum"), beta=0.5, n_minibatches=60,
        batch_size=8, groups="all",
    )  # fmt: skip
    assert found.views["momentum"].sketch.optimizer is None
    assert found.sketch.reference == "full"


def test_trajectory_beside_frozen_weights(tmp_path):
    """Of one reference, the same rows whatever stands beside it, and in a folder."""
    options = {"optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=1e-2), "beta": 0.5,
               "n_minibatches": 64, "batch_size": 8, "groups": "all"}  # fmt: skip
    both = nl.measure(
        task(), views=("trajectory", "gradient", "momentum"), out=tmp_path / "run", **options
    )
    alone = nl.measure(task(), views=("trajectory",), **options)
    assert tuple(both.views) == ("trajectory", "gradient", "momentum")
    assert np.array_equal(both.sketch.groups[0].coordinates, alone.sketch.groups[0].coordinates)
    assert {part.sketch.reference for part in both.views.values()} == {"full"}
    assert len(nl.read_run(tmp_path / "run").records) == 3
    nl.write_report([tmp_path / "run"], tmp_path / "report.html")


def test_several_ranks_take_gradients_alone(tmp_path):
    options = {"n_minibatches": 60, "batch_size": 8, "out": tmp_path / "run", "ranks": (1, 2)}
    with pytest.raises(
        nl.CaptureError, match=r"views gradient, momentum .*several ranks.*one proc"
    ):
        nl.measure(task(), views=("gradient", "momentum"), beta=0.5, **options)
    with pytest.raises(nl.CaptureError, match=r"published=True .*several ranks"):
        nl.measure(task(), published=True, **options)


def test_a_diverged_model_says_so():
    """The loss of some minibatch is not finite: as for gradients, whatever the view."""
    model = plain_model()
    broken = copy.deepcopy(dataset())
    broken.tensors[0][3] = float("inf")
    own = nl.Task(model, squared, broken, name="broken")
    with pytest.raises(nl.DivergedError):
        nl.measure(
            own, views=("momentum", "update"), beta=0.5, n_minibatches=60, batch_size=8,
            optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        )  # fmt: skip
