"""Measure the gradient noise of a task at fixed weights."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import nn

from noise_lens.capture import ProbeOptions, Sketch, probe_views
from noise_lens.capture.groups import GroupSpec
from noise_lens.capture.preserve import Mode
from noise_lens.capture.ranks import ALONE, Ranks, checked_ranks, ranks_here
from noise_lens.capture.reference import Minibatches
from noise_lens.capture.views import check_views
from noise_lens.chosen_optimizer import OptimizerSpec, beta_of, name_of, optimizer_of
from noise_lens.errors import CaptureError
from noise_lens.judging import Verdicts, verdicts_of_sketch
from noise_lens.manifest import json_ready as json_ready
from noise_lens.manifest import manifest_of as manifest_of
from noise_lens.merging import merged_measurement, wait_for_ranks
from noise_lens.record import record_of, sketch_arrays, table_rows
from noise_lens.run import KINDS, RunWriter, check_new, write_merged
from noise_lens.tasks import Task, load_checkpoint, load_task, minibatches_of
from noise_lens.tasks.checkpoint import checkpoint_digest
from noise_lens.tasks.placement import place

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
    verdicts : dict of str to dict of str to Verdict
        By group, then "coordinates" and "projections"; of the groups that were judged. The part
        of one of several ranks is not: its rows are a share. Nor are fewer than 200 rows of a
        view other than ``gradient``.
    others : tuple of Measurement
        The further views that were asked for, at the same weights.
    """

    sketch: Sketch
    records: list[dict[str, Any]]
    manifest: dict[str, Any]
    verdicts: Verdicts
    others: tuple[Measurement, ...] = ()

    @property
    def views(self) -> dict[str, Measurement]:
        """Every view by its name, the first one first."""
        return {part.sketch.view: part for part in (self, *self.others)}

    def __repr__(self) -> str:
        groups = f"{len(self.records)} groups, {self.records[0]['n_rows']} rows"
        more = f"; also {', '.join(list(self.views)[1:])} in .views" if self.others else ""
        task = self.manifest["settings"]["task"]
        return f"Measurement({task}, {self.sketch.view}, {groups}; see .verdicts{more})"

    def table(self) -> list[dict[str, Any]]:
        """Return one row per view, group and kind of rows, ready for ``pandas.DataFrame``.

        Returns
        -------
        list of dict
            ``of`` is "coordinates" or "projections"; ``alpha``, ``low`` and ``high`` are those
            of the characteristic function, NaN with a ``reason`` where there is none.
        """
        return [
            row
            for part in self.views.values()
            for record in part.records
            for row in table_rows(record)
        ]

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
        ranks = self.records[0]["rank"], self.manifest.get("world_size", 1)
        writer = RunWriter(folder, self.manifest, ranks=ranks)
        self.write_to(writer)
        writer.close(status="finished", n_measurements=len(self.views))

    def write_to(self, writer: RunWriter) -> None:
        """Write it into a run.

        Parameters
        ----------
        writer : RunWriter
            Of the run folder.
        """
        for part in self.views.values():
            facts = {"tensors": list(part.sketch.tensors)}
            writer.write(part.records, sketch_arrays(part.sketch), facts=facts)


