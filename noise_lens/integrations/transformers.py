"""NoiseLens as a callback of the Trainer of Hugging Face Transformers."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from noise_lens.capture.gradients import Loss
from noise_lens.capture.groups import GroupSpec
from noise_lens.capture.schedule import Schedule
from noise_lens.errors import CaptureError
from noise_lens.integrations.watching import LensOptions, Loop, Watching
from noise_lens.lens import NoiseLens

__all__ = ["NoiseLensCallback"]

try:
    from transformers import TrainerCallback as _Callback
except ImportError:
    _Callback = object

_STATE = "noise_lens"
"""Key in the checkpoint's trainer_state.json; no class's name, so that nothing is rebuilt of it."""

_UNSUPPORTED = {
    "DEEPSPEED": "DeepSpeed partitions gradients where no hook sees them",
    "MEGATRON_LM": "Megatron-LM keeps gradients in buffers of its own",
    "FSDP": "FSDP1 flattens parameters; FSDP2 (fsdp_version: 2) is supported",
}


class NoiseLensCallback(_Callback):  # type: ignore[misc]
    """Watches the gradients of ``Trainer.train``; the weights come out the same, bit for bit.

    ``Trainer(..., callbacks=[NoiseLensCallback(out="runs/x")])`` is all. Probes call
    ``model(**batch).loss`` and draw from the training set with the trainer's collator. Options
    that are not named here are those of :class:`noise_lens.NoiseLens`.

    Parameters
    ----------
    loss : callable, optional
        ``loss(model, batch)`` -> mean loss, instead of ``model(**batch).loss``. Needed with label
        smoothing, ``compute_loss_func`` or a ``compute_loss`` of one's own.
    data : DataLoader or callable, optional
        As for :class:`noise_lens.NoiseLens`, instead of the trainer's loader. Needed where that
        groups by length or is iterable.
    preset, budget, schedule, n_minibatches, closing, groups, reference, seed, out
        As for :class:`noise_lens.NoiseLens`.
    log : bool or callable or object, optional
        True: into ``trainer.state.log_history``. Else as for :class:`noise_lens.NoiseLens`.

    Attributes
    ----------
    lens : NoiseLens or None
        Its ``table()``, ``trend``, ``measurements`` and ``problems``; None before ``train`` or
        where the model is not supported.

    Raises
    ------
    CaptureError
        An option is out of range.
    ImportError
        Transformers is not installed.
    """

    def __init__(
        self,
        *,
        loss: Loss | None = None,
        data: Any = None,
        preset: str = "standard",
        budget: float = 0.05,
        schedule: Schedule | None = None,
        n_minibatches: int = 256,
        closing: int | None = None,
        groups: GroupSpec = "module",
        reference: str = "auto",
        seed: int = 0,
        out: str | Path | None = None,
        log: Any = None,
    ) -> None:
        if _Callback is object:
            raise ImportError(
                "this callback needs Transformers, which is not installed: "
                "pip install 'noise-lens[hf]'"
            )
        super().__init__()
        self._watching = Watching(
            LensOptions(
                loss, data, preset, budget, schedule, n_minibatches, closing, groups, reference,
                seed, out, log,
            )
        )  # fmt: skip
        self._updates: _Updates | None = None
        self._norm: _LossNorm | None = None

    @property
    def lens(self) -> NoiseLens | None:
        """The lens of the present or the last ``train``."""
        return self._watching.lens

    def on_train_begin(self, args: Any, state: Any, control: Any, **found: Any) -> None:
        """Begin to watch."""
        del control
        model, optimizer, loader = found["model"], found["optimizer"], found["train_dataloader"]
        refused = _refusal(optimizer)
        if refused is not None:
            self._watching.refuse(refused)
            return
        if state.global_step and _STATE in state.stateful_callbacks:
            self._watching.state = state.stateful_callbacks[_STATE]
        self._updates = _Updates(args, state.global_step, loader)
        self._watching.start(
            Loop(
                model=model,
                optimizer=optimizer,
                loss=_training_loss(args),
                data=loader if isinstance(loader, DataLoader) else _no_loader(loader),
                scaler=getattr(optimizer, "scaler", None),
                loss_divisor=float(args.gradient_accumulation_steps),
                step=state.global_step,
                log=_History(state),
                facts={
                    "framework": f"transformers {sys.modules['transformers'].__version__}",
                    "autocast": "bfloat16" if args.bf16 else "float16" if args.fp16 else "off",
                    "gradient_accumulation_steps": args.gradient_accumulation_steps,
                    "max_grad_norm": args.max_grad_norm,
                },
            )
        )
        if self.lens is not None:
            self._norm = _LossNorm(model, self.lens, smoothed=args.label_smoothing_factor > 0)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **found: Any) -> None:
        """Count updates within the epoch: the last one may have fewer micro-batches."""
        del args, state, control, found
        if self._updates is not None:
            self._updates.begin_epoch()

    def on_step_begin(self, args: Any, state: Any, control: Any, **found: Any) -> None:
        """Note how many micro-batches this step has."""
        del args, state, control, found
        if self._updates is not None:
            self._watching.divide_by(self._updates.next_count())

    def on_step_end(self, args: Any, state: Any, control: Any, **found: Any) -> None:
        """Put the lens's state where a checkpoint keeps it."""
        del args, found
        self._remember(state, control)

    def on_evaluate(self, args: Any, state: Any, control: Any, **found: Any) -> None:
        """As at the end of a step: the best model is saved after its evaluation."""
        del args, found
        self._remember(state, None)
        del control

    def on_epoch_end(self, args: Any, state: Any, control: Any, **found: Any) -> None:
        """Close the lens after the last epoch, before the best model is loaded."""
        del args, found
        if control.should_training_stop or state.global_step >= state.max_steps:
            self._finish()
        self._remember(state, control)

    def on_train_end(self, args: Any, state: Any, control: Any, **found: Any) -> None:
        """Close the lens, if that is not done yet."""
        del args, state, control, found
        self._finish()

    def _finish(self) -> None:
        if self._norm is not None:
            self._norm.forget()
        self._watching.finish()

    def _remember(self, state: Any, control: Any) -> None:
        if control is None or control.should_save:
            state.stateful_callbacks[_STATE] = self._watching.state


