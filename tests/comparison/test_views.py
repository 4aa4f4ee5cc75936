"""Views in a comparison: one reference, one decay where an optimizer averages nothing."""

from __future__ import annotations

import numpy as np
import pytest
from models import dataset, squared
from torch import nn

import noise_lens as nl

OPTIONS = {
    "n_steps": 10,
    "probe_steps": [0, 10],
    "n_minibatches": 200,
    "batch_size": 8,
    "seeds": (0, 1),
    "views": ("gradient", "momentum"),
}


def task():
    def build():
        return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1), nn.Flatten(0))

    return nl.Task(build, squared, dataset(), test_data=dataset(40), name="plain")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared") / "run"
    return nl.compare(task(), ("sgd", "adam", "adal"), out=folder, **OPTIONS)


def test_every_run_has_every_view_with_one_reference_and_one_decay(found):
    """AdaL's averages have no full gradient, so no view of any optimizer is measured on one."""
    assert found.settings["reference"] == "pair"
    for records in found.runs.values():
        assert [(r["step"], r["view"]) for r in records] == [
            (0, "gradient"), (0, "momentum"), (10, "gradient"), (10, "momentum"),
        ]  # fmt: skip
        assert {r["reference"] for r in records} == {"pair"}
        assert [(r["beta"], r["window"], r["n_rows"]) for r in records[:2]] == [
            (None, 1, 100), (0.9, 22, 4),
        ]  # fmt: skip
    assert found.runs["sgd-s0"][1]["optimizer"] == "SGD"
    assert found.runs["adal-s0"][1]["optimizer"] == "AdaL"


def test_without_a_bent_view_the_full_gradient_stays():
    found = nl.compare(task(), ("sgd", "adam"), **{**OPTIONS, "seeds": (0,)})
    assert {r["reference"] for r in found.runs["adam-s0"]} == {"full"}


def test_at_the_start_adams_averages_are_those_of_sgd(found):
    """Same weights, same minibatches, same decay: the rows are equal to the last bit."""
    run = nl.read_run(found.folder)
    rows = [
        run.runs[name].sketch(run.runs[name].records[1])["coordinates"]
        for name in ("sgd-s0", "adam-s0")
    ]
    assert np.array_equal(*rows)


def test_transformed_is_measured_where_it_exists():
    options = {**OPTIONS, "seeds": (0,), "probe_steps": [10], "views": ("gradient", "transformed")}
    found = nl.compare(task(), ("sgd", "adal"), **options)
    assert [r["view"] for r in found.runs["sgd-s0"]] == ["gradient"]
    assert [r["view"] for r in found.runs["adal-s0"]] == ["gradient", "transformed"]


def test_what_is_found_in_memory_is_what_the_folder_says(found):
    run = nl.read_run(found.folder)
    assert run.closed["learning_rates"] == {"sgd": 0.1, "adam": 0.001, "adal": 0.001}
    read = [row.row() for row in nl.contrasts.comparison_table(run)]
    assert repr(found.summary()) == repr(read)
    assert repr(found.differences()) == repr([d.row() for d in nl.contrasts.differences(run)])
    part = found.decompose("adam", of="coordinates")
    assert repr(part) == repr(
        nl.contrasts.decompose(run, optimizer="adam", baseline="sgd", of="coordinates")
    )
    assert part.level("sgd", "momentum") is not None


def test_a_table_names_the_run_and_whose_view_it_is(found):
    rows = found.table()
    momentum = [row for row in rows if row["view"] == "momentum" and row["seed"] == 1]
    assert {(row["optimizer"], row["view_of"]) for row in momentum} == {
        ("sgd", "SGD"), ("adam", "Adam"), ("adal", "AdaL"),
    }  # fmt: skip


def test_a_view_that_a_crash_left_out_is_measured_again(tmp_path):
    options = {**OPTIONS, "seeds": (0,), "out": tmp_path / "run"}
    whole = nl.compare(task(), ("sgd",), **options)
    (tmp_path / "run" / "close.json").unlink()
    (tmp_path / "run" / "sgd-s0" / "close.json").unlink()
    for path in (tmp_path / "run" / "sgd-s0" / "records").glob("00000010-momentum*"):
        path.unlink()
    assert len(nl.read_run(tmp_path / "run").runs["sgd-s0"].records) == 3
    again = nl.compare(task(), ("sgd",), **options)
    assert len(again.table()) == len(whole.table())
    for one, two in zip(whole.table(), again.table(), strict=True):
        assert {k: v for k, v in one.items() if "reason" not in k} == pytest.approx(
            {k: v for k, v in two.items() if "reason" not in k}, nan_ok=True
        )


def test_the_published_estimator_stands_beside_ours_at_every_probe():
    options = {**OPTIONS, "seeds": (0,), "views": ("gradient",), "published": True}
    found = nl.compare(task(), ("sgd",), **options)
    assert [0 < r["published_alpha"] <= 3 for r in found.runs["sgd-s0"]] == [True, True]
    n_entries = found.runs["sgd-s0"][0]["n_rows"] * found.runs["sgd-s0"][0]["n_parameters"]
    block_size = found.runs["sgd-s0"][0]["published_block_size"]
    assert n_entries % block_size == 0
    assert block_size**2 <= n_entries


def test_probes_of_all_views_do_not_change_training():
    views = ("gradient", "momentum", "update", "trajectory")
    options = {**OPTIONS, "seeds": (0,), "n_minibatches": 50, "reference": "auto"}
    plain = nl.compare(task(), ("adam",), **{**options, "views": ("gradient",)})
    for chosen in (("gradient", "update"), ("momentum",), views[3:]):
        more = nl.compare(task(), ("adam",), **{**options, "views": chosen, "n_minibatches": 100})
        assert more.runs["adam-s0"][-1]["metrics"] == plain.runs["adam-s0"][-1]["metrics"]


def test_adams_first_step_has_no_tail():
    """lr * sign(g) takes two values: an alpha of such rows would be read as an extreme tail."""
    options = {**OPTIONS, "seeds": (0,), "views": ("update",)}
    found = nl.compare(task(), ("adam",), **options)
    first = next(row for row in found.table() if row["of"] == "coordinates")
    assert np.isnan(first["alpha"])
    assert first["reason"] == "the magnitudes all but repeat a few values"


def test_bad_names_and_baselines():
    with pytest.raises(ValueError, match="baseline must be one of sgd, adam; got 'adal'"):
        nl.compare(task(), ("sgd", "adam"), baseline="adal", **OPTIONS)
    with pytest.raises(ValueError, match="Did you mean"):
        nl.compare(task(), ("sgd", "adm"), **OPTIONS)
    with pytest.raises(nl.CaptureError, match="views must be different ones of"):
        nl.compare(task(), ("sgd",), **{**OPTIONS, "views": ("gradient", "gradient")})
