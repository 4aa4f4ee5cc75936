"""The lens on a training loop."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import nn
from torch.utils.data import DataLoader

from noise_lens.capture.gradients import Loss
from noise_lens.capture.groups import GroupSpec, build_groups
from noise_lens.capture.passive.taps import Taps
from noise_lens.capture.probe import FEWEST_MINIBATCHES
from noise_lens.capture.ranks import ALONE
from noise_lens.capture.schedule import Schedule
from noise_lens.capture.sharded import SHARDED_FACTS, fsdp_modules, obstacle_to_probes
from noise_lens.capture.views import check_views
from noise_lens.errors import CaptureError
from noise_lens.lens.agreement import agreed, training_ranks
from noise_lens.lens.describe import description, probe_lines
from noise_lens.lens.follower import Follower
from noise_lens.lens.keeping import slimmed
from noise_lens.lens.models import check_trains, optimizers_of, unwrapped
from noise_lens.lens.pacing import Pacer
from noise_lens.lens.presets import preset_of
from noise_lens.lens.prober import AtNextForward, Prober, ProbeSettings, in_backward, modes_of
from noise_lens.lens.recording import Recording
from noise_lens.lens.sources import batch_size_of, source_of
from noise_lens.lens.summary import summary
from noise_lens.lens.watch import WatchOptions, watched_parameters
from noise_lens.manifest import json_ready, manifest_of
from noise_lens.measurement import Measurement


class NoiseLens:
    """Watches the gradients of a training loop; the weights come out the same, bit for bit.

    Two things are seen. *Passive capture* reads the gradients that training computes, in tensor
    hooks: each micro-batch's own on this rank, before accumulation, clipping and reduction.
    Weights move meanwhile, so it shows trends and supports no statement. *Probes* are bursts of
    minibatches at frozen weights, as many as `budget` allows; they need `loss` and `data`, and
    only they carry verdicts.

    Parameters
    ----------
    model : torch.nn.Module
        What the loop calls: also compiled, inside ``DistributedDataParallel`` or under
        ``fully_shard``. Under the last one, rows of probes are of the mean gradient of all ranks,
        each rank keeps its shards of them, and :func:`noise_lens.read_run` joins what is in `out`.
    optimizer : torch.optim.Optimizer or sequence of them
        Its steps are counted: of several, a step is over when each has stepped.
    loss : callable, optional
        ``loss(model, batch)`` -> mean loss over the minibatch, not divided and not scaled. The
        model it gets is unwrapped, and in the autocast mode of training's own forward pass.
    data : DataLoader or callable, optional
        The loop's own loader: its map-style dataset is sampled i.i.d. with replacement, in
        minibatches of the loader's size, without touching the loader. Where that is another
        distribution (a sampler of weights, an iterable dataset): a function without arguments
        that makes a second loader of the same kind, for the lens alone.
    preset : {"light", "standard", "full"}
        "light": passive capture alone, of 65,536 coordinates and each tensor's norm; "standard":
        and probes; "full": and passive sums and log-histograms of every coordinate. Without
        `loss` and `data` there are no probes.
    budget : float
        Share of training time that probes may take, in (0, 1]; it spaces them.
    schedule : callable, optional
        step -> bool, after which optimizer steps to probe, instead of the budget.
    n_minibatches : int
        Of each probe, at least 50. About 1000 can support a statement.
    closing : int, optional
        Minibatches of a last probe at a clean exit, beside the budget. If not given, one of
        `n_minibatches` is taken only where no probe came before: a run does not end unanswered.
    views : sequence of str
        Which noise; "gradient".
    groups : str or sequence of str or mapping of str to str
        As for :func:`noise_lens.measure`.
    reference : {"auto", "full", "pair", "mean"}
        As for :func:`noise_lens.measure`.
    scaler : torch.amp.GradScaler, optional
        The loop's own, whose loss scale is divided out of what hooks see; found at the first step
        if not given.
    loss_divisor : float
        What the loop divides the loss of a micro-batch by before ``backward()``: usually its
        accumulation count. Hooks multiply it back.
    seed : int
        Of the minibatches and the sketch.
    out : str or Path, optional
        Write a run folder there.
    log : callable or object, optional
        ``log(dict, step)``, or a tracker with ``log``, ``log_metrics``, ``log_dict`` or
        ``add_scalar``. Keys are ``noise_lens/<group>/alpha`` and so on; rank 0 only.

    Attributes
    ----------
    trend : list of dict
        One a window of 128 differences: ``first_step``, ``last_step``, ``alpha``, ``low``,
        ``high``, ``differences`` (of what), ``n_not_finite`` and more.
    measurements : list of Measurement
        One a probe; all but the newest without their rows, which are in the run folder.
    facts : dict
        What else is known of the loop, JSON-ready: goes into `capture`. A framework's adapter
        says here how it clips, accumulates and normalises.

    Raises
    ------
    CaptureError
        Only one of `loss` and `data` is given; the loader's batch size cannot be known; the model
        has no gradients or is of a kind whose gradients cannot be seen; an option is out of range.
    RunFolderError
        `out` cannot be written.

    Examples
    --------
    >>> import torch
    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> x = torch.randn(256, 4, generator=torch.Generator().manual_seed(0))
    >>> loader = DataLoader(TensorDataset(x, x.sum(dim=1, keepdim=True)), batch_size=8)
    >>> model = torch.nn.Linear(4, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    >>> def loss(model, batch):
    ...     return (model(batch[0]) - batch[1]).square().mean()
    >>> with NoiseLens(model, optimizer, loss=loss, data=loader, n_minibatches=64) as lens:
    ...     for batch in loader:
    ...         optimizer.zero_grad()
    ...         loss(model, batch).backward()
    ...         _ = optimizer.step()
    >>> [row["group"] for row in lens.table()][:2]
    ['all', 'all']
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer],
        *,
        loss: Loss | None = None,
        data: DataLoader[Any] | Callable[[], Iterable[Any]] | None = None,
        preset: str = "standard",
        budget: float = 0.05,
        schedule: Schedule | None = None,
        n_minibatches: int = 256,
        closing: int | None = None,
        views: Sequence[str] = ("gradient",),
        groups: GroupSpec = "module",
        reference: str = "auto",
        scaler: Any = None,
        loss_divisor: float = 1.0,
        seed: int = 0,
        out: str | Path | None = None,
        log: Any = None,
    ) -> None:
        if (loss is None) != (data is None):
            given, missing = ("loss", "data") if data is None else ("data", "loss")
            raise CaptureError(
                f"a probe needs loss and data, got {given} only. Give {missing} too, or neither "
                "for the passive trend alone."
            )
        if schedule is not None and loss is None:
            raise CaptureError("a schedule of probes needs loss and data, got neither")
        if not loss_divisor > 0:
            raise CaptureError(f"loss_divisor must be positive, got {loss_divisor}")
        fewest = min(n_minibatches, closing or n_minibatches)
        if fewest < FEWEST_MINIBATCHES:
            raise CaptureError(
                f"a probe needs at least {FEWEST_MINIBATCHES} minibatches, got {fewest}. About "
                "1000 can support a statement; differences of pairs are half as many rows."
            )
        check_views(views)
        if tuple(views) != ("gradient",):
            raise CaptureError(
                f"NoiseLens looks at minibatch gradients, and the views {', '.join(views)} were "
                "asked for. Save a checkpoint with the optimizer's state and measure it: "
                "noise_lens.measure(task, checkpoint, views=..., optimizer=...)."
            )
        self.trend: list[dict[str, Any]] = []
        self.measurements: list[Measurement] = []
        self._recording = Recording(out, log)
        self.facts: dict[str, Any] = {}
        self._wrapped, self._model = model, unwrapped(model)
        optimizers = optimizers_of(optimizer)
        check_trains(optimizers, self._model)
        self._optimizer_class = type(optimizers[0]).__name__
        scaler = scaler if scaler is not None else getattr(optimizer, "scaler", None)
        self._preset = preset_of(preset)
        self._follower = Follower(
            model,
            self._model,
            optimizers,
            WatchOptions(self._preset, groups, scaler, loss_divisor, seed),
            self._recording,
            on_step=self._after_step,
            on_window=self._on_window,
        )
        watched = watched_parameters(self._model)
        build_groups(list(watched), groups)  # raises now, not in the loop
        Taps(watched, self._model)
        obstacle = None if loss is None else obstacle_to_probes(self._model)
        if obstacle is not None:
            self._recording.warn(0, f"probes are off: {obstacle}")
        self._sharded = bool(fsdp_modules(self._model)) and obstacle is None
        self._settings = ProbeSettings(
            batch_size_of(data), reference, groups, seed, block_sums=preset == "full"
        )
        self._prober: Prober | None = None
        if loss is not None and obstacle is None:
            source, precision = source_of(data), self._follower.precision
            self._prober = Prober(self._model, loss, source, self._settings, precision)
        self._n_minibatches, self._closing = n_minibatches, closing
        self._scheduled = schedule is not None
        self._pacer = Pacer(budget, n_minibatches, schedule=schedule, agree=agreed)
        self._pending: AtNextForward | None = None
        self._run_id, self._resumed = uuid.uuid4().hex, False

    def attach(self) -> Self:
        """Begin to watch.

        Returns
        -------
        NoiseLens
            Itself.

        Raises
        ------
        CaptureError
            It watches already.
        RunFolderError
            The folder holds another run.
        """
        if self._follower.watch is not None:
            raise CaptureError("this NoiseLens is attached already. Call detach() first.")
        self._recording.ranks = training_ranks()
        self._recording.open(self._manifest(), resumed=self._resumed)
        self._follower.attach()
        self._pacer.start()
        return self

    def detach(self) -> None:
        """Stop watching; the trend and the measurements stay."""
        self._follower.detach()
        if self._pending is not None:
            self._pending.cancel()

    def close(self, *, failed: bool = False) -> None:
        """Detach, take a closing probe, and mark the run folder as ended.

        ``with`` does it. A loop that ends with an error leaves the folder open, with all that was
        measured in it.

        Parameters
        ----------
        failed : bool
            The loop ended with an error.
        """
        self.detach()
        if failed:
            return
        if self._pending is not None:
            self._probe(self._follower.modes, self._n_minibatches)
        if self._wants_closing_probe():
            self._probe(self._follower.modes, self._closing or self._n_minibatches, paced=False)
        self._recording.close(self.step, spent=self.spent, capture=self.capture)

    def _wants_closing_probe(self) -> bool:
        measured = {m.records[0]["step"] for m in self.measurements}
        unanswered = self._preset.probes and not self._pacer.n_probes
        wants = self.step not in measured and bool(self._closing or unanswered)
        # Ranks that share the rows of a probe must all take it, also where one has failed before.
        return bool(agreed(int(wants))) if self._sharded and self._prober is not None else wants

    def __enter__(self) -> Self:
        return self.attach()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(failed=kind is not None)

    @property
    def step(self) -> int:
        """Optimizer steps done; set it where training goes on from a step without a lens state."""
        return self._follower.step

    @step.setter
    def step(self, step: int) -> None:
        self._follower.step = step

    @property
    def problems(self) -> list[str]:
        """What went wrong. Each is also a warning, never an error: training goes on."""
        return self._recording.problems

    def __str__(self) -> str:
        return summary(self.measurements, self.trend, self.spent, self.problems, self.step)

    def table(self) -> list[dict[str, Any]]:
        """Return one row per probe, group and kind of rows.

        Returns
        -------
        list of dict
            As :meth:`noise_lens.Measurement.table`.
        """
        return [row for measurement in self.measurements for row in measurement.table()]

    def describe(self) -> str:
        """Return what it costs: bytes, reads of the gradient, the share of a step.

        Before the loop it is a dry run; during and after it, it also says what was spent.

        Returns
        -------
        str
            Several lines.
        """
        watch = self._follower.watch or self._follower.new_watch()
        text = description(
            self._preset,
            watch.parameters,
            state=watch.state,
            probe=probe_lines(watch.parameters, self._settings, self._n_minibatches)
            if self._prober is not None and self._preset.probes
            else None,
            step_seconds=self._pacer.seconds_a_step,
            budget=None if self._scheduled else self._pacer.budget,
            spent=self._pacer.spent,
        )
        if watch is not self._follower.watch:
            watch.stop(drain=False)
        return text

    @property
    def capture(self) -> dict[str, Any]:
        """What passive capture sees, and what not: goes into the run folder."""
        return {**self._follower.facts, **self.facts}

    @property
    def loss_divisor(self) -> float:
        """What the loop divides the loss of the present micro-batch by; may change."""
        return self._follower.options.loss_divisor

    @loss_divisor.setter
    def loss_divisor(self, divisor: float) -> None:
        if not divisor > 0:
            raise CaptureError(f"loss_divisor must be positive, got {divisor}")
        self._follower.divide_by(divisor)

    @property
    def spent(self) -> dict[str, float | int]:
        """What probes took: ``n_probes``, seconds, and ``share`` of training's time."""
        return self._pacer.spent

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs; plain numbers and text, safe to save anywhere.

        Returns
        -------
        dict
            For :meth:`load_state_dict`.
        """
        return {
            "step": self.step,
            "run_id": self._run_id,
            "trend": list(self.trend),
            "pacer": self._pacer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue a run that was stopped, in the same folder.

        Parameters
        ----------
        state : mapping
            From :meth:`state_dict`, saved with the checkpoint that training continues from.

        Raises
        ------
        CaptureError
            The lens watches already.
        """
        if self._follower.watch is not None:
            raise CaptureError("load_state_dict() comes before attach(): this lens watches already")
        self._follower.step, self._run_id = int(state["step"]), str(state["run_id"])
        self.trend = list(state["trend"])
        self._pacer.load_state_dict(state["pacer"])
        self._resumed = True

    def _after_step(self, n_micro_batches: int) -> None:
        due = self._pacer.is_due(self.step, n_micro_batches)
        if not due or self._prober is None or not self._preset.probes or self._pending is not None:
            return
        if in_backward():  # the optimizer steps inside the backward pass
            self._pending = AtNextForward(self._wrapped, self._probe_pending)
        else:
            self._probe(modes_of(self._model), self._n_minibatches)

    def _probe_pending(self) -> None:
        self._pending = None
        self._probe(modes_of(self._model), self._n_minibatches)

    def _probe(self, modes: dict[str, bool], n_minibatches: int, *, paced: bool = True) -> None:
        if self._prober is None:
            return
        start = time.perf_counter()
        try:
            if self._follower.watch is not None:
                self._follower.watch.rest()  # its memory and a probe's are not held together
            # Without a folder ranks cannot meet: each then takes all minibatches.
            meets = self._recording.has_folder
            if self._sharded and not meets and not self._pacer.n_probes:
                self._recording.warn(
                    self.step,
                    "without out= each rank's measurement is of its own shards only; give a run "
                    "folder, and noise_lens.read_run joins them",
                )
            measurement, seconds = self._prober.take(
                step=self.step,
                modes=modes,
                n_minibatches=n_minibatches,
                ranks=self._recording.ranks if meets or self._sharded else ALONE,
                manifest=self._manifest(),
                # A part that readers join is not the group that it names.
                judged=() if self._sharded and meets else ("all",),
            )
        except Exception as error:
            self._pacer.failed(self.step, time.perf_counter() - start)
            self._recording.problem(self.step, "could not take the probe", error)
            return
        self._pacer.probed(seconds, paced=paced)
        if self.measurements:
            self.measurements[-1] = slimmed(self.measurements[-1])
        self.measurements.append(measurement)
        self._recording.keep_probe(measurement, self.step)

    def _on_window(self, entry: dict[str, Any]) -> None:
        self.trend.append(entry)
        watch = self._follower.watch
        if watch is not None:
            rows = watch.window_rows if watch.is_comparable else None
            self._recording.keep_window(self.trend, self.capture, rows, self.step)

    def _manifest(self) -> dict[str, Any]:
        settings = {
            "task": type(self._model).__name__,
            "optimizer_class": self._optimizer_class,
            "preset": self._preset.name,
            "n_minibatches": self._n_minibatches,
            "batch_size": self._settings.batch_size,
            "reference": self._settings.reference,
            "groups": json_ready(self._settings.groups),
            "seed": self._settings.seed,
        }
        return {
            **manifest_of("lens", settings, self._model),
            "run_id": self._run_id,
            **(SHARDED_FACTS if self._sharded else {}),
        }
