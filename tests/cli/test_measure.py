from __future__ import annotations

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
        ((*SMALL, "--view", "update"), "views must be among gradient"),
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
