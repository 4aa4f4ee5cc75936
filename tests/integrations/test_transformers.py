"""The callback of Transformers: training stays the same, hooks see what a plain loop computes."""

from __future__ import annotations

import copy
from itertools import chain

import pytest
import torch
from frameworks import check_equal_rows, equal, plain_loop, required, rows_seen

import noise_lens as nl

required("transformers")
required("accelerate")

from transformers_programs import Plain, Tokens, llama, train  # noqa: E402 - needs Transformers

from noise_lens.integrations.transformers import NoiseLensCallback  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of the framework
    pytest.mark.filterwarnings("error:NoiseLens"),
]
__all__ = ["rows_seen"]


@pytest.mark.parametrize("options", [{}, {"bf16": True}], ids=["float32", "bfloat16"])
def test_training_is_the_same_to_the_last_bit(tmp_path, options):
    """200 steps of GPT-2 with dropout, 2 accumulations, clipped."""
    options = {**options, "max_steps": 200, "gradient_accumulation_steps": 2}
    callback = NoiseLensCallback(schedule=nl.every(20), n_minibatches=50)
    _, with_lens = train(tmp_path, callback=callback, **options)
    _, without = train(tmp_path, **options)
    for name, value in without.items():
        assert equal(with_lens[name], value), name
    lens = callback.lens
    assert lens.problems == []
    assert [m.records[0]["step"] for m in lens.measurements] == list(range(20, 201, 20))
    assert lens.capture["loss_norm"] == "token"
    assert lens.capture["max_grad_norm"] == 1.0
    assert lens.capture["autocast"] == ("bfloat16" if "bf16" in options else "off")


def by_hand(model, trainer, loss, accumulate):
    """The same training without the framework; an epoch has 13 micro-batches."""
    batches = trainer.micro_batches
    epochs = [[*batches[start : start + 13], None] for start in range(0, len(batches), 13)]
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    return plain_loop(model, loss, list(chain(*epochs)), optimizer, accumulate=accumulate, clip=1.0)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_rows_of_a_mean_loss_are_those_of_a_plain_loop(tmp_path, rows_seen, accumulate):
    """The Trainer divides by the micro-batches of the step, of which the last one has fewer."""
    model = Plain()
    twin = copy.deepcopy(model)
    trainer, _ = train(
        tmp_path, model, NoiseLensCallback(preset="light"), optim="sgd", num_train_epochs=3,
        gradient_accumulation_steps=accumulate,
    )  # fmt: skip
    expected = by_hand(twin, trainer, lambda model, batch: model(**batch)["loss"], accumulate)
    assert len(expected) == 39
    check_equal_rows(rows_seen, expected)


def test_rows_of_equal_token_counts_are_those_of_a_plain_loop(tmp_path, rows_seen):
    """The model divides by the tokens of the step: no other than the mean, if all are as long."""
    model = llama()
    twin = copy.deepcopy(model)
    callback = NoiseLensCallback(preset="light")
    trainer, _ = train(
        tmp_path, model, callback, optim="sgd", num_train_epochs=3, gradient_accumulation_steps=3
    )
    expected = by_hand(twin, trainer, lambda model, batch: model(**batch).loss, 3)
    assert len(expected) == 39
    check_equal_rows(rows_seen, expected)
    assert callback.lens.capture["loss_norm"] == "token"


def test_rows_of_unequal_token_counts_weigh_as_the_trainer_weighs_them(tmp_path, rows_seen):
    """A row is the micro-batch's mean gradient times its share of the step's tokens, times A."""
    model = llama()
    twin = copy.deepcopy(model)
    trainer, _ = train(
        tmp_path, model, NoiseLensCallback(preset="light"), data=Tokens(ragged=True),
        optim="sgd", max_steps=1, gradient_accumulation_steps=3,
    )  # fmt: skip
    batches = trainer.micro_batches
    counts = [int((batch["labels"][:, 1:] != -100).sum()) for batch in batches]
    assert len(set(counts)) > 1
    expected = []
    for batch, count in zip(batches, counts, strict=True):
        loss = twin(**batch).loss * (3 * count / sum(counts))
        found = torch.autograd.grad(loss, list(twin.parameters()))
        names = [name for name, _ in twin.named_parameters()]
        expected.append({n: g.flatten().numpy() for n, g in zip(names, found, strict=True)})
    check_equal_rows(rows_seen, expected)


