"""The same task under several optimizers: same initial weights, same minibatches."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from noise_lens import optim
from noise_lens.capture.gradients import to_device
from noise_lens.capture.groups import GroupSpec
from noise_lens.capture.reference import Minibatches
from noise_lens.capture.seeding import derived_seed
from noise_lens.errors import CaptureError, DivergedError
from noise_lens.evaluation import evaluate
from noise_lens.measurement import (
    VIEWS,
    Measurement,
    Progress,
    check_views,
    json_ready,
    manifest_of,
    take,
)
from noise_lens.merging import read_run
from noise_lens.record import table_rows
from noise_lens.run import RunWriter
from noise_lens.tasks import StreamMinibatches, Task, load_task, minibatches_of
from noise_lens.tasks.placement import place


@dataclass(frozen=True)
class Comparison:
    """What several optimizers did to the noise of one task.

    Attributes
    ----------
    runs : dict of str to list of dict
        ``<optimizer>-s<seed>`` -> records, one a group and probed step.
    diverged : dict of str to int
        Runs whose loss left the finite numbers -> the step at which that was seen.
    folder : Path or None
        The run folder, if one was written.
    settings : dict
        What was asked.
    """

    runs: dict[str, list[dict[str, Any]]]
    diverged: dict[str, int]
    folder: Path | None
    settings: dict[str, Any] = field(repr=False)

    def table(self) -> list[dict[str, Any]]:
        """Return one row per optimizer, seed, step, group and kind of rows.

        Returns
        -------
        list of dict
            As :meth:`Measurement.table`, with ``optimizer``, ``seed`` and the metrics.
        """
        return [
            {
                "optimizer": name.rpartition("-s")[0],
                "seed": int(name.rpartition("-s")[2]),
                **row,
                **record["metrics"],
            }
            for name, records in self.runs.items()
            for record in records
            for row in table_rows(record)
        ]


def compare(
    task: Task | str,
    optimizers: Sequence[str] = ("sgd", "adam", "adal"),
    *,
    n_steps: int,
    probe_steps: Sequence[int],
    n_minibatches: int = 1024,
    batch_size: int = 32,
    seeds: Sequence[int] = (0, 1, 2),
    views: Sequence[str] = VIEWS,
    groups: GroupSpec = "all",
    reference: str = "auto",
    learning_rates: Mapping[str, float] | None = None,
    device: str | None = None,
    out: str | Path | None = None,
    resume: bool = True,
    on_progress: Progress | None = None,
) -> Comparison:
    """Train a task under several optimizers and measure the noise on the way.

    For one seed all optimizers start from the same weights and see the same minibatches in the
    same order. Probes leave training as it was, bit for bit, so an interrupted comparison is
    resumed by training again and measuring only what is missing. The group ``all`` is judged at the
    last probed step; :func:`noise_lens.judge` takes any sketch of the run folder.

    Parameters
    ----------
    task : Task or str
        What to train; its model must be a factory and its data a map-style dataset.
    optimizers : sequence of str
        Names that :func:`noise_lens.optim.names` lists.
    n_steps : int
        Training steps.
    probe_steps : sequence of int
        Steps at which to measure, in [0, n_steps]; 0 is before the first step.
    n_minibatches, batch_size : int
        Of each probe; training uses `batch_size` too.
    seeds : sequence of int
        One run of every optimizer each.
    views, groups, reference
        As for :func:`noise_lens.measure`.
    learning_rates : mapping of str to float, optional
        By optimizer; :func:`noise_lens.optim.default_learning_rate` otherwise.
    device : str, optional
        Where to compute.
    out : str or Path, optional
        Write a comparison folder there, a run a sub-folder.
    resume : bool
        Continue a folder that holds the same comparison.
    on_progress : callable, optional
        Called with (what, done, total).

    Returns
    -------
    Comparison
        Records of all runs.

    Raises
    ------
    ValueError
        An optimizer is unknown, or a number is out of range.
    CaptureError
        The task has a built module or a stream, or its gradients cannot be captured as asked.
    NoiseLensError
        Another of its children, by what is wrong: the task, the folder.
    """
    check_views(views)
    task = load_task(task) if isinstance(task, str) else task
    if isinstance(task.model, nn.Module):
        raise CaptureError(
            f"the task {task.name!r} has a built module; compare needs a factory, so that every "
            "run starts anew. Give a function that returns the model."
        )
    if isinstance(minibatches_of(task.data), StreamMinibatches):
        raise CaptureError(
            f"the data of task {task.name!r} is a stream; compare gives every optimizer the same "
            "minibatches, and probes must take none from training. Give a map-style dataset."
        )
    rates = _learning_rates(optimizers, learning_rates or {})
    steps = _checked_steps(n_steps, probe_steps, seeds)
    settings = {
        "task": task.name,
        "task_arguments": json_ready(task.arguments),
        "optimizers": list(optimizers),
        "learning_rates": rates,
        "n_steps": n_steps,
        "probe_steps": steps,
        "n_minibatches": n_minibatches,
        "batch_size": batch_size,
        "seeds": list(seeds),
        "views": list(views),
        "groups": json_ready(groups),
        "reference": reference,
        "mode": "train",
    }
    folder = None if out is None else Path(out)
    parent = None
    if folder is not None:
        parent = RunWriter(folder, manifest_of("comparison", settings, None), resume=resume)
    session = _Session(task, settings, n_minibatches, batch_size, groups, reference, device, steps)
    runs: dict[str, list[dict[str, Any]]] = {}
    diverged: dict[str, int] = {}
    plan = [(name, seed) for seed in seeds for name in optimizers]
    for index, (name, seed) in enumerate(plan):
        label = f"{name}-s{seed}"
        if on_progress is not None:
            on_progress("runs", index, len(plan))
        records, lost_at = session.run(name, seed, rates[name], parent, on_progress)
        runs[label] = records
        if lost_at is not None:
            diverged[label] = lost_at
    if on_progress is not None:
        on_progress("runs", len(plan), len(plan))
    if parent is not None:
        parent.close(status="finished", diverged=diverged)
    return Comparison(runs, diverged, folder, settings)


@dataclass(frozen=True)
class _Session:
    """What all runs of a comparison share."""

    task: Task
    settings: Mapping[str, Any]
    n_minibatches: int
    batch_size: int
    groups: GroupSpec
    reference: str
    device: str | None
    probe_steps: Sequence[int]

    def run(
        self,
        name: str,
        seed: int,
        learning_rate: float,
        parent: RunWriter | None,
        on_progress: Progress | None,
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Train and probe one optimizer and seed; returns records and the step of divergence."""
        settings = {
            **{k: v for k, v in self.settings.items() if k not in ("optimizers", "seeds")},
            "learning_rates": {name: learning_rate},
            "optimizer": name,
            "seed": seed,
        }
        done: dict[int, list[dict[str, Any]]] = {}
        writer = None
        if parent is not None:
            folder = parent.folder / f"{name}-s{seed}"
            if (folder / "close.json").exists():
                there = read_run(folder)
                if there.manifest.get("settings") == settings and there.closed is not None:
                    return there.records, there.closed.get("diverged_at")
        model = self.task.build_model(seed)
        place(model, self.task, self.device)
        if parent is not None:
            writer = RunWriter(folder, manifest_of("run", settings, model), resume=True)
            begun = (folder / "manifest.json").exists()
            for record in read_run(folder).records if begun else ():
                done.setdefault(record["step"], []).append(record)

        optimizer = optim.create(name, model.parameters(), lr=learning_rate)
        data = minibatches_of(self.task.data)
        n_steps = self.settings["n_steps"]
        batches = data.draw(n_steps, self.batch_size, derived_seed(seed, "training"))
        lost_at = None
        with _own_randomness(derived_seed(seed, "training model")):
            for step in range(n_steps + 1):
                if step in self.probe_steps and step not in done:
                    try:
                        measurement = self._probe(model, data, seed, step, settings)
                    except DivergedError:
                        if step == 0:
                            raise  # not training's doing
                        lost_at = step
                        break
                    done[step] = measurement.records
                    if writer is not None and parent is not None:
                        parent.begin()
                        measurement.write_to(writer)
                if step < n_steps:
                    _train_step(model, self.task, optimizer, next(batches))
                if on_progress is not None and step % 20 == 0:
                    on_progress(f"{name}, seed {seed}", step, n_steps)
        if writer is not None:
            writer.close(status="finished" if lost_at is None else "diverged", diverged_at=lost_at)
        return [record for step in sorted(done) for record in done[step]], lost_at

    def _probe(
        self,
        model: nn.Module,
        data: Minibatches,
        seed: int,
        step: int,
        settings: Mapping[str, Any],
    ) -> Measurement:
        return take(
            model,
            self.task.loss,
            data,
            manifest=manifest_of("run", settings, model),
            n_minibatches=self.n_minibatches,
            batch_size=self.batch_size,
            reference=self.reference,
            groups=self.groups,
            mode="train",
            # The same minibatches for every optimizer, others at every step.
            seed=derived_seed(seed, "probe", str(step)),
            sketch_seed=seed,
            step=step,
            metrics=evaluate(model, self.task),
            # One test a run; other steps and groups are judged when a report asks for them.
            judged=("all",) if step == self.probe_steps[-1] else (),
        )


