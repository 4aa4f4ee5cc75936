from __future__ import annotations

import pytest
import torch

import noise_lens as nl
from noise_lens.tasks import load_task

SMALL = ("--task", "digits-mlp", "-n", "50", "-b", "8")


def test_json_is_one_strict_document(call, strict, tmp_path):
    result = call("measure", *SMALL, "--json", "-o", tmp_path / "run", "--groups", "module")
    found = strict(result.stdout)
    assert found["settings"]["task"] == "digits-mlp"
    assert [row["group"] for row in found["table"][::2]] == ["all", "1", "3", "5"]
    assert found["folder"] == str(tmp_path / "run")
    assert "Memory on the device" in result.stderr
    assert "log-histograms" in result.stderr
    assert len(nl.read_run(tmp_path / "run").records) == 4


def test_table_for_people(call, tmp_path):
    model = load_task("digits-mlp").build_model(1)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    result = call("measure", tmp_path / "model.pt", *SMALL, "--groups", "*.bias")
    assert "50 rows of noise from 50 minibatches of 8, i.i.d. with replacement" in result.stdout
    assert "*.bias" in result.stdout
    assert "all, projections: inconclusive: cannot tell" in result.stdout
    assert "2 groups" not in result.stdout
    assert "Gradient noise scale tr(Sigma)/|G|^2: " in result.stdout
    assert "below 2 alone it is not evidence" in result.stderr


def test_arguments_reach_the_task(call, strict):
    result = call("measure", *SMALL, "--task-arg", "hidden=[5]", "--json", "--groups", "all")
    assert strict(result.stdout)["n_parameters"] == 64 * 5 + 5 + 5 * 10 + 10


def test_errors_are_one_line_with_status_one(call, tmp_path):
    (tmp_path / "file").write_text("")
    for arguments, message in (
        (("none.pt", *SMALL), "none.pt does not exist"),
        (("--task", "digits"), "a task is one of"),
        (("--task", "digits-mlp", "-n", "49"), "at least 50 minibatches, got 49"),
        ((*SMALL, "--groups", "conv*"), "matches no trainable parameter"),
        ((*SMALL, "--view", "update"), "none was given. Name one with optimizer= or --optimizer"),
        ((*SMALL, "-o", tmp_path / "file" / "run"), "cannot be written"),
        ((*SMALL, "--task-arg", "depth=3"), "raised TypeError"),
        ((*SMALL, "--device", "gpu"), "cannot be used"),
    ):
        output = call("measure", *arguments, code=1).stderr
        lines = [line for line in output.splitlines() if line.startswith("Error: ")]
        assert len(lines) == 1
        assert message in lines[0]
        assert "Traceback" not in output


def test_small_minibatches_name_their_examples(call):
    text = call("measure", *SMALL[:-1], "1", "--groups", "all").stdout
    assert "The heaviest 1 % of rows hold" in text
    assert "%)" in text.split("Examples that carry most")[1]
    assert "The heaviest" not in call("measure", *SMALL[:-1], "16", "--groups", "all").stdout


@pytest.fixture
def trajectory(tmp_path):
    """Three checkpoints of digits-mlp, the steps in their names."""
    for step in (0, 100, 2000):
        state = load_task("digits-mlp").build_model(step).state_dict()
        torch.save(state, tmp_path / f"step-{step}.pt")
    return [tmp_path / f"step-{step}.pt" for step in (0, 100, 2000)]


def test_several_checkpoints_are_steps_of_one_run(call, trajectory, tmp_path):
    result = call("measure", *trajectory, *SMALL, "--groups", "all", "-o", tmp_path / "run")
    for number, (path, step) in enumerate(zip(trajectory, (0, 100, 2000), strict=True), start=1):
        assert f"{path}: step {step}, from its name\n" in result.stderr
        assert f"Measured {number} of 3: {path}, kept in" in result.stderr
        assert f"Step {step}: {path}\n" in result.stdout
    assert result.stdout.count("all, projections: inconclusive: cannot tell") == 3
    summary = result.stdout.split("All parameters together, by step:\n")[1].splitlines()
    steps = ["0", "100", "2000"]
    assert [line.split()[0].replace(",", "") for line in summary[1:]] == steps * 2
    assert result.stderr.count("Memory on the device") == 1
    assert {r["step"] for r in nl.read_run(tmp_path / "run").records} == {0, 100, 2000}


