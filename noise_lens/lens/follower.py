"""Follows a training loop: counts its steps, watches its gradients, keeps up with its changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from noise_lens.capture.preserve import is_probing
from noise_lens.errors import CaptureError
from noise_lens.lens.precision import ForwardPrecision, scale_of, scaler_of
from noise_lens.lens.prober import modes_of
from noise_lens.lens.recording import Recording
from noise_lens.lens.watch import Watch, WatchOptions


class Follower:
    """Hooks on the optimizers, and the watch on the gradients between their steps.

    Parameters
    ----------
    wrapped, model : torch.nn.Module
        What the loop calls, and what is inside.
    optimizers : sequence of torch.optim.Optimizer
        A step is over when each has stepped.
    options : WatchOptions
        Of passive capture.
    recording : Recording
        Takes problems.
    on_step : callable
        Called with the number of micro-batches after each step.
    on_window : callable
        Called with each entry of the trend.

    Attributes
    ----------
    step : int
        Optimizer steps done.
    modes : dict of str to bool
        Training flag of each module at the first step.
    watch : Watch or None
        None while not attached.
    options : WatchOptions
        As they are now: a loss scale may have been found since.
    precision : ForwardPrecision
        Of training's forward passes.
    """

    def __init__(
        self,
        wrapped: nn.Module,
        model: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        options: WatchOptions,
        recording: Recording,
        *,
        on_step: Callable[[int], None],
        on_window: Callable[[dict[str, Any]], None],
    ) -> None:
        self._wrapped, self._model, self._optimizers = wrapped, model, tuple(optimizers)
        self._recording, self._on_step, self._on_window = recording, on_step, on_window
        self.options = options
        self.precision = ForwardPrecision()
        self.step = 0
        self.modes: dict[str, bool] = {}
        self.watch: Watch | None = None
        self._facts: dict[str, Any] = {}
        self._handles: list[Any] = []
        self._stepped: set[int] = set()
        self._looked = self._warned = False

    @property
    def facts(self) -> dict[str, Any]:
        """What was captured, and what not."""
        return {
            "point": "tensor hooks: each micro-batch's gradient on this rank",
            "accumulated": False,
            "clipped": False,
            "reduced": False,
            "loss_scale": "divided out" if scale_of(self.options.scaler) else "none",
            "loss_divisor": self.options.loss_divisor,
            "autocast": self.precision.name,
            "world_size": self._recording.ranks.world_size,
            "rank_correction": "none is needed: a row is no average over ranks",
            **(self._facts if self.watch is None else self.watch.facts),
        }

    def attach(self) -> None:
        """Begin to follow."""
        self.modes = modes_of(self._model)
        self.watch = self.new_watch()
        # A training step that is compiled as a whole must call this, and not trace it.
        disable: Callable[..., Any] = torch.compiler.disable
        after_step = disable(self._after_step)
        self._handles = [o.register_step_post_hook(after_step) for o in self._optimizers]
        self.precision.watch(self._wrapped)
        if self._wrapped is not self._model:
            self._handles.append(self._wrapped.register_forward_pre_hook(_refuse_in_probe))

    def detach(self) -> None:
        """Stop; the window that is under way is ended."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self.precision.forget()
        if self.watch is not None:
            self.watch.stop()
            self._warn_of_moved_weights()
            if self.watch.n_rows_since_step and not self._looked:
                self._recording.warn(
                    self.step,
                    "gradients came and no step of the optimizer was seen: was it this one that "
                    "trained?",
                )
            self.watch.finish(self.step)
            self._facts = self.watch.facts
        self.watch = None

    def divide_by(self, divisor: float) -> None:
        """Change what the loop divides losses by, from the next micro-batch on."""
        self.options = self.options._replace(loss_divisor=divisor)
        if self.watch is not None:
            self.watch.divide_by(divisor)

    def new_watch(self) -> Watch:
        """Return a watch on the present parameters; its hooks are on them."""
        return Watch(
            self._model,
            self.options,
            on_window=self._window,
            on_problem=lambda error: self._recording.problem(
                self.step, "stopped passive capture", error
            ),
            same_weights_in_a_step=not any(
                isinstance(o, torch.optim.LBFGS) for o in self._optimizers
            ),
            step=self.step,
        )

    def _after_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        self._stepped.add(id(optimizer))
        if len(self._stepped) < len(self._optimizers):
            return
        self._stepped.clear()
        try:
            self._step_ended()
        except Exception as error:  # whatever happens here must not end a training run
            self._recording.problem(self.step, "could not follow a step", error)

    def _step_ended(self) -> None:
        self.step += 1
        n_micro_batches = 1
        if self.watch is not None:
            self.watch.end_step()
            n_micro_batches = self.watch.micro_batches_a_step
            self._warn_of_moved_weights()
            if not n_micro_batches:  # no gradient came: perhaps the parameters are others
                self._follow_parameters()
        if not self._looked:
            self._looked = True
            self.modes = modes_of(self._model)
            self._find_scaler()
        self._on_step(n_micro_batches)

    def _window(self, entry: dict[str, Any]) -> None:
        self._on_window(entry)
        self._follow_parameters()

    def _warn_of_moved_weights(self) -> None:
        # Several optimizers in turn, as a generator's and a discriminator's, move weights too.
        moves = len(self._optimizers) > 1 or isinstance(self._optimizers[0], torch.optim.LBFGS)
        if self.watch is not None and self.watch.weights_moved and not moves and not self._warned:
            self._warned = True
            self._recording.warn(
                self.step,
                "weights moved between micro-batches without a step of the optimizer that was "
                "given: differences are not at the same weights. Give every optimizer that steps",
            )

    def _follow_parameters(self) -> None:
        if self.watch is not None and self._handles and not self.watch.is_current():
            self._recording.warn(
                self.step,
                "the model's trainable parameters are others than before; the trend begins anew "
                "with the present ones",
            )
            self._watch_anew()

    def _find_scaler(self) -> None:
        found = None if self.options.scaler is not None else scaler_of(self._optimizers)
        if found is not None:  # the rows so far were scaled
            self.options = self.options._replace(scaler=found)
            self._watch_anew()

    def _watch_anew(self) -> None:
        if self.watch is not None:
            self.watch.stop(drain=False)
            self.watch = self.new_watch()


def _refuse_in_probe(wrapped: nn.Module, _: Any) -> None:
    if is_probing() and isinstance(wrapped, nn.parallel.DistributedDataParallel):
        raise CaptureError(
            "the loss of a probe called the loop's DistributedDataParallel model, whose forward "
            "pass talks to other ranks. Have loss(model, batch) call the model that it is given."
        )
