"""The noise of one task along its training: several checkpoints, one run."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from noise_lens.capture.groups import GroupSpec
from noise_lens.capture.preserve import Mode
from noise_lens.capture.ranks import ranks_here
from noise_lens.capture.views import check_views
from noise_lens.chosen_optimizer import OptimizerSpec, beta_of, name_of, optimizer_of
from noise_lens.errors import CaptureError, CheckpointError, NoiseLensError
from noise_lens.measurement import Measurement, Progress, json_ready, manifest_of, take
from noise_lens.run import RunWriter, check_new
from noise_lens.tasks import Task, load_checkpoint, load_task, minibatches_of
from noise_lens.tasks.checkpoint import Step, check_checkpoint, checkpoint_digest, steps_of
from noise_lens.tasks.placement import place


def measure_trajectory(
    task: Task | str,
    checkpoints: Sequence[str | Path],
    *,
    steps: Sequence[int] | None = None,
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
    on_steps: Callable[[Sequence[Step]], None] | None = None,
    on_measured: Callable[[Measurement], None] | None = None,
    on_budget: Callable[[dict[str, int]], None] | None = None,
    on_progress: Progress | None = None,
) -> list[Measurement]:
    """Measure several checkpoints of one training, as steps of one run.

    All are opened, and compared with the model by names and shapes, before the first is measured.
    They share minibatches, sampled coordinates and the signs of projections, so that what differs
    between steps is the weights. A stream shares its minibatches where it begins anew.

    Parameters
    ----------
    task : Task or str
        What to measure: a task, a built-in name, or ``pkg.module:callable``.
    checkpoints : sequence of str or Path
        Weights, one a step.
    steps : sequence of int, optional
        Training step of each checkpoint. If not given: what a checkpoint says itself, else the
        number in its name, else, where none has either, its position.
    n_minibatches, batch_size, views, reference, optimizer, beta, published
        As for :func:`noise_lens.measure`; each checkpoint brings its own state of the optimizer.
    groups, mode, seed, device
        As for :func:`noise_lens.measure`.
    out : str or Path, optional
        Also write a run folder there, after each checkpoint: what was measured before a failure
        is kept.
    on_steps : callable, optional
        Called with the steps, before the first is measured.
    on_measured : callable, optional
        Called with each measurement when it is done.
    on_budget : callable, optional
        Called once with the memory budget, bytes a line.
    on_progress : callable, optional
        Called with (what, done, total).

    Returns
    -------
    list of Measurement
        In the order of `checkpoints`; their records hold the step, and every one is judged.

    Raises
    ------
    CheckpointError
        One cannot be read or does not fit, or two are of the same step.
    CaptureError
        It is run on several ranks.
    NoiseLensError
        Another of its children, by what is wrong: the task, the gradients, the folder.
    """
    check_views(views)
    paths = _checked_paths(checkpoints)
    task = load_task(task) if isinstance(task, str) else task
    if out is not None:
        check_new(out)
    model = task.build_model(seed)
    # A built module is the caller's own: its weights stay.
    model = copy.deepcopy(model) if model is task.model else model
    found = steps_of([check_checkpoint(model, path) for path in paths], steps)
    if on_steps is not None:
        on_steps(found)
    place(model, task, device)
    settings = {
        "task": task.name,
        "task_arguments": json_ready(task.arguments),
        "checkpoints": _names(paths),
        "checkpoint_sha256": [checkpoint_digest(path) for path in paths],
        "steps": [step.number for step in found],
        "step_sources": [step.source for step in found],
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
    manifest = manifest_of("trajectory", settings, model)
    writer = None if out is None else RunWriter(out, manifest)
    measured: list[Measurement] = []
    for index, (path, step) in enumerate(zip(paths, found, strict=True)):
        if on_progress is not None:
            on_progress("checkpoints", index, len(paths))
        try:
            load_checkpoint(model, path)
            built, loaded = optimizer_of(optimizer, model, path, views, beta)
            measurement = take(
                model,
                task.loss,
                minibatches_of(task.data),  # anew: a stream begins where it began before
                manifest=manifest,
                step=step.number,
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
                on_budget=None if measured else on_budget,
                on_progress=on_progress,
            )
        except NoiseLensError as error:
            error.add_note(f"This was {path}, checkpoint {index + 1} of {len(paths)}.")
            raise
        measured.append(measurement)
        if writer is not None:
            measurement.write_to(writer)
        if on_measured is not None:
            on_measured(measurement)
    if writer is not None:
        writer.close(status="finished", n_measurements=len(measured))
    return measured


def _names(paths: Sequence[Path]) -> list[str]:
    names = [path.name for path in paths]
    if len(set(names)) == len(names):
        return names
    return [f"{path.absolute().parent.name}/{path.name}" for path in paths]


def _checked_paths(checkpoints: Any) -> list[Path]:
    if isinstance(checkpoints, str | Path) or not checkpoints:
        raise CheckpointError(
            f"a trajectory needs a list of checkpoints, got {checkpoints!r}. "
            "One alone is for noise_lens.measure."
        )
    n_ranks = ranks_here().world_size
    if n_ranks > 1:
        raise CaptureError(
            f"a trajectory is measured by one process, and here are {n_ranks} ranks. Measure the "
            "checkpoints one by one with noise_lens.measure, which shares the work among ranks."
        )
    return [Path(path) for path in checkpoints]
