"""Passive capture of one model: hooks, windows, and what they saw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from numpy.typing import NDArray
from torch import nn

from noise_lens.capture.gradients import trainable_parameters
from noise_lens.capture.groups import GroupSpec, build_groups
from noise_lens.capture.passive import PassiveCapture, TrainingRows
from noise_lens.capture.passive.every import EveryCoordinate
from noise_lens.capture.passive.taps import Taps
from noise_lens.capture.sharded import fsdp_modules
from noise_lens.lens.models import clean_name
from noise_lens.lens.precision import scale_of
from noise_lens.lens.presets import Preset
from noise_lens.lens.trend import Trend


class WatchOptions(NamedTuple):
    """What passive capture is asked for; see :class:`noise_lens.NoiseLens`."""

    preset: Preset
    groups: GroupSpec
    scaler: Any
    loss_divisor: float
    seed: int


class Watch:
    """Hooks on a model's parameters, and the windows that their rows fill.

    Parameters
    ----------
    model : torch.nn.Module
        Unwrapped.
    options : WatchOptions
        What was asked.
    on_window : callable
        Called with each entry of the trend.
    on_problem : callable
        Called with the exception that ended the capture.
    same_weights_in_a_step : bool
        As for :class:`Trend`.
    step : int
        Optimizer steps done before.
    """

    def __init__(
        self,
        model: nn.Module,
        options: WatchOptions,
        *,
        on_window: Callable[[dict[str, Any]], None],
        on_problem: Callable[[Exception], None],
        same_weights_in_a_step: bool = True,
        step: int = 0,
    ) -> None:
        self.parameters = watched_parameters(model)
        self._model, self._options = model, options
        self._on_window, self._on_problem = on_window, on_problem
        self._same_weights_in_a_step = same_weights_in_a_step
        self._begin(Taps(self.parameters, model), step)

    def _begin(self, taps: Taps, step: int) -> None:
        options = self._options
        groups = build_groups(list(self.parameters), options.groups)
        sizes = {name: taps.own(name).stop - taps.own(name).start for name in self.parameters}
        self._every = (
            EveryCoordinate(sizes, groups, taps.device) if options.preset.every_coordinate else None
        )
        self._passive = PassiveCapture(
            self.parameters,
            n_coordinates=options.preset.n_coordinates,
            seed=options.seed,
            on_rows=self._on_rows,
            on_problem=self._on_problem,
            scale=scale_of(options.scaler),
            # Reduced shards are sums over micro-batches: dividing has made them a mean.
            loss_divisor=1.0 if taps.reduced else options.loss_divisor,
            every=self._every,
            taps=taps,
        )
        self._passive.set_step(step)
        self._trend_groups = groups
        self._trend = Trend(
            self._passive.names,
            [pick.count for pick in self._passive.picks],
            groups,
            self._close_window,
            same_weights_in_a_step=self._same_weights_in_a_step,
            first_step=step,
        )

    @property
    def state(self) -> dict[str, int]:
        """Bytes on the device between steps, line by line."""
        every = 0 if self._every is None else self._every.state_bytes
        lines = {"ring of sampled coordinates and norms": self._passive.state_bytes - every}
        if every:
            lines["sums, squares and log-histograms of every coordinate"] = every
        return lines

    @property
    def micro_batches_a_step(self) -> int:
        """Micro-batches of the last step."""
        return self._passive.micro_batches_a_step

    @property
    def facts(self) -> dict[str, Any]:
        """What only capturing tells: goes into the run folder."""
        return {
            "n_coordinates": sum(pick.count for pick in self._passive.picks),
            "dtypes": sorted(self._passive.dtypes),
            "micro_batches_a_step": self._passive.micro_batches_a_step,
            "n_lost": self._passive.n_lost,
            **({"not_read": sorted(self._passive.not_read)} if self._passive.not_read else {}),
            **self._passive.taps.facts,
        }

    @property
    def window_rows(self) -> dict[str, NDArray[Any]]:
        """Rows of the last window; see :class:`Trend`."""
        return self._trend.rows

    @property
    def is_comparable(self) -> bool:
        """Whether ranks see the same coordinates of other minibatches: data-parallel ones do."""
        facts = self._passive.taps.facts
        return not facts.get("reduced") and "rank_correction" not in facts

    def is_current(self) -> bool:
        """Return whether the model's trainable parameters are still those that are watched."""
        if fsdp_modules(self._model):  # which swap parameters in and out under the same names
            return set(self.parameters) == set(watched_parameters(self._model))
        now = {id(p) for p in self._model.parameters() if p.requires_grad}
        return now == {id(p) for p in self.parameters.values()}

    def divide_by(self, divisor: float) -> None:
        """Say what the loss of coming micro-batches is divided by."""
        if not self._passive.taps.reduced:
            self._passive.loss_divisor = divisor

    def end_step(self) -> None:
        """End the rows of an optimizer step."""
        step = self._passive.end_step()
        taps = self._passive.taps
        if taps.sees_nothing:  # a version that keeps no whole parameters: see what it reduces to
            self._passive.remove()
            self._begin(Taps(self.parameters, self._model, reduced=True), step)

    def rest(self) -> None:
        """Hand over all rows and hold nothing on the device until the next gradient comes."""
        self._passive.drain()

    def stop(self, *, drain: bool = True) -> None:
        """Take the hooks away.

        Parameters
        ----------
        drain : bool
            Hand over the rows that are complete first; waits for the device.
        """
        if drain:
            self._passive.drain()
        self._passive.remove()

    @property
    def n_rows_since_step(self) -> int:
        """Micro-batches since the last optimizer step."""
        return self._passive.n_rows_since_step

    @property
    def weights_moved(self) -> bool:
        """Whether weights were written to between two rows of one step."""
        return self._passive.weights_moved

    def finish(self, step: int) -> None:
        """End the window that is under way, after `step` optimizer steps."""
        self._trend.finish(step)

    def _on_rows(self, rows: TrainingRows) -> None:
        self._trend.add(rows)

    def _close_window(self, entry: dict[str, Any]) -> None:
        entry["n_lost"] = self._passive.n_lost
        if self._passive.weights_moved:
            entry["differences"] = "of consecutive weights"
        if self._every is not None:
            for group, totals in self._every.compute().items():
                found = entry["groups"].setdefault(group, {})
                found |= {
                    "signal": totals.signal,
                    "noise": totals.noise,
                    "scale_spread": totals.scale_spread,
                }
        self._on_window(entry)


def watched_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the trainable parameters by the name that tables show.

    Parameters
    ----------
    model : torch.nn.Module
        Unwrapped.

    Returns
    -------
    dict of str to Parameter
        Tied ones once, those without elements left out.
    """
    return {
        clean_name(name): parameter
        for name, parameter in trainable_parameters(model).items()
        if parameter.numel()
    }
