from __future__ import annotations

import json

import noise_lens as nl
from noise_lens.tasks import load_task


def test_one_page_for_several_runs(call, tmp_path):
    for seed in (0, 1):
        nl.measure(
            "digits-mlp", n_minibatches=50, seed=seed, groups="all", out=tmp_path / f"r{seed}"
        )
    page = tmp_path / "deep" / "page.html"
    call("report", tmp_path / "r0", tmp_path / "r1", "-o", page)
    text = page.read_text()
    assert "r0: what was found" in text
    assert "r1: what was found" in text


def test_folders_that_are_no_runs(call, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text(json.dumps({"schema": "noise-lens/99"}))
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "manifest.json").write_text(json.dumps({"schema": "noise-lens/3"}))
    for name, message in (
        ("none", "does not exist"),
        ("empty", "has no manifest.json and is empty"),
        ("other", "schema 'noise-lens/99'"),
        ("open", "holds no finished measurement yet"),
    ):
        output = call("report", tmp_path / name, "-o", tmp_path / "page.html", code=1).stderr
        assert output.startswith("Error: ")
        assert message in output
    assert not (tmp_path / "page.html").exists()


def test_dead_noise_and_diverged_runs_are_said_and_not_drawn(call, tmp_path):
    task = load_task("digits-mlp")
    dead = nl.Task(task.model, lambda m, b: 0 * task.loss(m, b), task.data, name="dead")
    nl.measure(dead, n_minibatches=50, groups="all", out=tmp_path / "dead")
    call("report", tmp_path / "dead")
    text = (tmp_path / "dead" / "report.html").read_text()
    assert "Projections: no estimate. pooled needs samples that vary" in " ".join(text.split())
    assert "<svg" not in text

    options = (
        "--optimizers",
        "sgd",
        "--lr",
        "sgd=1e30",
        "--steps",
        "5",
        "--seeds",
        "1",
        "-n",
        "50",
    )
    call("compare", "--task", "digits-mlp", *options, "-o", tmp_path / "lost")
    output = call("report", tmp_path / "lost", code=1).stderr
    assert "every run of" in output
    assert "smaller learning rate" in output


def test_a_page_that_cannot_be_written_leaves_the_old_one(call, tmp_path):
    nl.measure("digits-mlp", n_minibatches=50, groups="all", out=tmp_path / "run")
    (tmp_path / "file").write_text("old")
    output = call("report", tmp_path / "run", "-o", tmp_path / "file" / "page.html", code=1).stderr
    assert "cannot be written" in output
    assert (tmp_path / "file").read_text() == "old"
