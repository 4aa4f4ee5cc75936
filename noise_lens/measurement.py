"""Measure the gradient noise of a task at fixed weights."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from noise_lens.capture import Sketch, probe
from noise_lens.capture.groups import GroupSpec
from noise_lens.capture.preserve import Mode
from noise_lens.capture.reference import Minibatches
from noise_lens.errors import CaptureError, NoiseLensError
from noise_lens.inference import judged_rows, pooled
from noise_lens.run import ESTIMATE_FIELDS, KINDS, METHODS, RunWriter, check_new
from noise_lens.tasks import Task, load_checkpoint, load_task, minibatches_of

VIEWS = ("gradient",)
CAPTURE_POINT = "torch.autograd.grad at frozen weights: not clipped, scaled, accumulated or reduced"
Progress = Callable[[str, int, int], None]
"""Called with (what, how many are done, of how many)."""


@dataclass(frozen=True)
class Measurement:
    """Everything that is kept for one set of weights and one view.

    Attributes
    ----------
    sketch : Sketch
        The rows, per group.
    records : list of dict
        One a group: what goes into a run folder.
    manifest : dict
        What was asked, and with which versions.
    """

    sketch: Sketch
    records: list[dict[str, Any]]
    manifest: dict[str, Any] = field(repr=False)

    def table(self) -> list[dict[str, Any]]:
        """Return one row per group and kind of rows, ready for ``pandas.DataFrame``.

        Returns
        -------
        list of dict
            ``of`` is "coordinates" or "projections"; ``alpha``, ``low`` and ``high`` are those
            of the characteristic function, NaN with a ``reason`` where there is none.
        """
        return [row for record in self.records for row in table_rows(record)]

    def save(self, folder: str | Path) -> None:
        """Write a run folder.

        Parameters
        ----------
        folder : str or Path
            New or empty.

        Raises
        ------
        RunFolderError
            It cannot be written, or holds something.
        """
        writer = RunWriter(folder, self.manifest)
        writer.write(self.records, sketch_arrays(self.sketch))
        writer.close(status="finished", n_measurements=1)


def measure(
    task: Task | str,
    checkpoint: str | Path | None = None,
    *,
    n_minibatches: int = 1024,
    batch_size: int = 32,
    views: Sequence[str] = VIEWS,
    reference: str = "auto",
    groups: GroupSpec = "tensor",
    mode: Mode = "train",
    seed: int = 0,
    device: str | None = None,
    out: str | Path | None = None,
    on_budget: Callable[[dict[str, int]], None] | None = None,
    on_progress: Progress | None = None,
) -> Measurement:
    """Capture minibatch gradient noise at fixed weights and estimate its tail index.

    Parameters
    ----------
    task : Task or str
        What to measure: a task, a built-in name, or ``pkg.module:callable``.
    checkpoint : str or Path, optional
        Weights; the task's initial weights if not given.
    n_minibatches : int
        M, at least 50. About 1000 can support a statement; fewer can only reject one.
    batch_size : int
        Examples a minibatch: the tail index belongs to this batch size.
    views : sequence of str
        Which noise; "gradient".
    reference : {"auto", "full", "pair", "mean"}
        What is subtracted from a minibatch gradient.
    groups : str or sequence of str or mapping of str to str
        ``all``, and one group a "tensor", a "module", or patterns.
    mode : {"train", "eval"}
        Mode of the model; training's by default.
    seed : int
        Of the initial weights, the minibatches and the sketch.
    device : str, optional
        Where to compute. A factory's model goes to a CUDA device if there is one; a built
        module stays where it is.
    out : str or Path, optional
        Also write a run folder there.
    on_budget : callable, optional
        Called with the memory budget, bytes a line, before the probe starts.
    on_progress : callable, optional
        Called with (what, done, total).

    Returns
    -------
    Measurement
        With one record a group.

    Raises
    ------
    NoiseLensError
        One of its children, by what is wrong: the task, the checkpoint, the gradients, the folder.
    """
    check_views(views)
    task = load_task(task) if isinstance(task, str) else task
    if out is not None:
        check_new(out)
    model = task.build_model(seed)
    if checkpoint is not None:
        load_checkpoint(model, checkpoint)
    place(model, task, device)
    settings = {
        "task": task.name,
        "checkpoint": None if checkpoint is None else Path(checkpoint).name,
        "checkpoint_sha256": None if checkpoint is None else _digest(Path(checkpoint)),
        "n_minibatches": n_minibatches,
        "batch_size": batch_size,
        "views": list(views),
        "reference": reference,
        "groups": groups if isinstance(groups, str) else list(groups),
        "mode": mode,
        "seed": seed,
    }
    measurement = take(
        model,
        task.loss,
        minibatches_of(task.data),
        manifest=manifest_of("measurement", settings, model),
        n_minibatches=n_minibatches,
        batch_size=batch_size,
        reference=reference,
        groups=groups,
        mode=mode,
        seed=seed,
        on_budget=on_budget,
        on_progress=on_progress,
    )
    if out is not None:
        measurement.save(out)
    return measurement


def take(
    model: nn.Module,
    loss: Callable[[nn.Module, Any], torch.Tensor],
    data: Minibatches,
    *,
    manifest: dict[str, Any],
    n_minibatches: int,
    batch_size: int,
    reference: str,
    groups: GroupSpec,
    mode: Mode | Mapping[str, bool],
    seed: int,
    sketch_seed: int | None = None,
    step: int = 0,
    metrics: Mapping[str, float] | None = None,
    on_budget: Callable[[dict[str, int]], None] | None = None,
    on_progress: Progress | None = None,
) -> Measurement:
    """Probe a model as it stands and estimate every group.

    Parameters
    ----------
    model : torch.nn.Module
        At the weights to measure.
    loss : callable
        ``loss(model, batch)`` -> mean loss over the minibatch.
    data : Minibatches
        Where minibatches come from.
    manifest : dict
        For the run folder.
    n_minibatches, batch_size : int
        What to draw.
    reference, groups, mode, seed
        As for :func:`measure`.
    sketch_seed : int, optional
        Of the coordinates and signs, which the probes of one run share; `seed` if not given.
    step : int
        Training step of these weights.
    metrics : mapping of str to float, optional
        To be kept beside the estimates.
    on_budget, on_progress : callable, optional
        As for :func:`measure`.

    Returns
    -------
    Measurement
        One record a group.
    """
    done = 0

    def count(n: int) -> None:
        nonlocal done
        done += n
        if on_progress is not None:
            on_progress("minibatches", done, n_minibatches)

    sketch = probe(
        model,
        loss,
        data,
        n_minibatches=n_minibatches,
        batch_size=batch_size,
        reference=reference,
        groups=groups,
        mode=mode,
        seed=seed,
        sketch_seed=sketch_seed,
        on_budget=on_budget,
        on_minibatch=count,
    )
    records = [_record(sketch, index, step, metrics or {}) for index in range(len(sketch.groups))]
    return Measurement(sketch, records, {**manifest, "tensors": list(sketch.tensors)})


def _record(sketch: Sketch, index: int, step: int, metrics: Mapping[str, float]) -> dict[str, Any]:
    group = sketch.groups[index]
    bins = np.flatnonzero(group.histogram)
    record: dict[str, Any] = {
        "rank": 0,
        "step": step,
        "view": "gradient",
        "group": group.name,
        "n_parameters": group.n_parameters,
        "n_minibatches": sketch.n_minibatches,
        "batch_size": sketch.batch_size,
        "n_rows": len(group.norms),
        "reference": sketch.reference,
        "reference_reason": sketch.reference_reason,
        "mode": sketch.mode,
        "sampling": sketch.sampling,
        "loss": float(sketch.losses.mean()),
        "metrics": dict(metrics),
        "gradient_zero_share": float(group.gradient_zero_shares.mean()),
        "noise_zero_share": float(group.noise_zero_shares.mean()),
        "noise_norm_mean": float(group.norms.mean()),
        "histogram_bins": bins.tolist(),
        "histogram_counts": group.histogram[bins].tolist(),
    }
    for of in KINDS:
        rows = judged_rows(getattr(group, of), sketch.reference)
        record[f"{of}_n_columns"] = rows.shape[1]
        record[f"{of}_reason"] = None
        for method in METHODS:
            values, reason = _estimate(rows, method)
            record[f"{of}_reason"] = record[f"{of}_reason"] or reason
            for name, value in values.items():
                record[f"{of}_{method}_{name}"] = value
    return record


def _estimate(
    rows: NDArray[np.float64], method: str
) -> tuple[dict[str, float | int | None], str | None]:
    empty: dict[str, float | int | None] = dict.fromkeys(ESTIMATE_FIELDS)
    if rows.shape[1] == 0:
        return empty, "a projection needs at least four elements in the group"
    try:
        found = pooled(rows, method)
    except NoiseLensError as error:
        return empty, str(error)
    low, high = found.confidence_interval()
    return {
        "alpha": float(found.alpha),
        "standard_error": float(found.standard_error),
        "low": low,
        "high": high,
        "sigma": None if found.sigma is None else float(found.sigma),
        "n": int(found.n),
        "n_zero": int(found.n_zero),
    }, None


def table_rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one row per kind of rows of a record.

    Parameters
    ----------
    record : mapping
        One group of one measurement.

    Returns
    -------
    list of dict
        Flat, in a fixed order of keys.
    """
    shared = ("step", "view", "group", "n_parameters")
    how = (
        "n_rows", "batch_size", "reference", "mode", "loss", "gradient_zero_share",
        "noise_zero_share", "noise_norm_mean",
    )  # fmt: skip
    rows = []
    for of in KINDS:
        main, other = (f"{of}_{method}" for method in METHODS)
        rows.append(
            {
                **{key: record[key] for key in shared},
                "of": of,
                "n_columns": record[f"{of}_n_columns"],
                "alpha": _number(record[f"{main}_alpha"]),
                "low": _number(record[f"{main}_low"]),
                "high": _number(record[f"{main}_high"]),
                "standard_error": _number(record[f"{main}_standard_error"]),
                "mohammadi": _number(record[f"{other}_alpha"]),
                "mohammadi_low": _number(record[f"{other}_low"]),
                "mohammadi_high": _number(record[f"{other}_high"]),
                "reason": record[f"{of}_reason"],
                **{key: record[key] for key in how},
            }
        )
    return rows


