"""At which training step a checkpoint was saved, and who says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from noise_lens import CheckpointError
from noise_lens.tasks.checkpoint import Step, check_checkpoint, steps_of
from noise_lens.tasks.checkpoint.opened import OpenedCheckpoint

STATE = nn.Linear(2, 2).state_dict()


def opened(*names):
    return [OpenedCheckpoint(Path(name), {}, lambda names: {}, []) for name in names]


def numbers(*names):
    return [step.number for step in steps_of(opened(*names))]


@pytest.mark.parametrize("key", ["global_step", "step", "iteration"])
@pytest.mark.parametrize("value", [120, torch.tensor(120), torch.tensor([120.0])])
def test_a_torch_file_says_its_step(tmp_path, key, value):
    path = tmp_path / "step-7.pt"
    torch.save({"model": STATE, key: value}, path)
    (step,) = steps_of([check_checkpoint(nn.Linear(2, 2), path)])
    assert step == Step(120, f"its key {key}")


@pytest.mark.parametrize("value", ["120", True, -1, 0.5, float("nan"), None, torch.ones(2), 2**70])
def test_what_is_no_step_is_passed_over(tmp_path, value):
    path = tmp_path / "step-7.pt"
    torch.save({"model": STATE, "step": value}, path)
    assert steps_of([check_checkpoint(nn.Linear(2, 2), path)]) == [Step(7, "its name")]


def test_a_parameter_named_step_is_none(tmp_path):
    model = nn.Module()
    model.register_parameter("step", nn.Parameter(torch.ones(())))
    torch.save(model.state_dict(), tmp_path / "model.pt")
    assert check_checkpoint(model, tmp_path / "model.pt").step is None


def test_safetensors_metadata(tmp_path):
    save_file(STATE, tmp_path / "a.safetensors", metadata={"step": "30"})
    save_file(STATE, tmp_path / "b.safetensors", metadata={"step": "thirty", "global_step": "40"})
    found = [check_checkpoint(nn.Linear(2, 2), tmp_path / f"{n}.safetensors") for n in "ab"]
    assert [step.number for step in steps_of(found)] == [30, 40]


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (json.dumps({"global_step": 500, "epoch": 1.5}), Step(500, "its trainer_state.json")),
        ("{", Step(9, "its name")),
        ("[]", Step(9, "its name")),
    ],
)
def test_trainer_state_of_a_folder(tmp_path, state, expected):
    folder = tmp_path / "checkpoint-9"
    folder.mkdir()
    save_file(STATE, folder / "model.safetensors")
    (folder / "trainer_state.json").write_text(state)
    assert steps_of([check_checkpoint(nn.Linear(2, 2), folder)]) == [expected]


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("step-000100.pt", 100),
        ("step_100.pt", 100),
        ("step100.pt", 100),
        ("global_step100.pt", 100),
        ("checkpoint-500", 500),
        ("epoch=3-step=200.ckpt", 200),
        ("resnet18-step-5.pt", 5),
        ("model_300.safetensors", 300),
        ("iter-20-lr-0.5.pt", 20),
        ("12.pt", 12),
    ],
)
def test_numbers_in_names(name, step):
    assert numbers(name) == [step]


def test_an_epoch_is_called_one():
    assert steps_of(opened("epoch-3.pt")) == [Step(3, "the epoch in its name")]


@pytest.mark.parametrize("name", ["resnet18.pt", "gpt2.pt", "model-0.5.pt", "final.pt", "v2b.pt"])
def test_other_numbers_are_no_steps(name):
    assert steps_of(opened(name)) == [Step(0, "its position")]


def test_the_folder_is_asked_where_all_lie_in_different_ones():
    assert numbers("step-10/model.pt", "step-20/model.pt") == [10, 20]
    assert steps_of(opened("run-3/a.pt", "run-3/b.pt"))[1] == Step(1, "its position")


def test_two_of_one_step_are_refused():
    with pytest.raises(CheckpointError, match=r"2 checkpoints are of training step 5: .*--steps 0"):
        steps_of(opened("step-5.pt", "model-step-5.pt", "step-6.pt"))


def test_a_position_beside_real_steps_is_refused():
    with pytest.raises(CheckpointError, match=r"final.pt says no training step.* 2 of 3 do"):
        steps_of(opened("step-5.pt", "final.pt", "step-6.pt"))


def test_given_steps_go_before_all():
    assert steps_of(opened("step-5.pt", "final.pt"), [3, 9]) == [
        Step(3, "the steps given"),
        Step(9, "the steps given"),
    ]
    for wrong in ([1], [1, -1], [1, 2**63]):
        with pytest.raises(CheckpointError, match="steps must be 2 numbers from 0 on"):
            steps_of(opened("a.pt", "b.pt"), wrong)
    with pytest.raises(CheckpointError, match="2 checkpoints are of training step 1"):
        steps_of(opened("a.pt", "b.pt"), [1, 1])