def test_json_of_several_is_one_document(call, strict, trajectory):
    options = (*SMALL, "--groups", "all", "--json", "--steps", "1,2,3")
    found = strict(call("measure", *trajectory, *options).stdout)
    assert [row["step"] for row in found["table"]] == [1, 1, 2, 2, 3, 3]
    assert found["settings"]["step_sources"] == ["the steps given"] * 3
    one = strict(call("measure", trajectory[0], *SMALL, "--groups", "all", "--json").stdout)
    assert "checkpoint" in one["settings"]
    assert [row["step"] for row in one["table"]] == [0, 0]


def test_a_failure_names_its_checkpoint(call, trajectory, tmp_path):
    state = torch.load(trajectory[1], weights_only=True)
    torch.save({name: value * float("nan") for name, value in state.items()}, trajectory[1])
    result = call("measure", *trajectory, *SMALL, "-o", tmp_path / "run", code=1)
    assert f"This was {trajectory[1]}, checkpoint 2 of 3.\nError: " in result.stderr
    assert f"Measured 1 of 3: {trajectory[0]}, kept in {tmp_path / 'run'}" in result.stderr
    assert "Step 0: " in result.stdout
    assert [r["step"] for r in nl.read_run(tmp_path / "run").records if r["group"] == "all"] == [0]


def test_trajectories_that_cannot_be_measured(call, trajectory, tmp_path):
    first, second, _ = trajectory
    (tmp_path / "folder").mkdir()
    for arguments, code, message in (
        ((first, first, *SMALL), 1, "2 checkpoints are of training step 0"),
        ((first, second, *SMALL, "--steps", "1"), 1, "steps must be 2 numbers"),
        ((first, second, *SMALL, "--steps", "1,b"), 2, "'1,b' is no list of whole numbers"),
        ((first, second, tmp_path / "none.pt", *SMALL), 1, "none.pt does not exist"),
        ((first, tmp_path / "folder", *SMALL), 1, "folder is a folder that is empty"),
    ):
        result = call("measure", *arguments, code=code)
        assert message in result.stderr
        assert not result.stdout