def measure(
    task: Task | str,
    checkpoint: str | Path | None = None,
    *,
    n_minibatches: int = 1024,
    batch_size: int = 32,
    views: Sequence[str] = ("gradient",),
    reference: str = "auto",
    optimizer: OptimizerSpec | None = None,
    beta: float | None = None,
    published: bool = False,
    groups: GroupSpec = "tensor",
    mode: Mode = "train",
    seed: int = 0,
    device: str | None = None,
    out: str | Path | None = None,
    ranks: tuple[int, int] | None = None,
    wait: float = 600.0,
    on_budget: Callable[[dict[str, int]], None] | None = None,
    on_progress: Progress | None = None,
) -> Measurement:
    """Capture minibatch gradient noise at fixed weights and judge whether it is heavy-tailed.

    Under ``torchrun`` ranks take different minibatches of the same draw and meet in the run
    folder; nothing is sent between them and no process group is made. Rank 0 waits for the parts
    of the others and returns the measurement of all; the others return their own part.

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
        Which noise: "gradient"; "momentum" (of the optimizer's first moment, from disjoint windows
        of minibatches), "update" (of the optimizer's next step, from its saved state),
        "transformed" (of what AdaL makes of gradients), "trajectory" (of the first moment while
        the weights move, with a full gradient at every step: small tasks).
    reference : {"auto", "full", "pair", "mean"}
        What is subtracted from a minibatch gradient.
    optimizer : str or torch.optim.Optimizer or callable, optional
        Whose views: a name of :func:`noise_lens.optim.names`, with its state from the checkpoint;
        an optimizer of the task's own built module, with the state that it has; or a function
        that takes the model and returns the optimizer as training built it, for parameter groups.
    beta : float, optional
        Decay for "momentum" and "trajectory", in [0, 1), instead of the optimizer's.
    published : bool
        Also compute the pooled estimator of the literature from the same noise.
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
        Also write a run folder there; needed where there are several ranks.
    ranks : (int, int), optional
        Rank and number of ranks, if not those of ``torch.distributed`` or of RANK and WORLD_SIZE
        in the environment; ``(0, 1)`` measures alone.
    wait : float
        Seconds that rank 0 waits for the parts of other ranks after it has written its own.
    on_budget : callable, optional
        Called with the memory budget, bytes a line, before the probe starts.
    on_progress : callable, optional
        Called with (what, done, total).

    Returns
    -------
    Measurement
        With one record a group; all groups are judged, as one family a kind of rows.

    Raises
    ------
    CaptureError
        The gradients cannot be captured as asked; or there are several ranks and no `out`.
    NoiseLensError
        Another of its children, by what is wrong: the task, the checkpoint, the folder.
    """
    check_views(views)
    here = ranks_here() if ranks is None else checked_ranks(*ranks)
    task = load_task(task) if isinstance(task, str) else task
    if out is not None:
        check_new(out, ranks=here)
    elif here.world_size > 1:
        raise CaptureError(
            f"this is rank {here.rank} of {here.world_size}: every rank measures its share of the "
            "minibatches, and they meet in a run folder that all can see. Give one with out= or "
            "-o, or measure on one rank alone with ranks=(0, 1)."
        )
    model = task.build_model(seed)
    if checkpoint is not None:
        # A built module is the caller's own: its weights stay.
        model = copy.deepcopy(model) if model is task.model else model
        load_checkpoint(model, checkpoint)
    place(model, task, _device_of(here, task, device))
    built, loaded = optimizer_of(optimizer, model, checkpoint, views, beta)
    settings = {
        "task": task.name,
        "task_arguments": json_ready(task.arguments),
        "checkpoint": None if checkpoint is None else Path(checkpoint).name,
        "checkpoint_sha256": None if checkpoint is None else checkpoint_digest(checkpoint),
        "n_minibatches": n_minibatches,
        "batch_size": batch_size,
        "views": list(views),
        "reference": reference,
        "optimizer": name_of(optimizer),
        "beta": beta,
        "published": published,
        "groups": json_ready(groups),
        "mode": mode,
        "seed": seed,
    }
    measurement = take(
        model,
        task.loss,
        minibatches_of(task.data),
        manifest=manifest_of("measurement", settings, model)
        | ({"world_size": here.world_size, "split": "rows"} if here.world_size > 1 else {}),
        views=views,
        optimizer=built,
        beta=beta_of(built, beta, views),
        needs_state=not loaded,
        published=published,
        n_minibatches=n_minibatches,
        batch_size=batch_size,
        reference=reference,
        groups=groups,
        mode=mode,
        seed=seed,
        ranks=here,
        judged=None if here.world_size == 1 else (),
        on_budget=on_budget,
        on_progress=on_progress,
    )
    if out is not None:
        measurement.save(out)
        if here.rank == 0 and here.world_size > 1:
            return _of_all_ranks(measurement, out, here.world_size, wait, on_progress)
    return measurement


