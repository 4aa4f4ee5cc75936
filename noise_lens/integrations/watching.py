"""What the callbacks of all frameworks have in common: one lens, from begin to end of training."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from noise_lens.capture.gradients import Loss
from noise_lens.capture.groups import GroupSpec
from noise_lens.capture.probe import FEWEST_MINIBATCHES
from noise_lens.capture.schedule import Schedule
from noise_lens.errors import CaptureError, NoiseLensError
from noise_lens.lens import NoiseLens
from noise_lens.lens.agreement import training_ranks
from noise_lens.lens.loggers import as_log
from noise_lens.lens.models import unwrapped
from noise_lens.lens.pacing import Pacer
from noise_lens.lens.presets import preset_of
from noise_lens.lens.sources import batch_size_of, source_of
from noise_lens.run.reader import trend_name


@dataclass(frozen=True)
class LensOptions:
    """The options of :class:`noise_lens.NoiseLens` that a callback passes on; see there."""

    loss: Loss | None
    data: Any
    preset: str
    budget: float
    schedule: Schedule | None
    n_minibatches: int
    closing: int | None
    groups: GroupSpec
    reference: str
    seed: int
    out: str | Path | None
    log: Any

    def check(self) -> None:
        """Raise for what is wrong whatever the model is: at construction, not hours later.

        Raises
        ------
        CaptureError
            An option is out of range.
        """
        preset_of(self.preset)
        Pacer(self.budget, self.n_minibatches)
        smallest = min(self.n_minibatches, self.closing or self.n_minibatches)
        if smallest < FEWEST_MINIBATCHES:
            raise CaptureError(
                f"n_minibatches and closing must be at least {FEWEST_MINIBATCHES}, got {smallest}"
            )
        if self.log not in (None, True, False):
            as_log(self.log)


@dataclass(frozen=True)
class Loop:
    """What a framework tells of the training that begins.

    Attributes
    ----------
    model : torch.nn.Module
        What the loop calls.
    optimizer : Any
        As :class:`noise_lens.NoiseLens` takes it.
    loss : callable or str
        What training minimises, or why that cannot be known: words that follow "no probes: ".
    data : DataLoader or str
        The loader of training, or why there is none: likewise.
    scaler : torch.amp.GradScaler or None
        Of the loop.
    loss_divisor : float
        At first.
    step : int
        Optimizer steps done: above 0 where training continues from a checkpoint.
    log : Any
        Where numbers go where the user says ``log=True``.
    facts : mapping
        How the loop clips, accumulates and normalises.
    """

    model: nn.Module
    optimizer: Any
    loss: Loss | str
    data: Any
    scaler: Any
    loss_divisor: float
    step: int
    log: Any
    facts: Mapping[str, Any]


class Watching:
    """Makes the lens when training begins, and closes it when training ends.

    Parameters
    ----------
    options : LensOptions
        What the user asked.

    Attributes
    ----------
    lens : NoiseLens or None
        None before training, or where the model is not supported.
    """

    def __init__(self, options: LensOptions) -> None:
        options.check()
        self._options = options
        self.lens: NoiseLens | None = None
        self._active = False
        self._saved: dict[str, Any] | None = None

    def start(self, loop: Loop) -> None:
        """Begin to watch; a model that is not supported is a warning, and training goes on.

        Parameters
        ----------
        loop : Loop
            That begins.
        """
        if self._active:  # an earlier one broke off
            self.finish(failed=True)
        try:
            unwrapped(loop.model)
        except CaptureError as error:
            self.refuse(str(error))
            return
        options = self._with_probes(loop)
        self.lens = NoiseLens(
            loop.model,
            loop.optimizer,
            loss=options.loss,
            data=options.data,
            preset=options.preset,
            budget=options.budget,
            schedule=options.schedule,
            n_minibatches=options.n_minibatches,
            closing=options.closing,
            groups=options.groups,
            reference=options.reference,
            scaler=loop.scaler,
            loss_divisor=loop.loss_divisor,
            seed=options.seed,
            out=options.out,
            log=loop.log if options.log is True else options.log or None,
        )
        self.lens.facts |= loop.facts
        if loop.step and self._saved is not None:
            self.lens.load_state_dict(self._of_this_rank(self._saved))
        elif loop.step:
            self.lens.step = loop.step
        self.lens.attach()
        self._active = True

    def refuse(self, reason: str) -> None:
        """Warn that there is no lens.

        Parameters
        ----------
        reason : str
            Why.
        """
        self.lens = None
        warnings.warn(f"NoiseLens is off, training goes on: {reason}", stacklevel=3)

    def divide_by(self, divisor: float) -> None:
        """Say what the loss of the coming micro-batch is divided by.

        Parameters
        ----------
        divisor : float
            By the framework.
        """
        if self._active and self.lens is not None and self.lens.loss_divisor != divisor:
            self.lens.loss_divisor = divisor

    def finish(self, *, failed: bool = False) -> None:
        """Close the lens; a second call does nothing.

        Parameters
        ----------
        failed : bool
            Training ended with an error.
        """
        if not self._active or self.lens is None:
            return
        self._active = False
        self.lens.close(failed=failed)
        self._saved = self.lens.state_dict()

    @property
    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps; JSON-ready, empty before training."""
        if self._active and self.lens is not None:
            return self.lens.state_dict()
        return self._saved or {}

    @state.setter
    def state(self, state: Mapping[str, Any]) -> None:
        self._saved = dict(state) or None

    def _with_probes(self, loop: Loop) -> LensOptions:
        """Return the options with the loop's loss and data where the user gave none."""
        options = self._options
        if not preset_of(options.preset).probes:
            return replace(options, loss=None, data=None, schedule=None)
        loss = loop.loss if options.loss is None else options.loss
        if isinstance(loss, str):
            return self._passive_only(loss)
        if options.data is not None:
            return replace(options, loss=loss)
        if isinstance(loop.data, str):
            return self._passive_only(loop.data)
        try:
            source_of(loop.data)
            batch_size_of(loop.data)
        except NoiseLensError as error:
            return self._passive_only(str(error))
        return replace(options, loss=loss, data=loop.data)

    def _passive_only(self, reason: str) -> LensOptions:
        warnings.warn(f"NoiseLens takes no probes, only the passive trend: {reason}", stacklevel=5)
        return replace(self._options, loss=None, data=None, schedule=None)

    def _of_this_rank(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the state with this rank's own trend: a checkpoint keeps that of rank 0."""
        rank = training_ranks().rank
        if rank == 0:
            return dict(state)
        windows: list[dict[str, Any]] = []
        if self._options.out is not None:
            path = Path(self._options.out) / trend_name(rank)
            if path.exists():
                windows = json.loads(path.read_text(encoding="utf-8"))["windows"]
        return {**state, "trend": [w for w in windows if w["last_step"] <= state["step"]]}
