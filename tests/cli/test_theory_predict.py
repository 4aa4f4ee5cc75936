from __future__ import annotations

import pytest
import torch

import noise_lens as nl
from noise_lens.tasks import load_task


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("theory") / "run"
    nl.measure("linear-regression", n_minibatches=200, groups="all", out=folder)
    return folder


def test_without_a_curvature_it_says_what_to_do(call, run):
    output = call("theory", "predict", run, "--learning-rate", "0.1", code=1).stderr
    assert "holds no curvature of step 0" in output
    assert "--task NAME --checkpoint CKPT" in output
    assert len([line for line in output.splitlines() if line.startswith("Error: ")]) == 1


def test_violations_come_first_in_text_and_document(call, strict, run):
    first = call("theory", "predict", run, "--task", "linear-regression", "--learning-rate", "0.1")
    lines = first.stdout.splitlines()
    assert lines[0] == "run, step 0, all: escape by the theory"
    assert lines[1].startswith("The data violate ")
    assert lines[2].startswith("  1. verdict: ")
    assert (run / "curvature" / "00000000.json").exists()  # so that the next needs no task
    document = strict(
        call("theory", "predict", run, "--learning-rate", "0.1", "--barrier", "2", "--json").stdout
    )
    assert next(iter(document)) == "violations"
    assert document["violations"][0]["name"] == "verdict"
    assert document["barrier"] == 2
    assert [one["theory"] for one in document["escapes"]] == [
        "independent jumps", "one shared radius", "Gaussian (diffusion theory)",
    ]  # fmt: skip
    jumps = document["escapes"][0]
    if jumps["time"] is not None:
        assert jumps["iterations"]["mean"] == pytest.approx(jumps["time"] / 0.1)


def test_barrier_from_a_line(call, tmp_path, run):
    """The line from the measured weights uphill: its rise is the barrier."""
    task = load_task("linear-regression")
    uphill = task.build_model(0)
    with torch.no_grad():
        uphill.bias += 3
    torch.save(uphill.state_dict(), tmp_path / "up.pt")
    arguments = ("theory", "predict", run, "--task", "linear-regression", "--learning-rate", "0.1")
    result = call(*arguments, "--towards", tmp_path / "up.pt")
    assert "the rise on the line to up.pt" in result.stdout
    assert "training loss" in result.stderr
    output = call(*arguments, "--towards", tmp_path / "up.pt", "--barrier", "1", code=2).stderr
    assert "leave one out" in output


def test_only_what_is_missing_is_asked_for(call, tmp_path):
    """Of a checkpoint's run: all at once, before the work; later only what no folder keeps."""
    task = load_task("linear-regression")
    paths = [tmp_path / name for name in ("here.pt", "up.pt")]
    for shift, path in enumerate(paths):
        model = task.build_model(0)
        with torch.no_grad():
            model.bias += 3 * shift
        torch.save(model.state_dict(), path)
    run = tmp_path / "run"
    nl.measure("linear-regression", paths[0], n_minibatches=60, groups="all", out=run)
    output = call("theory", "predict", run, code=1).stderr
    assert "holds no curvature" in output
    assert "--learning-rate" in output
    arguments = ("theory", "predict", run, "--task", "linear-regression")
    assert "--learning-rate" in call(*arguments, "--checkpoint", paths[0], code=1).stderr
    assert not (run / "curvature").exists()  # it was said before the curvature was computed
    arguments += ("--learning-rate", "0.1")
    assert "Give the checkpoint that was measured" in call(*arguments, code=1).stderr
    first = call(*arguments, "--checkpoint", paths[0])
    assert call(*arguments).stdout == first.stdout
    output = call(*arguments, "--towards", paths[1], code=2).stderr
    assert "--towards needs --checkpoint here.pt" in output
    assert "not the weights" in output
    result = call(*arguments, "--towards", paths[1], "--checkpoint", paths[0])
    assert "the rise on the line to up.pt" in result.stdout


def test_misuse(call, tmp_path, run):
    for arguments, code, message in (
        (("--checkpoint", "x.pt"), 2, "need --task"),
        (
            ("--barrier", "-1", "--learning-rate", "0.1", "--task", "linear-regression"),
            1,
            "positive",
        ),
        (("--task", "linear-regression"), 1, "--learning-rate"),
        (("--task", "linear-regression", "--learning-rate", "nan"), 1, "positive number"),
        (("--optimizer", "adal"), 2, "adal"),
        (("--task", "digits-mlp", "--step", "5"), 1, "at step 5"),
    ):
        assert message in call("theory", "predict", run, *arguments, code=code).stderr
    assert "does not exist" in call("theory", "predict", tmp_path / "no", code=1).stderr
