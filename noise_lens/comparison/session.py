"""One run of a comparison: training, probed on the way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from noise_lens import optim
from noise_lens.capture.groups import GroupSpec
from noise_lens.capture.reference import Minibatches
from noise_lens.capture.seeding import derived_seed
from noise_lens.capture.views.transformed import transforms
from noise_lens.comparison.labels import create_labelled
from noise_lens.comparison.result import run_settings
from noise_lens.comparison.training import own_randomness, train_step
from noise_lens.errors import DivergedError
from noise_lens.evaluation import evaluate
from noise_lens.measurement import Measurement, Progress, manifest_of, take
from noise_lens.merging import read_run
from noise_lens.run import RunWriter
from noise_lens.tasks import Task, minibatches_of
from noise_lens.tasks.placement import place

_LARGEST_RISE = 1000.0
"""Times the loss of the initial weights: a run above it has diverged, also if it stays finite."""

Records = list[dict[str, Any]]


@dataclass(frozen=True)
class Session:
    """What all runs of a comparison share; see :func:`noise_lens.compare`."""

    task: Task
    settings: dict[str, Any]
    n_minibatches: int
    batch_size: int
    views: Sequence[str]
    beta: float
    groups: GroupSpec
    reference: str
    published: bool
    device: str | None
    probe_steps: Sequence[int]

    def run(
        self, name: str, seed: int, parent: RunWriter | None, on_progress: Progress | None
    ) -> tuple[Records, int | None]:
        """Train and probe one optimizer with one seed.

        Parameters
        ----------
        name : str
            Of the optimizer.
        seed : int
            Of weights, minibatches and probes.
        parent : RunWriter or None
            Of the comparison; the run is a folder in it. What is finished there is read.
        on_progress : callable or None
            Called with (what, done, total).

        Returns
        -------
        records : list of dict
            By step, view and group.
        lost_at : int or None
            The step at which the loss was found not to be finite, or above 1,000 times that of
            the initial weights.

        Raises
        ------
        DivergedError
            It is not finite at the initial weights, which is not training's doing.
        """
        settings = run_settings(self.settings, name, seed)
        done: dict[int, dict[str, Records]] = {}
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
                at = done.setdefault(record["step"], {})
                at.setdefault(record["view"], []).append(record)

        rate = settings["learning_rates"][name]
        optimizer = create_labelled(name, model.parameters(), lr=rate)
        views = tuple(v for v in self.views if v != "transformed" or transforms(optimizer))
        data = minibatches_of(self.task.data)
        n_steps = self.settings["n_steps"]
        batches = data.draw(n_steps, self.batch_size, derived_seed(seed, "training"))
        lost_at = None
        largest = _LARGEST_RISE * evaluate(model, self.task).get("train/loss", math.inf)
        with own_randomness(derived_seed(seed, "training model")):
            for step in range(n_steps + 1):
                missing = [view for view in views if view not in done.get(step, {})]
                if step in self.probe_steps and missing:
                    try:
                        metrics = self._metrics(model, largest)
                        measurement = self._probe(
                            model, optimizer, data, seed, step, settings, views, metrics
                        )
                    except DivergedError:
                        if step == 0:
                            raise
                        lost_at = step
                        break
                    done[step] = {v: part.records for v, part in measurement.views.items()}
                    if writer is not None and parent is not None:
                        parent.begin()
                        measurement.write_to(writer)
                if step < n_steps:
                    train_step(model, self.task, optimizer, next(batches))
                if on_progress is not None and step % 20 == 0:
                    on_progress(f"{name}, seed {seed}", step, n_steps)
        if writer is not None:
            writer.close(status="finished" if lost_at is None else "diverged", diverged_at=lost_at)
        records = [
            record
            for step in sorted(done)
            for view in sorted(done[step])
            for record in done[step][view]
        ]
        return records, lost_at

    def _metrics(self, model: nn.Module, largest: float) -> dict[str, float]:
        """Return loss and metrics of the weights, if training has not blown up."""
        found = evaluate(model, self.task)
        loss = found.get("train/loss", 0.0)
        if not loss <= largest:  # also where it is NaN
            raise DivergedError(f"the training loss is {loss:g}, more than {largest:g}")
        return found

    def _probe(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        data: Minibatches,
        seed: int,
        step: int,
        settings: Mapping[str, Any],
        views: Sequence[str],
        metrics: Mapping[str, float],
    ) -> Measurement:
        own = optim.first_moment_decay(optimizer)
        return take(
            model,
            self.task.loss,
            data,
            manifest=manifest_of("run", settings, model),
            views=views,
            optimizer=optimizer,
            # An optimizer that averages nothing shows what averaging alone does to its noise.
            beta=own or self.beta,
            published=self.published,
            n_minibatches=self.n_minibatches,
            batch_size=self.batch_size,
            reference=self.reference,
            groups=self.groups,
            mode="train",
            # The same minibatches for every optimizer, others at every step.
            seed=derived_seed(seed, "probe", str(step)),
            sketch_seed=seed,
            step=step,
            metrics=metrics,
            # One test a run; other steps and groups are judged when a report asks for them.
            judged=("all",) if step == self.probe_steps[-1] else (),
        )