@pytest.mark.parametrize("restore", [False, True])
def test_a_resumed_run_continues_its_folder(tmp_path, restore):
    def run(where, resume=None, **options):
        callback = NoiseLensCallback(
            schedule=nl.every(10), n_minibatches=50, out=tmp_path / where, closing=60
        )
        trainer, state = train(
            tmp_path / f"{where}-checkpoints", callback=callback, resume=resume,
            gradient_accumulation_steps=3, restore_callback_states_from_checkpoint=restore,
            **{"save_steps": 12, "save_strategy": "steps", "max_steps": 24, **options},
        )  # fmt: skip
        return callback, trainer, state

    _, _, whole = run("whole")
    callback, trainer, _ = run("run", max_steps=12)
    checkpoint = f"{trainer.args.output_dir}/checkpoint-12"
    callback, trainer, resumed = run("run", checkpoint)
    assert callback.lens.step == 24
    assert {one for one, _ in trainer.divisors} == {1, 3}
    assert all(one == two for one, two in trainer.divisors)
    assert equal(resumed, whole)
    one, two = (nl.read_run(tmp_path / name) for name in ("run", "whole"))
    assert {r["step"] for r in one.records} - {r["step"] for r in two.records} == {12}
    assert one.closed["n_steps"] == 24


def test_a_run_that_was_begun_without_the_lens_is_resumed_with_it(tmp_path):
    options = {"save_steps": 5, "save_strategy": "steps"}
    trainer, _ = train(tmp_path, max_steps=5, **options)
    callback = NoiseLensCallback(n_minibatches=50)
    train(
        tmp_path, callback=callback, max_steps=10,
        resume=f"{trainer.args.output_dir}/checkpoint-5", **options,
    )  # fmt: skip
    assert callback.lens.step == 10
    assert callback.lens.measurements[0].records[0]["step"] == 10


def test_numbers_go_to_the_log_history(tmp_path):
    callback = NoiseLensCallback(schedule=nl.every(5), n_minibatches=50, log=True)
    trainer, _ = train(tmp_path, callback=callback, max_steps=10)
    own = [e for e in trainer.state.log_history if any("noise_lens/" in key for key in e)]
    assert [entry["step"] for entry in own] == [5, 10]


def test_a_loss_outside_the_model_must_be_given(tmp_path):
    def outside(outputs, labels, num_items_in_batch=None):
        logits = outputs["logits"] if isinstance(outputs, dict) else outputs[0]
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())

    def loss(model, batch):
        return outside(model(input_ids=batch["input_ids"]), batch["labels"])

    options = {"max_steps": 3, "given": {"compute_loss_func": outside}}
    callback = NoiseLensCallback(loss=loss, n_minibatches=50)
    train(tmp_path, callback=callback, **options)
    assert len(callback.lens.measurements) == 1
    with pytest.warns(UserWarning, match=r"only the passive trend: the Trainer smooths labels"):
        train(tmp_path, callback=NoiseLensCallback(), max_steps=3, label_smoothing_factor=0.1)


def test_a_grouped_loader_says_what_to_give(tmp_path):
    with pytest.warns(UserWarning, match=r"only the passive trend: .*LengthGroupedSampler"):
        train(
            tmp_path, callback=NoiseLensCallback(), max_steps=3,
            train_sampling_strategy="group_by_length",
        )  # fmt: skip


@pytest.mark.parametrize("kind", ["DEEPSPEED", "FSDP"])
def test_unsupported_is_a_warning_and_training_goes_on(tmp_path, kind, monkeypatch):
    """Neither can be started here: the optimizer says that it was."""

    class Pretending(NoiseLensCallback):
        def on_train_begin(self, args, state, control, **found):
            from accelerate.utils import DistributedType

            class Told:
                distributed_type = DistributedType[kind]

            monkeypatch.setattr(found["optimizer"], "accelerator_state", Told, raising=False)
            super().on_train_begin(args, state, control, **found)

    callback = Pretending()
    with pytest.warns(UserWarning, match="NoiseLens is off, training goes on"):
        trainer, _ = train(tmp_path, callback=callback, max_steps=3)
    assert callback.lens is None
    assert trainer.state.global_step == 3


def test_options_are_checked_at_once():
    for options in ({"preset": "heavy"}, {"budget": 0}, {"n_minibatches": 8}, {"log": 3}):
        with pytest.raises(nl.CaptureError):
            NoiseLensCallback(**options)
