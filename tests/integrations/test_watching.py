"""What the callbacks have in common, without a framework."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from programs import dataset, loss_of, mlp
from torch.utils.data import DataLoader

import noise_lens as nl
from noise_lens.capture.ranks import Ranks
from noise_lens.integrations import watching
from noise_lens.integrations.watching import LensOptions, Loop, Watching

DEFAULTS = {
    "loss": None, "data": None, "preset": "standard", "budget": 0.05, "schedule": None,
    "n_minibatches": 50, "closing": None, "groups": "module", "reference": "auto", "seed": 0,
    "out": None, "log": None,
}  # fmt: skip


def options(**given):
    return LensOptions(**{**DEFAULTS, **given})


def loop(**given):
    model = mlp()
    found = {
        "model": model, "optimizer": torch.optim.SGD(model.parameters(), lr=0.1), "loss": loss_of,
        "data": DataLoader(dataset("mlp"), batch_size=8), "scaler": None, "loss_divisor": 1.0,
        "step": 0, "log": None, "facts": {"framework": "none"},
    }  # fmt: skip
    return Loop(**{**found, **given})


def test_the_framework_gives_loss_and_data_unless_the_user_does():
    watching = Watching(options())
    watching.start(loop())
    watching.finish()
    assert len(watching.lens.measurements) == 1
    assert watching.lens.capture["framework"] == "none"

    called = []

    def own(model, batch):
        called.append(len(batch[0]))
        return loss_of(model, batch)

    watching = Watching(options(loss=own, data=DataLoader(dataset("mlp"), batch_size=4)))
    watching.start(loop(loss="nothing is known", data="nor here"))
    watching.finish()
    assert set(called) >= {4}


@pytest.mark.parametrize("missing", ["loss", "data"])
def test_without_one_there_is_only_the_trend_and_a_schedule_does_not_stop_training(missing):
    watching = Watching(options(schedule=nl.every(3)))
    with pytest.warns(UserWarning, match="only the passive trend: give it"):
        watching.start(loop(**{missing: "give it"}))
    watching.finish()
    assert watching.lens.measurements == []


def test_light_asks_for_nothing():
    watching = Watching(options(preset="light"))
    watching.start(loop(loss="unknown", data="unknown"))
    lens = watching.lens
    watching.finish()
    assert lens.problems == []
    assert lens.measurements == []


def test_a_folder_that_is_taken_stops_training_before_it_begins(tmp_path):
    for _ in range(2):
        watching = Watching(options(out=tmp_path / "run"))
        if (tmp_path / "run").exists():
            with pytest.raises(nl.RunFolderError, match="holds a run already"):
                watching.start(loop())
        else:
            watching.start(loop())
            watching.finish()


def test_a_lens_that_was_added_later_counts_as_training_does():
    watching = Watching(options(preset="light"))
    watching.start(loop(step=70))
    assert watching.lens.step == 70
    watching.finish(failed=True)


def test_each_rank_continues_its_own_trend(tmp_path, monkeypatch):
    """A checkpoint keeps that of rank 0; windows after the checkpoint will come again."""
    watching_of_rank_1 = Watching(options(preset="light", out=tmp_path))
    own = [{"last_step": 5, "alpha": 1.5}, {"last_step": 15, "alpha": 1.6}]
    (tmp_path / "trend-r1.json").write_text(json.dumps({"windows": own}))
    state = {"step": 10, "run_id": "a", "trend": [{"last_step": 5, "alpha": 2.0}], "pacer": {}}
    assert watching_of_rank_1._of_this_rank(state) == state
    monkeypatch.setattr(watching, "training_ranks", lambda: Ranks(1, 2))
    assert watching_of_rank_1._of_this_rank(state) == {**state, "trend": own[:1]}


def test_the_state_is_plain():
    watching = Watching(options(preset="light"))
    assert watching.state == {}
    watching.start(loop())
    assert json.loads(json.dumps(watching.state)) == watching.state
    watching.finish()
    assert json.loads(json.dumps(watching.state)) == watching.state


def test_what_is_wrong_whatever_the_model_is_said_at_once():
    for wrong in (
        {"preset": "heavy"}, {"budget": 0}, {"n_minibatches": 8}, {"closing": 8}, {"log": 3},
    ):  # fmt: skip
        with pytest.raises(nl.CaptureError):
            Watching(options(**wrong))


def test_without_the_frameworks_modules_load_and_callbacks_say_what_to_install():
    """And with them, nothing is imported before a callback is."""
    script = """
import sys
import noise_lens.integrations.watching
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"lightning", "pytorch_lightning", "transformers", "accelerate"}
for name in ("lightning", "pytorch_lightning", "transformers"):
    sys.modules[name] = None
from noise_lens.integrations import lightning, transformers
for module, extra in ((lightning, "lightning"), (transformers, "hf")):
    try:
        module.NoiseLensCallback()
    except ImportError as error:
        assert f"pip install 'noise-lens[{extra}]'" in str(error)
    else:
        raise AssertionError(extra)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