def take(
    model: nn.Module,
    loss: Callable[[nn.Module, Any], torch.Tensor],
    data: Minibatches,
    *,
    manifest: dict[str, Any],
    step: int = 0,
    metrics: Mapping[str, float] | None = None,
    judged: Sequence[str] | None = None,
    on_budget: Callable[[dict[str, int]], None] | None = None,
    on_progress: Progress | None = None,
    **options: Unpack[ProbeOptions],
) -> Measurement:
    """Probe a model as it stands, estimate every group and judge some.

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
    step : int
        Training step of these weights.
    metrics : mapping of str to float, optional
        To be kept beside the estimates.
    judged : sequence of str, optional
        Groups to judge; all of them if not given.
    on_budget, on_progress : callable, optional
        As for :func:`measure`.
    **options : Any
        As for :func:`noise_lens.capture.probe_views`.

    Returns
    -------
    Measurement
        One record a group; of the first view, with the further ones in `others`.
    """
    ranks = options.get("ranks", ALONE)
    n_minibatches = options.get("n_minibatches", 0)
    total = -(-n_minibatches // ranks.world_size)
    count = _counter("minibatches", total, on_progress)
    sketches = probe_views(model, loss, data, on_budget=on_budget, on_minibatch=count, **options)
    measured = [
        _judged(sketch, manifest, step, metrics or {}, judged, ranks.rank, on_progress)
        for sketch in sketches.values()
    ]
    return replace(measured[0], others=tuple(measured[1:]))


def _judged(
    sketch: Sketch,
    manifest: dict[str, Any],
    step: int,
    metrics: Mapping[str, float],
    judged: Sequence[str] | None,
    rank: int,
    on_progress: Progress | None,
) -> Measurement:
    verdicts: Verdicts = {}
    if judged is None or judged:
        chosen = [g for g in sketch.groups if judged is None or g.name in judged]
        total = sum(bool(getattr(g, of).shape[1]) for g in chosen for of in KINDS)
        on_group = _counter("verdicts", total, on_progress)
        verdicts = verdicts_of_sketch(sketch, judged, on_group=on_group)
    records = [
        record_of(sketch, index, step, metrics, verdicts.get(group.name), rank)
        for index, group in enumerate(sketch.groups)
    ]
    return Measurement(sketch, records, manifest, verdicts)


def _of_all_ranks(
    own: Measurement, folder: str | Path, world_size: int, wait: float, on_progress: Progress | None
) -> Measurement:
    wait_for_ranks(folder, world_size, wait)
    total = sum(bool(getattr(g, of).shape[1]) for g in own.sketch.groups for of in KINDS)
    on_group = _counter("verdicts", total, on_progress)
    sketch, records, verdicts = merged_measurement(folder, on_group=on_group)
    write_merged(folder, records)
    # One measurement again: saved elsewhere it has one part.
    manifest = {key: value for key, value in own.manifest.items() if key != "split"}
    manifest["merged_ranks"] = manifest.pop("world_size")
    return Measurement(sketch, records, manifest, verdicts)


def _counter(what: str, total: int, on_progress: Progress | None) -> Callable[[int], None]:
    done = 0

    def count(n: int) -> None:
        nonlocal done
        done += n
        if on_progress is not None:
            on_progress(what, done, max(total, done))

    return count


def _device_of(ranks: Ranks, task: Task, asked: str | None) -> str | None:
    """Return the GPU of a rank that leaves the choice to us: one each, if there are so many."""
    local = os.environ.get("LOCAL_RANK", "")
    stays = asked is None and isinstance(task.model, nn.Module)
    if ranks.world_size == 1 or asked not in (None, "cuda") or stays or not local.isdigit():
        return asked
    n_devices = torch.cuda.device_count()
    return f"cuda:{int(local) % n_devices}" if n_devices else asked