def test_a_rank_that_holds_a_part_says_so(call, tmp_path, monkeypatch):
    """The verdict is rank 0's; a part prints nothing on stdout."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    (tmp_path / "run").mkdir()
    result = call("measure", *SMALL[:2], "-n", "100", "--groups", "all", "-o", tmp_path / "run")
    assert result.stdout == ""
    assert "Rank 1 of 2: 50 rows; rank 0 judges all." in result.stderr


@pytest.fixture
def adam(tmp_path):
    """A checkpoint of digits-mlp with the state of Adam after two steps."""
    model = load_task("digits-mlp").build_model(0)
    optimizer = torch.optim.Adam(model.parameters(), betas=(0.5, 0.999))
    for _ in range(2):
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    path = tmp_path / "step-2.pt"
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)
    return path


VIEWS = ("--view", "gradient", "--view", "momentum", "--view", "update", "--optimizer", "adam")


def test_views_of_an_optimizer_in_one_table(call, adam, tmp_path):
    result = call(
        "measure", adam, *SMALL, "--groups", "all", *VIEWS, "--published", "-o", tmp_path / "run"
    )
    text = result.stdout
    assert "View gradient: 25 rows\n" in text
    assert "View momentum: 6 rows of Adam, each of 4 minibatches (beta 0.5); fewer than 200" in text
    assert "View update: 25 rows of Adam; fewer than 200 give an estimate, no verdict" in text
    assert "The literature's pooled estimator reads " in text
    table = text[text.index("view ") :].splitlines()
    views = [line.split()[0] for line in table if line.startswith(("grad", "mom", "upd"))]
    assert views == [view for view in ("gradient", "momentum", "update") for _ in range(2)]
    assert "subtracted: pair (the view 'update' has no full gradient" in text
    assert "momentum view, what it holds" in result.stderr
    records = nl.read_run(tmp_path / "run").records
    assert {record["view"] for record in records} == {"gradient", "momentum", "update"}
    page = tmp_path / "report.html"
    call("report", tmp_path / "run", "-o", page)
    assert page.stat().st_size > 10_000


def test_views_in_json(call, strict, adam):
    options = (*SMALL, "--groups", "all", *VIEWS, "--published", "--json")
    found = strict(call("measure", adam, *options).stdout)
    settings = found["settings"]
    assert settings["views"] == ["gradient", "momentum", "update"]
    assert (settings["optimizer"], settings["beta"], settings["published"]) == ("adam", None, True)
    rows = found["table"][::2]
    assert [(row["view"], row["optimizer"], row["beta"], row["window"]) for row in rows] == [
        ("gradient", None, None, 1), ("momentum", "Adam", 0.5, 4), ("update", "Adam", None, 1),
    ]  # fmt: skip
    assert [row["published_alpha"] is None for row in rows] == [False, True, True]
    beta = strict(call("measure", adam, *options, "--beta", "0.1").stdout)
    assert [row["beta"] for row in beta["table"][::2]] == [None, 0.1, None]
    assert beta["settings"]["beta"] == 0.1


def test_an_average_needs_a_beta_and_no_optimizer(call, strict, adam):
    options = (*SMALL, "--groups", "all", "--view", "momentum", "--beta", "0.5", "--json")
    rows = strict(call("measure", adam, *options).stdout)["table"]
    assert {(row["view"], row["optimizer"], row["n_rows"]) for row in rows} == {
        ("momentum", None, 12)
    }


def test_several_checkpoints_have_several_states(call, strict, adam, tmp_path):
    saved = torch.load(adam, weights_only=True)
    for group in saved["optimizer"]["param_groups"]:
        group["lr"] *= 10
    torch.save(saved, tmp_path / "step-20.pt")
    options = (*SMALL, "--groups", "all", "--view", "update", "--optimizer", "adam", "--json")
    table = strict(call("measure", adam, tmp_path / "step-20.pt", *options).stdout)["table"]
    small, large = table[0], table[2]
    assert (small["step"], large["step"]) == (2, 20)
    assert large["noise_norm_mean"] == pytest.approx(10 * small["noise_norm_mean"], rel=1e-5)


def test_views_that_cannot_be_measured(call, adam, tmp_path):
    torch.save(torch.load(adam, weights_only=True)["model"], tmp_path / "weights.pt")
    update = (*SMALL, "--view", "update")
    for arguments, message in (
        ((adam, *update, "--optimizer", "adamm"), "Did you mean adam"),
        ((tmp_path / "weights.pt", *update, "--optimizer", "adam"), "needs the state of Adam"),
        ((adam, *update, "--optimizer", "sgd"), "the saved state is not of SGD"),
        ((adam, *update, "--optimizer", "adam", "--reference", "full"), "reference 'full' is not"),
        ((adam, *SMALL, "--view", "momentum"), "the views momentum are an optimizer's"),
        ((*SMALL, "--view", "momentum", "--beta", "1"), "beta must lie in [0, 1), got 1.0"),
        ((*SMALL, "--view", "transformed", "--optimizer", "adam"), "such as AdaL; Adam does not"),
        ((*SMALL, "--view", "momentum", "--beta", "0.99"), "takes 230 minibatches"),
        ((*SMALL, "--view", "noise"), "views must be different ones of gradient"),
    ):
        output = call("measure", *arguments, code=1).stderr
        lines = [line for line in output.splitlines() if line.startswith("Error: ")]
        assert len(lines) == 1
        assert message in lines[0]
        assert "Traceback" not in output
