"""Probes inside a training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from noise_lens.capture.gradients import Loss
from noise_lens.capture.groups import GroupSpec
from noise_lens.capture.ranks import Ranks
from noise_lens.capture.seeding import derived_seed
from noise_lens.lens.precision import ForwardPrecision
from noise_lens.measurement import Measurement, take
from noise_lens.tasks import MapMinibatches, StreamMinibatches


class ProbeSettings(NamedTuple):
    """What every probe of a lens has in common; see :class:`noise_lens.NoiseLens`."""

    batch_size: int
    reference: str
    groups: GroupSpec
    seed: int
    block_sums: bool


class Prober:
    """Takes probes of a model as training has it, and measures what they cost.

    Parameters
    ----------
    model : torch.nn.Module
        Unwrapped.
    loss : callable
        ``loss(model, batch)`` -> mean loss over the minibatch.
    source : MapMinibatches or StreamMinibatches
        Where minibatches come from.
    settings : ProbeSettings
        What was asked.
    precision : ForwardPrecision
        Of training's forward passes.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        source: MapMinibatches | StreamMinibatches,
        settings: ProbeSettings,
        precision: ForwardPrecision,
    ) -> None:
        self._model, self._loss, self._source = model, loss, source
        self._settings, self._precision = settings, precision

    def take(
        self,
        *,
        step: int,
        modes: Mapping[str, bool],
        n_minibatches: int,
        ranks: Ranks,
        manifest: dict[str, Any],
        judged: Sequence[str] = ("all",),
    ) -> tuple[Measurement, float]:
        """Take a probe at the present weights.

        Parameters
        ----------
        step : int
            Optimizer steps done.
        modes : mapping of str to bool
            Training flag of each module.
        n_minibatches : int
            Of all ranks together.
        ranks : Ranks
            Which of them this is.
        manifest : dict
            Of the run.
        judged : sequence of str
            Groups to judge.

        Returns
        -------
        measurement : Measurement
            Of this rank's share of the minibatches, or of its shards of all.
        seconds : float
            What it took.
        """
        settings = self._settings
        start = time.perf_counter()
        measurement = take(
            self._model,
            self._as_training,
            self._source,
            manifest=manifest,
            mode=modes,
            seed=derived_seed(settings.seed, "probe", str(step)),
            sketch_seed=settings.seed,
            step=step,
            n_minibatches=n_minibatches,
            batch_size=settings.batch_size,
            reference=settings.reference,
            groups=settings.groups,
            ranks=ranks,
            block_sums=settings.block_sums,
            judged=judged,
        )
        return measurement, time.perf_counter() - start

    def _as_training(self, model: nn.Module, batch: Any) -> torch.Tensor:
        with self._precision.repeated():
            return self._loss(model, batch)


def modes_of(model: nn.Module) -> dict[str, bool]:
    """Return the training flag of each module by name."""
    return {name: module.training for name, module in model.named_modules()}


def in_backward() -> bool:
    """Return whether a backward pass is running: an optimizer step may be a part of it."""
    return torch._C._current_graph_task_id() >= 0


class AtNextForward:
    """Calls a function before the model's next forward pass, once.

    Parameters
    ----------
    model : torch.nn.Module
        What the loop calls.
    call : callable
        Without arguments.
    """

    def __init__(self, model: nn.Module, call: Callable[[], None]) -> None:
        self._call = call
        # First of all hooks: fully_shard's own must not find a probe in the middle of theirs.
        self._handle = model.register_forward_pre_hook(self._fire, prepend=True)

    def cancel(self) -> None:
        """Never mind."""
        self._handle.remove()

    def _fire(self, *_: Any) -> None:
        self._handle.remove()  # before the call, whose own forward passes would fire it again
        self._call()
