from __future__ import annotations

import pytest
import torch

from noise_lens.landscape import loss_along_line
from noise_lens.tasks import load_task


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    folder = tmp_path_factory.mktemp("line")
    paths = [folder / "one.pt", folder / "two.pt"]
    for seed, path in enumerate(paths):
        torch.save(load_task("digits-mlp").build_model(seed).state_dict(), path)
    return paths


def test_text_document_and_figure(call, strict, ends, tmp_path):
    arguments = ("theory", "line", *ends, "--task", "digits-mlp", "--points", "3")
    found = loss_along_line("digits-mlp", *ends, n_points=3)
    result = call(*arguments, "--plot", tmp_path / "line.svg")
    assert str(found) in result.stdout
    assert "train loss" in result.stdout
    assert "<svg" in (tmp_path / "line.svg").read_text()
    document = strict(call(*arguments, "--json").stdout)
    assert document["train_loss"] == found.train.tolist()
    assert document["barrier"] == found.barrier
    assert document["ridge"] == found.ridge
    assert document["fractions"] == [0, 0.5, 1]
    assert document["metrics"]["test/accuracy"] == found.metrics["test/accuracy"].tolist()


def test_errors_are_one_line(call, ends, tmp_path):
    task = ("--task", "digits-mlp", "--points", "3")
    for arguments, code, message in (
        ((ends[0], "none.pt", *task), 1, "none.pt does not exist"),
        ((*ends, "--task", "digits-cnn"), 1, "does not fit"),
        ((*ends, *task, "--beyond", "-1"), 1, "beyond >= 0"),
        ((*ends, "--task", "digits-mlp", "--points", "2"), 2, "--points"),
        # Before the work: the checkpoint that is not there is not looked for.
        ((ends[0], "none.pt", *task, "--plot", tmp_path / "line.pdf"), 2, "writes an .svg file"),
        ((ends[0], "none.pt", *task, "--plot", tmp_path / "no" / "a.svg"), 1, "is no folder"),
    ):
        output = call("theory", "line", *arguments, code=code).stderr
        assert message in output
        assert "Traceback" not in output
        assert "Errno" not in output
