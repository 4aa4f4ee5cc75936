"""The callback of Lightning: training stays the same, and hooks see what a plain loop computes."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import warnings
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from frameworks import check_equal_rows, equal, plain_loop, required, rows_seen, seed_all
from programs import MODELS, dataset, loss_of
from torch.utils.data import DataLoader, WeightedRandomSampler

import noise_lens as nl

required("lightning.pytorch")

from lightning.pytorch.callbacks import GradientAccumulationScheduler  # noqa: E402
from lightning.pytorch.loggers import CSVLogger  # noqa: E402
from lightning_programs import QUIET, Program, fit  # noqa: E402 - needs Lightning

from noise_lens.integrations.lightning import NoiseLensCallback  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of the framework
    pytest.mark.filterwarnings("error:NoiseLens"),
]
__all__ = ["rows_seen"]
OPTIONS = {
    "plain": {},
    "accumulated and clipped": {"accumulate_grad_batches": 2, "gradient_clip_val": 0.5},
    "bfloat16": {"precision": "bf16-mixed"},
}


@pytest.mark.parametrize(
    ("kind", "options"),
    [(kind, "plain") for kind in MODELS]
    + [("cnn", "accumulated and clipped"), ("transformer", "accumulated and clipped")]
    + [("mlp", "bfloat16")],
)
def test_training_is_the_same_to_the_last_bit(kind, options):
    """200 steps: weights, buffers, optimizer, generators, and what the module keeps and logs."""
    callback = NoiseLensCallback(schedule=nl.every(20), n_minibatches=50)
    *_, with_lens = fit(kind, callback, max_steps=200, **OPTIONS[options])
    *_, without = fit(kind, max_steps=200, **OPTIONS[options])
    for name, value in without.items():
        assert equal(with_lens[name], value), name
    assert callback.lens.problems == []
    assert [m.records[0]["step"] for m in callback.lens.measurements] == list(range(20, 201, 20))
    accumulated = OPTIONS[options].get("accumulate_grad_batches", 1)
    assert callback.lens.capture["micro_batches_a_step"] == accumulated
    assert callback.lens.capture["gradient_clip_val"] == OPTIONS[options].get("gradient_clip_val")


@pytest.mark.parametrize("accumulate", [1, 5])
def test_rows_are_those_of_a_plain_loop(rows_seen, accumulate):
    """Micro-batch by micro-batch, unclipped; also the short step at the end of an epoch."""
    seed_all()
    module = Program("cnn", torch.optim.SGD)
    model = copy.deepcopy(module)
    callback = NoiseLensCallback(preset="light")
    fit(
        module=module, loader=DataLoader(dataset("cnn"), batch_size=8, shuffle=True),
        callback=callback, max_epochs=3, accumulate_grad_batches=accumulate, gradient_clip_val=0.1,
    )  # fmt: skip
    epochs = [[*module.batches[start : start + 12], None] for start in (0, 12, 24)]
    batches = list(chain(*epochs))
    expected = plain_loop(
        model, loss_of, batches, torch.optim.SGD(model.parameters(), lr=1e-2),
        accumulate=accumulate, clip=0.1, divide_by=accumulate,
    )  # fmt: skip
    assert len(expected) == 36
    check_equal_rows(rows_seen, expected)


def test_a_schedule_of_accumulation_is_followed(rows_seen):
    seed_all()
    module = Program("cnn", torch.optim.SGD)
    model = copy.deepcopy(module)
    scheduler = GradientAccumulationScheduler({0: 1, 1: 4})
    fit(
        module=module, loader=DataLoader(dataset("cnn"), batch_size=8, shuffle=True),
        callback=[scheduler, NoiseLensCallback(preset="light")], max_epochs=2,
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    expected = plain_loop(model, loss_of, module.batches[:12], optimizer)
    expected += plain_loop(model, loss_of, module.batches[12:], optimizer, accumulate=4)
    check_equal_rows(rows_seen, expected)


def in_two_processes(folder, kind, how):
    """Run the script as a user would; Lightning starts the second process."""
    here = Path(__file__).parent
    path = os.pathsep.join(str(p) for p in (here, here.parent / "lens", here.parent / "capture"))
    done = subprocess.run(
        [sys.executable, here / "lightning_ddp.py", folder, kind, how],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"{how}-{rank}.pt", weights_only=False) for rank in (0, 1)]


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_two_ranks_train_the_same_to_the_last_bit(tmp_path, kind):
    """And each writes its part of one run folder; the hooks change no reduction."""
    for one, two in zip(
        in_two_processes(tmp_path, kind, "with"),
        in_two_processes(tmp_path, kind, "without"),
        strict=True,
    ):
        assert one["calls"] == 200
        for name, value in two.items():
            assert equal(one[name], value), name
    run = nl.read_run(tmp_path / "run")
    assert run.closed["status"] == "finished"
    assert {record["n_minibatches"] for record in run.records} == {50}
    assert {record["step"] for record in run.records} == set(range(20, 201, 20))


def test_rows_of_two_ranks_are_local(tmp_path):
    """Each rank sees the gradient of its own minibatches, not the mean that DDP makes of them."""
    ranks = in_two_processes(tmp_path, "mlp-without-dropout", "rows")
    seed_all()
    model = Program("mlp-without-dropout", torch.optim.SGD)
    pairs = zip(ranks[0]["batches"], ranks[1]["batches"], strict=True)
    expected = plain_loop(
        model, loss_of, list(chain(*pairs)), torch.optim.SGD(model.parameters(), lr=1e-2),
        accumulate=2,
    )  # fmt: skip
    assert len(expected) == 40
    for rank, found in enumerate(ranks):
        check_equal_rows(found["rows"], expected[rank::2])


def test_a_resumed_fit_continues_its_folder(tmp_path):
    """The same steps are probed as without the stop, and one run folder holds them."""

    def train(folder, **options):
        callback = NoiseLensCallback(schedule=nl.every(20), n_minibatches=50, out=folder)
        *_, trainer, state = fit("mlp", [callback], **options)
        return callback, trainer, state

    train(tmp_path / "whole", max_steps=200)
    _, trainer, _ = train(tmp_path / "run", max_steps=100)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    torch.load(tmp_path / "half.ckpt", weights_only=True)  # plain numbers and text only
    callback, _, resumed = train(tmp_path / "run", max_steps=200, ckpt_path=tmp_path / "half.ckpt")
    assert equal(resumed["calls"], 100)
    assert callback.lens.step == 200
    run, other = (nl.read_run(tmp_path / name) for name in ("run", "whole"))
    assert [r["step"] for r in run.records] == [r["step"] for r in other.records]
    assert run.closed["n_steps"] == 200


def test_a_second_fit_goes_on(tmp_path):
    callback = NoiseLensCallback(schedule=nl.every(20), n_minibatches=50, out=tmp_path / "run")
    module, trainer, _ = fit("mlp", [callback], max_steps=20)
    trainer.fit_loop.epoch_loop.max_steps = 40
    trainer.fit(module, DataLoader(dataset("mlp"), batch_size=8))
    assert callback.lens.step == 40
    assert {r["step"] for r in nl.read_run(tmp_path / "run").records} == {20, 40}


def test_numbers_go_to_the_trainers_loggers(tmp_path):
    logged = []

    class Keep(CSVLogger):
        def log_metrics(self, metrics, step=None):
            logged.append((step, metrics))

    class Direct(Program):
        def training_step(self, batch, batch_idx):
            self.logger.log_metrics({"direct": 1.0}, step=batch_idx)
            return super().training_step(batch, batch_idx)

    callback = NoiseLensCallback(schedule=nl.every(10), n_minibatches=50, log=True)
    fit(
        module=Direct("mlp"), loader=DataLoader(dataset("mlp"), batch_size=8), callback=callback,
        max_steps=20, logger=Keep(str(tmp_path)), log_every_n_steps=1,
    )  # fmt: skip
    own = [(step, m) for step, m in logged if any(key.startswith("noise_lens/") for key in m)]
    assert [step for step, _ in own] == [10, 20]
    for key in ("loss_step", "direct"):  # those of training alone
        assert len([m for _, m in logged if key in m]) == 20


def test_an_error_leaves_the_folder_open_and_no_hook(tmp_path):
    class Broken(Program):
        def training_step(self, batch, batch_idx):
            if self.calls == 25:
                raise ZeroDivisionError
            return super().training_step(batch, batch_idx)

    module = Broken("mlp")
    callback = NoiseLensCallback(schedule=nl.every(20), n_minibatches=50, out=tmp_path / "run")
    with pytest.raises(ZeroDivisionError):
        fit(callback=callback, module=module, loader=DataLoader(dataset("mlp"), batch_size=8))
    assert all(not p._backward_hooks for p in module.parameters())
    run = nl.read_run(tmp_path / "run")
    assert run.closed is None
    assert {record["step"] for record in run.records} == {20}


class Manual(Program):
    def __init__(self):
        super().__init__("mlp")
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        loss = loss_of(self, batch)
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()


def test_manual_optimization_needs_a_loss():
    loader = DataLoader(dataset("mlp"), batch_size=8)
    callback = NoiseLensCallback()
    with pytest.warns(UserWarning, match=r"only the passive trend: Manual optimizes manually"):
        fit(module=Manual(), loader=loader, callback=callback, max_steps=20)
    assert callback.lens.step == 20
    callback = NoiseLensCallback(loss=loss_of, n_minibatches=50)
    fit(module=Manual(), loader=loader, callback=callback, max_steps=20)
    assert [m.records[0]["step"] for m in callback.lens.measurements] == [20]


def test_loaders_that_are_not_plain_say_what_to_give():
    sampler = WeightedRandomSampler([1.0] * 96, 96)
    weighted = DataLoader(dataset("mlp"), batch_size=8, sampler=sampler)
    with pytest.warns(UserWarning, match=r"only the passive trend: .*WeightedRandomSampler"):
        fit("mlp", NoiseLensCallback(), loader=weighted, max_steps=2)
    callback = NoiseLensCallback(
        data=lambda: DataLoader(dataset("mlp"), batch_size=8, sampler=sampler), n_minibatches=50
    )
    fit("mlp", callback, loader=weighted, max_steps=2)
    assert len(callback.lens.measurements) == 1

    class Two(Program):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch["a"], batch_idx)

    loaders = {"a": weighted, "b": weighted}
    with pytest.warns(UserWarning, match=r"trainer's loader is a dict, not a DataLoader"):
        fit(module=Two("mlp"), callback=NoiseLensCallback(), loader=loaders, max_steps=2)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
def test_probes_compute_as_training_does(precision):
    seen = {True: set(), False: set()}
    probing = [False]

    class Telling(Program):
        def training_step(self, batch, batch_idx):  # no forward hook of the module fires
            logits = self.net(batch[0])
            seen[probing[0]].add((logits.dtype, torch.get_default_dtype(), self.training))
            return torch.nn.functional.cross_entropy(logits.float(), batch[1])

    class Told(NoiseLensCallback):
        def on_train_start(self, trainer, pl_module):
            super().on_train_start(trainer, pl_module)
            take = self.lens._prober.take

            def told(**options):
                probing[0] = True
                found = take(**options)
                probing[0] = False
                return found

            self.lens._prober.take = told

    loader = DataLoader(dataset("mlp"), batch_size=8)
    callback = Told(schedule=nl.every(5), n_minibatches=50)
    fit(module=Telling("mlp"), loader=loader, callback=callback, max_steps=5, precision=precision)
    assert callback.lens.problems == []
    assert seen[True] == seen[False] != set()
    assert callback.lens.capture["autocast"] == ("bfloat16" if precision == "bf16-mixed" else "off")


@pytest.mark.parametrize("name", ["DeepSpeedEngine", "FullyShardedDataParallel"])
def test_unsupported_is_a_warning_and_training_goes_on(name):
    """Neither can be started here: the callback is told that the model is wrapped in one."""

    class Pretending(NoiseLensCallback):
        def on_train_start(self, trainer, pl_module):
            class Other:
                model = type(name, (torch.nn.Module,), {})()

                def __getattr__(self, key):
                    return getattr(trainer, key)

            super().on_train_start(Other(), pl_module)

    callback = Pretending()
    with pytest.warns(UserWarning, match=f"NoiseLens is off, training goes on: .*{name}"):
        module, *_ = fit("mlp", callback, max_steps=3)
    assert callback.lens is None
    assert module.calls == 3


def test_options_are_checked_at_once():
    for options in ({"preset": "heavy"}, {"budget": 0}, {"n_minibatches": 8}, {"log": 3}):
        with pytest.raises(nl.CaptureError):
            NoiseLensCallback(**options)


def test_the_other_tree_takes_the_callback():
    """A Trainer of pytorch_lightning takes a callback of lightning."""
    pytorch_lightning = required("pytorch_lightning")

    class Other(pytorch_lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = MODELS["mlp"]()

        def training_step(self, batch, batch_idx):
            loss = loss_of(self.net, batch)
            self.log("loss", loss)
            return loss

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    callback = NoiseLensCallback(n_minibatches=50)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(?!NoiseLens)")
        trainer = pytorch_lightning.Trainer(**QUIET, max_steps=5, callbacks=[callback])
        trainer.fit(Other(), DataLoader(dataset("mlp"), batch_size=8))
    assert callback.lens.capture["framework"].startswith("pytorch_lightning 2")
    assert len(callback.lens.measurements) == 1
    assert np.isfinite(callback.lens.measurements[0].records[0]["noise_norm_mean"])
