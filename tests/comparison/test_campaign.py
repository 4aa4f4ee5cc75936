from __future__ import annotations

import numpy as np
import pytest
import torch
from models import dataset, plain_model, squared
from torch import nn

import noise_lens as nl
from noise_lens.capture.seeding import derived_seed
from noise_lens.tasks import load_task, minibatches_of

OPTIONS = {"n_steps": 30, "probe_steps": [0, 10, 30], "n_minibatches": 50, "batch_size": 8}


def build():
    return nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.2), nn.Linear(8, 1), nn.Flatten(0))


def task(model=build):
    return nl.Task(model, squared, dataset(), test_data=dataset(40), name="plain")


def test_one_row_per_optimizer_seed_step_group_and_kind():
    found = nl.compare(task(), ("sgd", "adal"), seeds=(0, 3), **OPTIONS)
    rows = found.table()
    assert len(rows) == 2 * 2 * 3 * 1 * 2
    assert {(row["optimizer"], row["seed"]) for row in rows} == {
        ("sgd", 0), ("sgd", 3), ("adal", 0), ("adal", 3),
    }  # fmt: skip
    assert {"train/loss", "test/loss"} < rows[0].keys()


def test_same_start_and_same_minibatches_for_one_seed():
    """Before the first step the records of all optimizers are equal; afterwards they differ."""
    found = nl.compare(task(), ("sgd", "adam"), seeds=(1,), **OPTIONS)
    sgd, adam = found.runs["sgd-s1"], found.runs["adam-s1"]
    assert sgd[0] == adam[0]
    assert sgd[1]["metrics"] != adam[1]["metrics"]


