from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from noise_lens import RunFolderError, read_run
from noise_lens.contrasts import combine, differences
from noise_lens.contrasts.trainings import trainings_of
from noise_lens.run import RunWriter

ALPHA = "projections_characteristic_function_alpha"


def flat(optimizer, seed, step, view, group):
    return {ALPHA: 1.5 + seed / 100 + (optimizer == "adam") * (0.1 + seed**2 / 1000)}


def test_runs_by_optimizer_and_seed(comparison):
    run = comparison(flat, optimizers=("padam", "adam", "sgd-momentum"), seeds=(3, 1))
    found = trainings_of(run)
    assert {name: list(own) for name, own in found.items()} == {
        "padam": [1, 3], "adam": [1, 3], "sgd-momentum": [1, 3],
    }  # fmt: skip
    one = found["sgd-momentum"][3]
    assert (one.name, one.steps, one.diverged) == ("sgd-momentum-s3", [0, 100, 1000], False)
    assert one.settings["learning_rate"] == 0.1


def test_folders_beside_the_comparison_are_not_of_it(comparison, through_the_disk):
    """A grid of learning rates trains the same optimizer and seed under another name."""
    run = comparison(flat, seeds=(0,), steps=(0,))
    run.runs["grid-adam-0.01-s0"] = replace(
        run.runs["adam-s0"], folder=run.folder / "grid-adam-0.01-s0"
    )
    again = through_the_disk(run)
    assert len(again.runs) == 3
    (adam,) = trainings_of(again)["adam"].values()
    assert adam.run.folder.name == "adam-s0"


def test_the_number_of_examples_may_stand_above(comparison):
    run = comparison(flat, n_examples=None)
    run.manifest["n_examples"] = 3200
    assert {row.at for row in differences(run, matched_by="epoch")} == {0, 1, 10}


def test_seeds_of_two_folders_are_one_comparison(comparison):
    first = comparison(flat, name="first", seeds=range(3))
    second = comparison(flat, name="second", seeds=range(3, 6))
    whole = comparison(flat, name="whole", seeds=range(6))
    both = combine([first, second])
    one, other = (pd.DataFrame([r.row() for r in differences(run)]) for run in (both, whole))
    pd.testing.assert_frame_equal(one, other)
    assert both.manifest["settings"]["seeds"] == [0, 1, 2, 3, 4, 5]
    assert combine([first]) is first


def test_optimizers_of_two_folders_are_one_comparison(comparison):
    first = comparison(flat, name="first", optimizers=["sgd"])
    second = comparison(flat, name="second", optimizers=["adam"])
    both = combine([first, second])
    assert {(r.optimizer, r.baseline, r.n) for r in differences(both) if r.n} == {
        ("adam", "sgd", 6)
    }


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"task": "digits-cnn"}, "task 'digits-mlp' and 'digits-cnn'"),
        ({"task_arguments": {"width": 8}}, "task_arguments {} and {'width': 8}"),
        ({"mode": "eval"}, "mode 'train' and 'eval'"),
        ({"n_minibatches": 256}, "n_minibatches 1000 and 256"),
        ({"n_examples": 100}, "n_examples 3200 and 100"),
    ],
)
def test_different_experiments_are_refused(comparison, settings, said):
    first = comparison(flat, name="first", optimizers=["sgd"])
    second = comparison(flat, name="second", optimizers=["adam"], **settings)
    with pytest.raises(RunFolderError, match="cannot be compared") as caught:
        combine([first, second])
    assert said in str(caught.value)
    for folder in ("first", "second"):
        assert f"/{folder}/" in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rates": {"adam": 0.01}}, "learning_rate 0.1 and 0.01"),
        ({"batch_size": 64}, "batch_size 32 and 64"),
    ],
)
def test_seeds_of_an_optimizer_are_trained_alike(comparison, changed, said):
    first = comparison(flat, name="first", seeds=[0])
    second = comparison(flat, name="second", seeds=[1], **changed)
    with pytest.raises(RunFolderError, match=f"no seeds of one optimizer: {said}"):
        combine([first, second])


def test_no_run_is_counted_twice(comparison):
    first = comparison(flat, name="first", seeds=[0, 1])
    second = comparison(flat, name="second", seeds=[1, 2])
    with pytest.raises(RunFolderError, match="same optimizer and seed"):
        combine([first, second])


def test_nothing_to_compare(comparison, tmp_path):
    with pytest.raises(ValueError, match="one comparison or more, got none"):
        combine([])
    RunWriter(tmp_path / "begun", {"kind": "comparison", "settings": {}}).begin()
    with pytest.raises(RunFolderError, match="begun is a comparison without a run yet"):
        trainings_of(read_run(tmp_path / "begun"))
