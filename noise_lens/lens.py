"""NoiseLens: look at the noise of a training loop without changing it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from noise_lens.capture.gradients import Loss
from noise_lens.capture.groups import GroupSpec
from noise_lens.capture.hooks import PassiveSketch
from noise_lens.capture.schedule import Schedule
from noise_lens.capture.seeding import derived_seed
from noise_lens.errors import CaptureError, NoiseLensError
from noise_lens.inference import pooled
from noise_lens.measurement import Measurement, json_ready, manifest_of, take
from noise_lens.run import RunWriter, check_new
from noise_lens.tasks import MapMinibatches, StreamMinibatches, minibatches_of

_PASSIVE_COORDINATES = 256
_PASSIVE_WINDOW = 256


class NoiseLens:
    """Watches the gradients of a training loop; the weights come out the same, bit for bit.

    Two things are seen. The *passive trend* comes from the gradients that training computes:
    differences of consecutive micro-batches on a few fixed coordinates, with weights moving, so
    it shows changes and supports no statement. *Probes* are bursts of minibatches at frozen
    weights, by `schedule` and once at the end; they need `loss` and `data`.

    Parameters
    ----------
    model : torch.nn.Module
        The model that is trained.
    optimizer : torch.optim.Optimizer
        Its steps are counted.
    loss : callable, optional
        ``loss(model, batch)`` -> mean loss over the minibatch.
    data : DataLoader or callable, optional
        The loop's own loader: its map-style dataset is sampled i.i.d. with replacement, in
        minibatches of the loader's size, without touching the loader. Where that is another
        distribution (a sampler of weights, an iterable dataset): a function without arguments
        that makes a second loader of the same kind, for the lens alone.
    schedule : callable, optional
        step -> bool, after which optimizer steps to probe; none but the last if not given.
    n_minibatches : int
        Of each probe, at least 50.
    groups : str or sequence of str or mapping of str to str
        As for :func:`noise_lens.measure`.
    reference : {"auto", "full", "pair", "mean"}
        As for :func:`noise_lens.measure`.
    seed : int
        Of the minibatches and the sketch.
    out : str or Path, optional
        Write a run folder there.

    Attributes
    ----------
    trend : list of dict
        One a window of 256 micro-batches: ``first_step``, ``last_step``, ``alpha``, ``low``,
        ``high``, ``n_rows``, ``n_not_finite``.
    measurements : list of Measurement
        One a probe.
    problems : list of str
        Why a probe could not be taken. Each is also a warning, never an error: training goes on.

    Raises
    ------
    CaptureError
        Only one of `loss` and `data` is given, or the loader's batch size cannot be known.
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
        optimizer: torch.optim.Optimizer,
        *,
        loss: Loss | None = None,
        data: DataLoader[Any] | Callable[[], Iterable[Any]] | None = None,
        schedule: Schedule | None = None,
        n_minibatches: int = 256,
        groups: GroupSpec = "module",
        reference: str = "auto",
        seed: int = 0,
        out: str | Path | None = None,
    ) -> None:
        if (loss is None) != (data is None):
            given, missing = ("loss", "data") if data is None else ("data", "loss")
            raise CaptureError(
                f"a probe needs loss and data, got {given} only. Give {missing} too, or neither "
                "for the passive trend alone."
            )
        if schedule is not None and loss is None:
            raise CaptureError("a schedule of probes needs loss and data, got neither")
        self.trend: list[dict[str, Any]] = []
        self.measurements: list[Measurement] = []
        self.problems: list[str] = []
        self._model, self._optimizer, self._loss = model, optimizer, loss
        self._source = None if data is None else _source(data)
        self._schedule = schedule
        self._n_minibatches, self._batch_size = n_minibatches, _batch_size(data)
        self._groups, self._reference, self._seed = groups, reference, seed
        self._step = 0
        self._window_start = 0
        self._modes: dict[str, bool] = {}
        self._passive: PassiveSketch | None = None
        self._handle: Any = None
        self._writer: RunWriter | None = None
        self._out = out
        if out is not None:
            check_new(out)

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
        """
        if self._passive is not None:
            raise CaptureError("this NoiseLens is attached already. Call detach() first.")
        if self._out is not None and self._writer is None:
            self._writer = RunWriter(self._out, self._manifest())
        self._modes = _modes(self._model)
        self._passive = PassiveSketch(
            self._model,
            n_coordinates=_PASSIVE_COORDINATES,
            window=_PASSIVE_WINDOW,
            seed=self._seed,
            on_window=self._on_window,
        )
        self._handle = self._optimizer.register_step_post_hook(self._after_step)
        return self

    def detach(self) -> None:
        """Stop watching; the trend and the measurements stay."""
        if self._passive is not None:
            self._passive.remove()
            self._handle.remove()
        self._passive = None

    def __enter__(self) -> Self:
        return self.attach()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.detach()
        if kind is not None:
            return  # what was measured is on disk; close.json stays away, as after a crash
        measured = {record["step"] for m in self.measurements for record in m.records}
        if self._loss is not None and self._step not in measured:
            self._probe(self._modes)
        if self._writer is not None:
            try:
                self._writer.close(status="finished", n_steps=self._step, problems=self.problems)
            except NoiseLensError as error:
                self._problem("did not close its folder", error)

    def table(self) -> list[dict[str, Any]]:
        """Return one row per probe, group and kind of rows.

        Returns
        -------
        list of dict
            As :meth:`noise_lens.Measurement.table`.
        """
        return [row for measurement in self.measurements for row in measurement.table()]

    def _after_step(self, *_: Any) -> None:
        self._step += 1
        if self._passive is not None:
            self._passive.end_row()
        if self._step == 1:
            self._modes = _modes(self._model)
        if self._schedule is not None and self._schedule(self._step):
            self._probe(_modes(self._model))

    def _probe(self, modes: dict[str, bool]) -> None:
        if self._loss is None or self._source is None:
            return
        try:
            measurement = take(
                self._model,
                self._loss,
                self._source,
                manifest=self._manifest(),
                mode=modes,
                seed=derived_seed(self._seed, "probe", str(self._step)),
                sketch_seed=self._seed,
                step=self._step,
                n_minibatches=self._n_minibatches,
                batch_size=self._batch_size,
                reference=self._reference,
                groups=self._groups,
                judged=("all",),
            )
            self.measurements.append(measurement)
            if self._writer is not None:
                measurement.write_to(self._writer)
        except Exception as error:
            self._problem("could not take or keep the probe", error)

    def _problem(self, what: str, error: Exception) -> None:
        # Whatever happens here must not end a training run.
        self.problems.append(f"step {self._step}: {error}")
        warnings.warn(f"NoiseLens {what} at {self.problems[-1]}", stacklevel=3)

    def _on_window(self, rows: NDArray[np.float32]) -> None:
        finite = np.isfinite(rows).all(axis=1)
        kept = rows[finite].astype(np.float64)
        even = len(kept) // 2 * 2
        differences = kept[0:even:2] - kept[1:even:2]
        entry: dict[str, Any] = {
            "first_step": self._window_start,
            "last_step": self._step,
            "n_rows": len(differences),
            "n_not_finite": int((~finite).sum()),
            "alpha": None,
            "low": None,
            "high": None,
        }
        try:
            found = pooled(differences)
        except NoiseLensError as error:
            entry["reason"] = str(error)
        else:
            low, high = found.confidence_interval()
            entry |= {"alpha": float(found.alpha), "low": low, "high": high}
        self.trend.append(entry)
        self._window_start = self._step
        if self._writer is not None:
            try:
                self._writer.write_trend(self.trend)
            except NoiseLensError as error:
                self._problem("wrote no trend", error)

    def _manifest(self) -> dict[str, Any]:
        settings = {
            "task": type(self._model).__name__,
            "optimizer_class": type(self._optimizer).__name__,
            "n_minibatches": self._n_minibatches,
            "batch_size": self._batch_size,
            "reference": self._reference,
            "groups": json_ready(self._groups),
            "seed": self._seed,
        }
        return manifest_of("lens", settings, self._model)


def _modes(model: nn.Module) -> dict[str, bool]:
    return {name: module.training for name, module in model.named_modules()}


class _Again:
    """An iterable that is made anew each time it is iterated."""

    def __init__(self, make: Callable[[], Iterable[Any]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[Any]:
        return iter(self._make())


def _source(data: Any) -> MapMinibatches | StreamMinibatches:
    if not isinstance(data, DataLoader):
        if callable(data):
            return StreamMinibatches(_Again(data), "as the lens's own loader gives them")
        raise CaptureError(
            f"data must be the loop's DataLoader, got {type(data).__name__}: the batch size of "
            "training is read from it. Wrap the dataset in a DataLoader."
        )
    source = minibatches_of(data)
    if isinstance(source, StreamMinibatches):
        raise CaptureError(
            f"minibatches come {source.sampling}: taking some from the loop's own loader would "
            "change training. Give data=a function that makes a second loader of the same kind."
        )
    return source


def _batch_size(data: Any) -> int:
    size = getattr(data, "batch_size", None)
    if isinstance(data, DataLoader) and size is None:
        raise CaptureError(
            "the DataLoader has no batch_size, so that of training is not known. "
            "Give one that has, or data=a function that makes a second loader of the same kind."
        )
    return int(size or 1)