def _train_step(model: nn.Module, task: Task, optimizer: torch.optim.Optimizer, batch: Any) -> None:
    device = next(model.parameters()).device
    optimizer.zero_grad(set_to_none=True)
    task.loss(model, to_device(batch, device)).backward()  # type: ignore[no-untyped-call]
    optimizer.step()


@contextmanager
def _own_randomness(seed: int) -> Iterator[None]:
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - datasets may draw from it
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002


def _learning_rates(names: Sequence[str], given: Mapping[str, float]) -> dict[str, float]:
    if isinstance(names, str) or not names or len(set(names)) != len(names):
        raise ValueError(f"optimizers must be one or more different names, got {names!r}")
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ValueError(
            f"learning_rates names {', '.join(unknown)}, but the optimizers are {', '.join(names)}"
        )
    return {name: float(given.get(name, optim.default_learning_rate(name))) for name in names}


def _checked_steps(n_steps: int, probe_steps: Sequence[int], seeds: Sequence[int]) -> list[int]:
    if n_steps < 1:
        raise ValueError(f"n_steps must be at least 1, got {n_steps}")
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds must be one or more different numbers, got {list(seeds)}")
    steps = sorted(set(map(int, probe_steps)))
    if not steps or steps[0] < 0 or steps[-1] > n_steps:
        raise ValueError(
            f"probe_steps must lie in [0, n_steps={n_steps}] and not be empty, got {steps}"
        )
    return steps