def sketch_arrays(sketch: Sketch) -> dict[str, NDArray[Any]]:
    """Return the arrays of a sketch by ``<group>/<what>``.

    Parameters
    ----------
    sketch : Sketch
        Of a probe.

    Returns
    -------
    dict of str to ndarray
        Ready for a safetensors file.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for group in sketch.groups:
        arrays[f"{group.name}/coordinates"] = group.coordinates
        arrays[f"{group.name}/positions"] = group.positions
        arrays[f"{group.name}/projections"] = group.projections
        arrays[f"{group.name}/norms"] = group.norms.astype(np.float32)
        zeros = np.stack([group.gradient_zero_shares, group.noise_zero_shares], axis=1)
        arrays[f"{group.name}/zero_shares"] = zeros.astype(np.float32)
    return arrays


def manifest_of(kind: str, settings: Mapping[str, Any], model: nn.Module | None) -> dict[str, Any]:
    """Return the manifest of a run folder.

    Parameters
    ----------
    kind : str
        "measurement", "run", "comparison" or "lens".
    settings : mapping
        What was asked; equal settings may be resumed.
    model : torch.nn.Module, optional
        For its class, size and device.

    Returns
    -------
    dict
        JSON-ready.
    """
    manifest: dict[str, Any] = {
        "kind": kind,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": dict(settings),
        "capture_point": CAPTURE_POINT,
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("noise-lens", "torch", "numpy", "scipy")},
        },
        "threads": torch.get_num_threads(),
    }
    if model is not None:
        parameters = list(model.parameters())
        manifest["model"] = type(model).__name__
        manifest["n_parameters"] = sum(p.numel() for p in parameters)
        device = parameters[0].device if parameters else torch.device("cpu")
        manifest["device"] = (
            torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
        )
    return manifest


def check_views(views: Sequence[str]) -> None:
    """Raise unless every view is known.

    Parameters
    ----------
    views : sequence of str
        Asked for.

    Raises
    ------
    CaptureError
        One is not, or there is none.
    """
    unknown = [view for view in views if view not in VIEWS]
    if unknown or not views or isinstance(views, str):
        raise CaptureError(f"views must be among {', '.join(VIEWS)}; got {views!r}")


def place(model: nn.Module, task: Task, device: str | None) -> None:
    """Move a model to where it will be measured.

    Parameters
    ----------
    model : torch.nn.Module
        Of the task.
    task : Task
        A built module stays where it is unless `device` is given.
    device : str, optional
        A torch device.

    Raises
    ------
    CaptureError
        The device is unknown or not there.
    """
    if device is None:
        if isinstance(task.model, nn.Module) or not torch.cuda.is_available():
            return
        device = "cuda"
    try:
        model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise CaptureError(f"the device {device!r} cannot be used: {error}") from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
