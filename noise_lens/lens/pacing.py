"""When to probe so that probes cost a given share of training's time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from noise_lens.capture.schedule import Schedule
from noise_lens.errors import CaptureError

_FIRST_LOOK = 20
"""Steps before a step's time is believed: the first ones compile, allocate and warm caches."""


class Pacer:
    """Decides after which steps to probe, and keeps account of the time.

    With a schedule it only keeps account. With a budget, a probe is due when the time of all
    probes, this one included, is at most `budget` times that of training so far. Ranks must
    decide alike: the step of the next probe is computed now and then, and `agree` makes it that
    of rank 0.

    Parameters
    ----------
    budget : float
        Share of training time, in (0, 1].
    n_minibatches : int
        Of a probe.
    schedule : callable, optional
        step -> bool, instead of the budget.
    agree : callable
        Integer -> the integer of rank 0.
    clock : callable
        Seconds.

    Raises
    ------
    CaptureError
        `budget` is out of range.
    """

    def __init__(
        self,
        budget: float,
        n_minibatches: int,
        *,
        schedule: Schedule | None = None,
        agree: Callable[[int], int] = int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if not 0 < budget <= 1:
            raise CaptureError(
                f"budget is the share of training time that probes may take, in (0, 1]; got "
                f"{budget}. Use preset='light' for none."
            )
        self.budget, self._n_minibatches = budget, n_minibatches
        self._schedule, self._agree, self._clock = schedule, agree, clock
        self.training_seconds = 0.0
        self.probe_seconds = 0.0
        self.n_probes = 0
        self._last: float | None = None
        self._timed_steps = 0
        self._timed_seconds = 0.0
        self._next = self._not_before = 0
        self._minibatches_a_step = 1.0
        self.probe_estimate: float | None = None

    @property
    def seconds_a_step(self) -> float | None:
        """Mean seconds of a training step; None before two were seen."""
        return self._timed_seconds / self._timed_steps if self._timed_steps else None

    @property
    def spent(self) -> dict[str, float | int]:
        """Probes and what they cost: ``n_probes``, seconds, and ``share`` of training time."""
        training = self.training_seconds
        return {
            "n_probes": self.n_probes,
            "probe_seconds": self.probe_seconds,
            "training_seconds": training,
            "share": self.probe_seconds / training if training else 0.0,
        }

    def start(self) -> None:
        """Begin to count time."""
        self._last = None

    def is_due(self, step: int, minibatches_a_step: float) -> bool:
        """Count a step, and say whether to probe after it.

        Parameters
        ----------
        step : int
            Optimizer steps done.
        minibatches_a_step : float
            Micro-batches of a step: under accumulation a probe's minibatch is one of them.

        Returns
        -------
        bool
            The same on all ranks.
        """
        now = self._clock()
        if self._last is not None:
            self.training_seconds += now - self._last
            self._timed_steps += 1
            self._timed_seconds += now - self._last
        self._last = now
        self._minibatches_a_step = max(minibatches_a_step, 1.0)
        if self._schedule is not None:
            return self._schedule(step)
        if self._timed_steps < _FIRST_LOOK or step < max(self._next, self._not_before):
            return False
        self._next = self._agree(self._when(step))
        return step >= self._next

    def probed(self, seconds: float, *, paced: bool = True) -> None:
        """Keep account of a probe.

        Parameters
        ----------
        seconds : float
            What it took.
        paced : bool
            False for a closing probe: its size may be another.
        """
        self.n_probes += 1
        self.probe_seconds += seconds
        if paced:
            self.probe_estimate = seconds
        self._last = self._clock()  # the next step began now

    def failed(self, step: int, seconds: float) -> None:
        """Keep account of a probe that failed, and wait as long again before the next.

        Parameters
        ----------
        step : int
            Optimizer steps done.
        seconds : float
            What it took.
        """
        self.probe_seconds += seconds
        self._last = self._clock()
        self._not_before = 2 * step

    def state_dict(self) -> dict[str, float | int | None]:
        """Return what a resumed run continues with."""
        names = ("training_seconds", "probe_seconds", "n_probes", "probe_estimate")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue the account of a run.

        Parameters
        ----------
        state : mapping
            From :meth:`state_dict`.
        """
        for name, value in state.items():
            setattr(self, name, value)

    def _when(self, step: int) -> int:
        """Return the first step at which a probe fits: this one, or a later one."""
        a_step = max(self.seconds_a_step or 0.0, 1e-9)
        a_probe = self.probe_estimate
        if a_probe is None:  # a minibatch costs a forward and a backward pass: about a step
            a_probe = self._n_minibatches * a_step / self._minibatches_a_step
        missing = (self.probe_seconds + a_probe) / self.budget - self.training_seconds
        return step + max(0, math.ceil(missing / a_step))