class _Updates:
    """How many micro-batches the present update has, counted as the Trainer's loop does."""

    def __init__(self, args: Any, global_step: int, loader: Any) -> None:
        self._usual = int(args.gradient_accumulation_steps)
        try:
            n_batches = len(loader)
        except TypeError:  # an iterable data set has no length: every update is a whole one
            n_batches = 0
        self._n_updates = math.ceil(n_batches / self._usual)
        self._of_last = n_batches % self._usual or self._usual
        done = global_step % self._n_updates if self._n_updates else 0
        self._first = 0 if args.ignore_data_skip else done
        self._done = 0

    def begin_epoch(self) -> None:
        self._done, self._first = self._first, 0

    def next_count(self) -> int:
        self._done += 1
        return self._of_last if self._done == self._n_updates else self._usual


class _LossNorm:
    """Sees in the first forward pass of training how the Trainer normalises the loss.

    Given ``num_items_in_batch``, the model divides by the tokens of the whole step: a micro-batch
    weighs as many tokens as it has. Else the Trainer divides the model's own loss by the number of
    micro-batches.
    """

    def __init__(self, model: nn.Module, lens: NoiseLens, *, smoothed: bool) -> None:
        self._lens, self._smoothed = lens, smoothed
        self._handle: Any = model.register_forward_hook(self._see, with_kwargs=True)

    def forget(self) -> None:
        if self._handle is not None:
            self._handle.remove()
        self._handle = None

    def _see(self, module: nn.Module, _: Any, given: Mapping[str, Any], output: Any) -> None:
        if not module.training:
            return
        if given.get("num_items_in_batch") is not None:
            norm = "token"
        elif self._smoothed or _loss_of(output) is not None:
            norm = "mean"
        else:
            norm = "unknown: the loss is computed outside the model"
        self._lens.facts["loss_norm"] = norm
        self.forget()


class _History:
    """Appends numbers to the state's log history, as the Trainer does with its own."""

    def __init__(self, state: Any) -> None:
        self._state = state

    def log_metrics(self, numbers: dict[str, float], step: int) -> None:
        self._state.log_history.append({**numbers, "step": step})


def _refusal(optimizer: Any) -> str | None:
    kind = getattr(getattr(optimizer, "accelerator_state", None), "distributed_type", None)
    name = getattr(kind, "name", "")
    if name == "FSDP":
        plugin = getattr(optimizer.accelerator_state, "fsdp_plugin", None)
        if getattr(plugin, "fsdp_version", 1) == 2:
            return None
    return _UNSUPPORTED.get(name)


def _no_loader(found: Any) -> str:
    return (
        f"the trainer's loader is a {type(found).__name__}, not a DataLoader. Give "
        "NoiseLensCallback(data=a function that makes a second loader of the same kind)."
    )


def _training_loss(args: Any) -> Loss | str:
    if args.label_smoothing_factor > 0:
        return (
            "the Trainer smooths labels outside the model. "
            "Give NoiseLensCallback(loss=...), which smooths them too."
        )

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        found = _loss_of(model(**batch))
        if found is None:
            raise CaptureError(
                "the model returned no loss: the batch holds no labels, or the Trainer computes "
                "it outside the model. Give NoiseLensCallback(loss=...)"
            )
        return found

    return loss


def _loss_of(output: Any) -> torch.Tensor | None:
    """Return the loss in a model's output, as the Trainer takes it."""
    if isinstance(output, Mapping):
        return output.get("loss")
    if isinstance(output, tuple) and output and isinstance(output[0], torch.Tensor):
        return output[0] if output[0].numel() == 1 else None
    return None
