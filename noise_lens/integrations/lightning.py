"""NoiseLens as a callback of Lightning, of ``lightning`` and of ``pytorch_lightning``."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from noise_lens.capture.gradients import Loss
from noise_lens.capture.groups import GroupSpec
from noise_lens.capture.schedule import Schedule
from noise_lens.errors import CaptureError
from noise_lens.integrations.silence import silent
from noise_lens.integrations.watching import LensOptions, Loop, Watching
from noise_lens.lens import NoiseLens

__all__ = ["NoiseLensCallback"]


def _callback_class() -> Any:
    """Return Lightning's ``Callback``: of the tree that is in use already, if one is."""
    trees = ["lightning.pytorch", "pytorch_lightning"]
    for tree in sorted(trees, key=lambda name: name not in sys.modules):
        try:
            return import_module(tree).Callback
        except ImportError:
            continue
    return object


_Callback = _callback_class()


class NoiseLensCallback(_Callback):  # type: ignore[misc,valid-type]
    """Watches the gradients of ``Trainer.fit``; the weights come out the same, bit for bit.

    ``Trainer(callbacks=[NoiseLensCallback(out="runs/x")])`` is all. Probes call the module's own
    ``training_step`` under the trainer's precision, with logging and plain Python side effects
    of the step undone; they draw from the data set of the trainer's loader. Options that are not
    named here are those of :class:`noise_lens.NoiseLens`.

    Parameters
    ----------
    loss : callable, optional
        ``loss(module, batch)`` -> mean loss, instead of ``training_step``. Needed with manual
        optimization.
    data : DataLoader or callable, optional
        As for :class:`noise_lens.NoiseLens`, instead of the trainer's loader. Needed where that
        has a sampler of its own, is iterable, or is several.
    preset, budget, schedule, n_minibatches, closing, groups, reference, seed, out
        As for :class:`noise_lens.NoiseLens`.
    log : bool or callable or object, optional
        True: the trainer's loggers. Else as for :class:`noise_lens.NoiseLens`.

    Attributes
    ----------
    lens : NoiseLens or None
        Its ``table()``, ``trend``, ``measurements`` and ``problems``; None before ``fit`` or
        where the strategy is not supported.

    Raises
    ------
    CaptureError
        An option is out of range.
    ImportError
        Lightning is not installed.
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
                "this callback needs Lightning, which is not installed: "
                "pip install 'noise-lens[lightning]'"
            )
        super().__init__()
        self._watching = Watching(
            LensOptions(
                loss, data, preset, budget, schedule, n_minibatches, closing, groups, reference,
                seed, out, log,
            )
        )  # fmt: skip

    @property
    def lens(self) -> NoiseLens | None:
        """The lens of the present or the last ``fit``."""
        return self._watching.lens

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to watch."""
        precision = trainer.precision_plugin
        self._watching.start(
            Loop(
                model=trainer.model,
                optimizer=trainer.optimizers,
                loss=_training_loss(trainer, pl_module),
                data=_loader(trainer.train_dataloader),
                scaler=getattr(precision, "scaler", None),
                loss_divisor=_divisor(trainer, pl_module),
                step=trainer.global_step,
                log=_TrainerLoggers(trainer),
                facts={
                    "framework": _framework(trainer),
                    "strategy": type(trainer.strategy).__name__,
                    "precision": str(precision.precision),
                    **_autocast(precision),
                    "accumulate_grad_batches": trainer.accumulate_grad_batches,
                    "gradient_clip_val": trainer.gradient_clip_val,
                    "gradient_clip_algorithm": trainer.gradient_clip_algorithm,
                    "loss_norm": "mean",
                },
            )
        )

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the accumulation count, which a scheduler may change."""
        del batch, batch_idx
        self._watching.divide_by(_divisor(trainer, pl_module))

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Close the lens."""
        del trainer, pl_module
        self._watching.finish()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Detach, and leave the run folder open."""
        del trainer, pl_module, exception
        self._watching.finish(failed=True)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: plain numbers and text."""
        return self._watching.state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the run of a checkpoint, in the same folder.

        Parameters
        ----------
        state_dict : dict
            From `state_dict`.
        """
        self._watching.state = state_dict


class _TrainerLoggers:
    """Hands numbers to all loggers of a trainer."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer

    def log_metrics(self, numbers: dict[str, float], step: int) -> None:
        for logger in self._trainer.loggers:
            logger.log_metrics(numbers, step=step)


def _autocast(precision: Any) -> dict[str, str]:
    """Return the type that autocast computes in: no forward hook of the module need see it."""
    kinds = {"16-mixed": "float16", "bf16-mixed": "bfloat16"}
    kind = kinds.get(str(precision.precision))
    return {} if kind is None else {"autocast": kind}


def _framework(trainer: Any) -> str:
    tree = type(trainer).__module__.partition(".")[0]
    return f"{tree} {getattr(sys.modules.get(tree), '__version__', '')}".strip()


def _divisor(trainer: Any, module: Any) -> float:
    """Return what Lightning divides the loss by; nothing where the module steps by itself."""
    return float(trainer.accumulate_grad_batches) if module.automatic_optimization else 1.0


def _loader(found: Any) -> Any:
    """Return the trainer's loader, or why there is not one."""
    if isinstance(found, DataLoader):
        return found
    return (
        f"the trainer's loader is a {type(found).__name__}, not a DataLoader. Give "
        "NoiseLensCallback(data=a function that makes a second loader of the same kind)."
    )


def _training_loss(trainer: Any, module: Any) -> Loss | str:
    if not module.automatic_optimization:
        return (
            f"{type(module).__name__} optimizes manually, so its training_step is no loss. "
            "Give NoiseLensCallback(loss=..., data=...)."
        )
    arguments = list(inspect.signature(module.training_step).parameters.values())
    if arguments and arguments[0].name == "dataloader_iter":
        return (
            f"the training_step of {type(module).__name__} takes an iterator. "
            "Give NoiseLensCallback(loss=..., data=...)."
        )
    kinds = [argument.kind for argument in arguments]
    has_index = len(arguments) > 1 or inspect.Parameter.VAR_POSITIONAL in kinds

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        batch = trainer.precision_plugin.convert_input(batch)
        batch = module._on_before_batch_transfer(batch, dataloader_idx=0)
        batch = trainer.strategy.batch_to_device(batch, dataloader_idx=0)
        index = (trainer.fit_loop.batch_idx,) if has_index else ()
        with silent(model, trainer), trainer.precision_plugin.train_step_context():
            found = model.training_step(batch, *index)  # type: ignore[operator]
        found = found.get("loss") if isinstance(found, Mapping) else found
        if found is None:
            raise CaptureError("training_step returned no loss for this minibatch")
        return found  # type: ignore[no-any-return]

    return loss