def test_probes_do_not_change_training():
    """Against a loop that never heard of probes: the loss after 30 steps is equal to the bit."""
    found = nl.compare(task(), ("sgd",), seeds=(5,), **OPTIONS)
    model = task().build_model(5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with torch.random.fork_rng():
        torch.manual_seed(derived_seed(5, "training model"))
        for batch in minibatches_of(dataset()).draw(30, 8, derived_seed(5, "training")):
            optimizer.zero_grad()
            squared(model, batch).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        expected = float(squared(model, dataset().tensors))
    assert found.runs["sgd-s5"][-1]["metrics"]["train/loss"] == pytest.approx(expected, rel=1e-7)


def test_the_callers_randomness_is_left_alone():
    state = torch.get_rng_state()
    nl.compare(task(), ("sgd",), seeds=(0,), **OPTIONS)
    assert torch.equal(torch.get_rng_state(), state)


def test_coordinates_are_the_same_at_every_step(tmp_path):
    nl.compare(task(), ("sgd",), seeds=(0,), out=tmp_path / "run", **OPTIONS)
    run = nl.read_run(tmp_path / "run").runs["sgd-s0"]
    positions = [run.sketch(record)["positions"] for record in run.records]
    assert all(np.array_equal(positions[0], other) for other in positions)


def test_an_interrupted_comparison_is_resumed_and_comes_out_the_same(tmp_path):
    """Stop in the middle; the second call measures only what is missing, and all is equal."""
    whole = nl.compare(task(), ("sgd", "adam"), seeds=(0,), out=tmp_path / "whole", **OPTIONS)
    calls = []

    def stop(what, done, total):
        calls.append(what)
        if what == "adam, seed 0" and done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nl.compare(
            task(), ("sgd", "adam"), seeds=(0,), out=tmp_path / "cut", on_progress=stop, **OPTIONS
        )
    cut = nl.read_run(tmp_path / "cut")
    assert cut.closed is None
    assert [r["step"] for r in cut.runs["adam-s0"].records] == [0, 10]
    text = nl.write_report(tmp_path / "cut", tmp_path / "cut.html").read_text()
    assert "not finished: 1 of 2 runs" in text
    parts = set((tmp_path / "cut").rglob("*.parquet"))

    again = nl.compare(task(), ("sgd", "adam"), seeds=(0,), out=tmp_path / "cut", **OPTIONS)
    assert parts < set((tmp_path / "cut").rglob("*.parquet"))
    assert len(set((tmp_path / "cut").rglob("*.parquet"))) == len(parts) + 1
    assert nl.read_run(tmp_path / "cut").closed is not None
    for one, two in zip(whole.table(), again.table(), strict=True):
        assert {k: v for k, v in one.items() if k != "reason"} == pytest.approx(
            {k: v for k, v in two.items() if k != "reason"}, nan_ok=True
        )


def test_a_finished_comparison_is_not_run_again(tmp_path):
    options = {**OPTIONS, "out": tmp_path / "run", "seeds": (0,)}
    first = nl.compare(task(), ("sgd",), **options)
    nothing = nl.Task(build, lambda m, b: 1 / 0, dataset(), name="plain")
    assert nl.compare(nothing, ("sgd",), **options).table()[0]["alpha"] == first.table()[0]["alpha"]
    with pytest.raises(nl.RunFolderError, match="other settings: n_minibatches 50 there, 60 asked"):
        nl.compare(task(), ("sgd",), **{**options, "n_minibatches": 60})
    with pytest.raises(nl.RunFolderError, match="holds a run already"):
        nl.compare(task(), ("sgd",), **options, resume=False)


def test_a_diverging_run_is_kept_apart(tmp_path):
    found = nl.compare(
        task(),
        ("sgd", "adam"),
        seeds=(0,),
        learning_rates={"sgd": 1e6},
        out=tmp_path / "run",
        **OPTIONS,
    )
    assert found.diverged == {"sgd-s0": 10} or found.diverged == {"sgd-s0": 30}
    assert nl.read_run(tmp_path / "run").runs["sgd-s0"].closed["status"] == "diverged"
    assert len(found.runs["adam-s0"]) == 3
    text = nl.write_report(tmp_path / "run", tmp_path / "page.html").read_text()
    assert "1 run diverged and is left out" in text


def test_other_task_arguments_are_another_comparison(tmp_path):
    options = {"n_steps": 1, "probe_steps": [0], "n_minibatches": 50, "seeds": (0,)}
    for hidden in ([8], [16]):
        asked = load_task("digits-mlp", {"hidden": hidden})
        if hidden == [8]:
            nl.compare(asked, ("sgd",), out=tmp_path / "run", **options)
            continue
        with pytest.raises(nl.RunFolderError, match="task_arguments"):
            nl.compare(asked, ("sgd",), out=tmp_path / "run", **options)


def test_positions_can_be_decoded(tmp_path):
    nl.compare(task(), ("sgd",), seeds=(0,), out=tmp_path / "run", **OPTIONS)
    run = nl.read_run(tmp_path / "run").runs["sgd-s0"]
    assert (run.manifest["device"], run.manifest["n_parameters"]) == ("cpu", 65)
    assert set(run.manifest["tensors"]) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert run.sketch(run.records[0])["positions"][:, 0].max() < 4


def test_augmentation_with_numpy_is_the_same_for_every_optimizer():
    class Augmented(torch.utils.data.Dataset):
        def __len__(self):
            return 50

        def __getitem__(self, index):
            x, y = dataset()[index]
            return x + float(np.random.standard_normal()), y  # noqa: NPY002

    asked = nl.Task(build, squared, Augmented(), name="augmented")
    options = {**OPTIONS, "n_steps": 1, "probe_steps": [0, 1]}
    one = nl.compare(asked, ("sgd",), seeds=(0,), **options).table()
    two = nl.compare(asked, ("sgd",), seeds=(0,), **options).table()
    assert [row["alpha"] for row in one] == [row["alpha"] for row in two]


def test_bad_questions():
    with pytest.raises(ValueError, match=r"'adma'. Did you mean adam"):
        nl.compare(task(), ("adma",), **OPTIONS)
    with pytest.raises(ValueError, match="one or more different names"):
        nl.compare(task(), ("sgd", "sgd"), **OPTIONS)
    with pytest.raises(ValueError, match="learning_rates names adam, but the optimizers are sgd"):
        nl.compare(task(), ("sgd",), learning_rates={"adam": 1}, **OPTIONS)
    with pytest.raises(ValueError, match=r"probe_steps must lie in \[0, n_steps=5\]"):
        nl.compare(task(), ("sgd",), n_steps=5, probe_steps=[9])
    with pytest.raises(ValueError, match="n_steps must be at least 1, got 0"):
        nl.compare(task(), ("sgd",), n_steps=0, probe_steps=[0])
    with pytest.raises(ValueError, match="seeds must be one or more different numbers"):
        nl.compare(task(), ("sgd",), n_steps=5, probe_steps=[0], seeds=())
    stream = nl.Task(build, squared, iter([]), name="stream")
    with pytest.raises(
        nl.CaptureError, match="is a stream; compare gives every optimizer the same"
    ):
        nl.compare(stream, ("sgd",), **OPTIONS)
    with pytest.raises(nl.CaptureError, match="has a built module; compare needs a factory"):
        nl.compare(task(plain_model()), ("sgd",), **OPTIONS)


def test_a_comparison_grows_by_seeds(tmp_path):
    """Three seeds now, two more later: a claim takes five. What is there is not run again."""
    options = {**OPTIONS, "out": tmp_path / "run"}
    nl.compare(task(), ("sgd",), seeds=(0,), **options)
    parts = set((tmp_path / "run").rglob("*.parquet"))
    found = nl.compare(task(), ("sgd",), seeds=(0, 1), **options)
    assert set(found.runs) == {"sgd-s0", "sgd-s1"}
    assert parts < set((tmp_path / "run").rglob("*.parquet"))
    assert nl.read_run(tmp_path / "run").manifest["settings"]["seeds"] == [0, 1]
    with pytest.raises(nl.RunFolderError, match=r"seeds \[0, 1\] there, \[1\] asked"):
        nl.compare(task(), ("sgd",), seeds=(1,), **options)


def test_a_run_that_blows_up_has_diverged_also_where_its_loss_is_finite():
    """Adam's steps are as long as its rate: 1e4 a step gives a huge and finite loss."""
    found = nl.compare(task(), ("sgd", "adam"), seeds=(0,), learning_rates={"adam": 1e4}, **OPTIONS)
    assert list(found.diverged) == ["adam-s0"]
    assert "1 diverged" in repr(found)


def test_a_rate_out_of_range_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="lr"):
        nl.compare(
            task(), ("sgd", "adam"), learning_rates={"adam": -1}, out=tmp_path / "run", **OPTIONS
        )
    assert not (tmp_path / "run").exists()
    with pytest.raises(nl.CaptureError, match=r"sgd would have no view\. Add 'gradient'"):
        nl.compare(task(), ("sgd", "adal"), views=("transformed",), **OPTIONS)
