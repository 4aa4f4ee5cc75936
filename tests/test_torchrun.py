"""Real processes: `noise-lens measure` on several ranks against one."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import noise_lens as nl

TASK = """
import torch
from torch import nn
from torch.utils.data import TensorDataset
import noise_lens as nl

def task(dropout=0.0):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(300, 20, generator=generator)
    y = torch.randn(300, 1, generator=generator)
    def model():
        return nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 1))
    def loss(model, batch):
        return (model(batch[0]) - batch[1]).square().mean()
    return nl.Task(model, loss, TensorDataset(x, y), name="made-up")
"""


@pytest.fixture
def command(tmp_path):
    """Arguments of a measurement of a task of the folder, and where and how to run it."""
    (tmp_path / "mine.py").write_text(TASK)
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}
    environment["OMP_NUM_THREADS"] = "1"

    def arguments(*options, task_arg="dropout=0"):
        return ["measure", "--task", "mine:task", "--task-arg", task_arg, "-b", "8",
                "--groups", "module", "--json", *map(str, options)]  # fmt: skip

    def run(before, arguments, **more):
        return subprocess.Popen(
            [sys.executable, *before, *arguments], cwd=tmp_path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment | more,
        )  # fmt: skip

    return arguments, run


CLI = ["-c", "from noise_lens_cli import main; main()"]


def document(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return json.loads(out)


def assert_same(one, other, but=()):
    for own, found in zip(one["table"], other["table"], strict=True):
        assert {k: v for k, v in own.items() if k not in but} == {
            k: v for k, v in found.items() if k not in but
        }


def test_two_processes_without_torchrun_meet_in_the_folder(command, tmp_path):
    """Rank 0 prints the measurement of both, rank 1 nothing; either may come first."""
    arguments, run = command
    options = arguments("-n", 60)
    ranks = [run(CLI, [*options, "-o", "run"], RANK=str(rank), WORLD_SIZE="2") for rank in (1, 0)]
    found = document(ranks[1])
    assert ranks[0].communicate(timeout=60)[0] == ""
    assert ranks[0].returncode == 0
    assert found["merged_ranks"] == 2
    assert (found["table"][0]["n_rows"], found["table"][0]["reference"]) == (60, "full")
    alone = nl.read_run(tmp_path / "run")
    assert alone.closed["status"] == "finished"
    assert alone.records[0]["n_rows"] == 60


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_ranks", "n", "dropout", "reference"),
    [(2, 128, 0, "full"), (3, 128, 0, "full"), (2, 130, 0, "pair"), (3, 131, 0.3, "pair")],
)
def test_torchrun_measures_what_one_process_measures(
    n_ranks, n, dropout, reference, command, tmp_path
):
    arguments, run = command
    options = arguments("-n", n, "--reference", reference, task_arg=f"dropout={dropout}")
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", str(n_ranks), "-m"]
    (tmp_path / "cli.py").write_text("from noise_lens_cli import main; main()")
    several = document(run([*torchrun, "cli"], [*options, "-o", "run"]))
    alone = document(run(CLI, options))
    ends = ("", "_low", "_high", "_reason")
    assert_same(alone, several, [f"noise_scale{end}" for end in ends if reference == "pair"])
    assert len(list((tmp_path / "run" / "records").iterdir())) == n_ranks

    page = nl.write_report(tmp_path / "run", tmp_path / "report.html").read_text()
    assert "finished" in page
    done = run(CLI, ["check", "run", "--expect", "heavy-tailed", "--json"])
    label = json.loads(done.communicate(timeout=120)[0])["verdicts"][0]["label"]
    assert label == next(row["verdict"] for row in alone["table"] if row["of"] == "projections")


@pytest.mark.slow
def test_torchrun_without_a_folder_says_where_ranks_meet(command):
    arguments, run = command
    process = run(
        ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python", sys.executable],
        [*CLI, *arguments("-n", "60")],
    )
    out, err = process.communicate(timeout=120)
    assert process.returncode != 0
    assert out == ""
    assert "they meet in a run folder that all can see. Give one with out= or -o" in err
