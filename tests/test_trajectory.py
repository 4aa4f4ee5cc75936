from __future__ import annotations

import numpy as np
import pytest
import torch
from models import dataset, plain_model, squared
from torch import nn
from torch.utils.data import DataLoader, WeightedRandomSampler

import noise_lens as nl

SMALL = {"n_minibatches": 50, "batch_size": 8, "groups": "all"}


def task(**options):
    return nl.Task(plain_model, squared, dataset(), name="plain", **options)


def saved(folder, *steps, scale=1.0):
    """Write one checkpoint a step, with different weights; returns their paths."""
    paths = []
    for step in steps:
        torch.manual_seed(step)
        model = plain_model()
        nn.init.normal_(model[0].weight, std=scale)
        path = folder / f"step-{step:04d}.pt"
        torch.save({"model": model.state_dict()}, path)
        paths.append(path)
    return paths


def test_one_run_with_a_step_for_each(tmp_path):
    paths = saved(tmp_path, 0, 10, 200)
    said = []
    found = nl.measure_trajectory(
        task(), paths, out=tmp_path / "run", on_steps=said.extend, **SMALL
    )
    assert [step.number for step in said] == [0, 10, 200]
    assert [m.records[0]["step"] for m in found] == [0, 10, 200]
    assert all("projections" in m.verdicts["all"] for m in found)
    run = nl.read_run(tmp_path / "run")
    assert run.manifest["kind"] == "trajectory"
    assert run.closed["n_measurements"] == 3
    assert [record["step"] for record in run.records] == [0, 10, 200]
    for record, measurement in zip(run.records, found, strict=True):
        kept = run.sketch(record)["projections"]
        assert np.array_equal(kept, measurement.sketch.groups[0].projections)
    settings = run.manifest["settings"]
    assert settings["checkpoints"] == ["step-0000.pt", "step-0010.pt", "step-0200.pt"]
    assert len(set(settings["checkpoint_sha256"])) == 3
    assert settings["step_sources"] == ["its name"] * 3


def test_each_is_what_measure_finds_alone(tmp_path):
    """Weights of one checkpoint do not leak into the next, and the draw is that of `measure`."""
    paths = saved(tmp_path, 1, 2, 3)
    for path, found in zip(paths, nl.measure_trajectory(task(), paths, **SMALL), strict=True):
        alone = nl.measure(task(), path, **SMALL)
        assert np.array_equal(
            alone.sketch.groups[0].projections, found.sketch.groups[0].projections
        )
        assert alone.records[0]["loss"] == found.records[0]["loss"]


@pytest.mark.parametrize("stream", [False, True])
def test_steps_share_minibatches_and_coordinates(tmp_path, stream):
    """The same weights at two steps give the same rows, also from a shuffling sampler."""
    data = dataset()
    if stream:
        data = DataLoader(
            data, batch_size=8, sampler=WeightedRandomSampler(torch.ones(len(data)), len(data))
        )
    one, two = nl.measure_trajectory(
        nl.Task(plain_model, squared, data, name="plain"),
        saved(tmp_path, 5) * 2, steps=[0, 1], reference="pair",
        **{**SMALL, "n_minibatches": 54},  # ends within an epoch of the stream
    )  # fmt: skip
    for first, second in zip(one.sketch.groups, two.sketch.groups, strict=True):
        assert np.array_equal(first.coordinates, second.coordinates)
        assert np.array_equal(first.positions, second.positions)
        assert np.array_equal(first.projections, second.projections)


@pytest.mark.parametrize("fault", ["missing", "truncated", "another model's", "a program"])
def test_a_bad_third_is_found_before_the_first_is_measured(tmp_path, fault):
    paths = saved(tmp_path, 1, 2, 3)
    if fault == "missing":
        paths[2].unlink()
    elif fault == "truncated":
        paths[2].write_bytes(paths[2].read_bytes()[:200])
    elif fault == "another model's":
        torch.save(nn.Linear(2, 2).state_dict(), paths[2])
    else:
        paths[2].write_bytes(b"PK")
        paths[2] = paths[2].rename(tmp_path / "step-3.pt2")
    calls = []

    def loss(model, batch):
        calls.append(1)
        return squared(model, batch)

    with pytest.raises(nl.CheckpointError, match=r"step-0*3\.pt"):
        nl.measure_trajectory(
            nl.Task(plain_model, loss, dataset(), name="t"), paths, out=tmp_path / "run", **SMALL
        )
    assert not calls
    assert not (tmp_path / "run").exists()


def test_what_was_measured_before_a_failure_is_kept(tmp_path):
    paths = saved(tmp_path, 1, 2)
    bad = torch.load(paths[1], weights_only=True)
    bad["model"]["0.weight"].fill_(float("nan"))
    torch.save(bad, paths[1])
    seen = []
    with pytest.raises(nl.CaptureError) as caught:
        nl.measure_trajectory(task(), paths, out=tmp_path / "run", on_measured=seen.append, **SMALL)
    assert "step-0002.pt, checkpoint 2 of 2" in caught.value.__notes__[0]
    assert len(seen) == 1
    run = nl.read_run(tmp_path / "run")
    assert run.closed is None
    assert [record["step"] for record in run.records] == [1]
    nl.write_report(tmp_path / "run", tmp_path / "page.html")


def test_the_task_keeps_its_own_module(tmp_path):
    model = plain_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    nl.measure_trajectory(
        nl.Task(model, squared, dataset(), name="t"), saved(tmp_path, 1, 2), **SMALL
    )
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_equal_file_names_are_told_with_their_folder(tmp_path):
    paths = []
    for path in saved(tmp_path, 10, 20):
        paths.append(tmp_path / path.stem / "model.pt")
        paths[-1].parent.mkdir()
        path.rename(paths[-1])
    found = nl.measure_trajectory(task(), paths, **SMALL)
    settings = found[0].manifest["settings"]
    assert settings["checkpoints"] == ["step-0010/model.pt", "step-0020/model.pt"]
    assert settings["steps"] == [10, 20]


@pytest.mark.parametrize("given", [[], "model.pt"])
def test_a_list_is_asked_for(given):
    with pytest.raises(nl.CheckpointError, match="needs a list of checkpoints, got"):
        nl.measure_trajectory(task(), given)


def test_several_ranks_are_sent_to_measure(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(nl.CaptureError, match=r"2 ranks. Measure the checkpoints one by one"):
        nl.measure_trajectory(task(), saved(tmp_path, 1, 2), **SMALL)


def test_the_report_draws_the_tail_index_against_the_step(tmp_path):
    nl.measure_trajectory(task(), saved(tmp_path, 0, 10, 200), out=tmp_path / "run", **SMALL)
    page = nl.write_report(tmp_path / "run", tmp_path / "page.html").read_text()
    assert "Tail index along training" in page
    assert ">training step<" in page
    assert all(f">{step}<" in page for step in (0, 10, 200))
