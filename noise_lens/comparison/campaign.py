"""Train a task under several optimizers and measure the noise on the way."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from noise_lens import optim
from noise_lens.capture.groups import GroupSpec
from noise_lens.capture.views import check_views, needs_beta
from noise_lens.capture.views.transformed import transforms
from noise_lens.comparison.labels import create_labelled, default_rate
from noise_lens.comparison.result import Comparison
from noise_lens.comparison.session import Records, Session
from noise_lens.comparison.tuning import Grid, at_the_edge, best_rates, grid_of, tune
from noise_lens.errors import CaptureError
from noise_lens.measurement import Progress, json_ready, manifest_of
from noise_lens.run import RunWriter
from noise_lens.tasks import StreamMinibatches, Task, load_task, minibatches_of

_USUAL_BETA = 0.9


def compare(
    task: Task | str,
    optimizers: Sequence[str] = ("sgd", "adam", "adal"),
    *,
    n_steps: int,
    probe_steps: Sequence[int],
    n_minibatches: int = 1024,
    batch_size: int = 32,
    seeds: Sequence[int] = (0, 1, 2),
    views: Sequence[str] = ("gradient",),
    groups: GroupSpec = "all",
    reference: str = "auto",
    learning_rates: Mapping[str, float] | None = None,
    tuning: bool | Grid = False,
    baseline: str | None = None,
    published: bool = False,
    device: str | None = None,
    out: str | Path | None = None,
    resume: bool = True,
    on_progress: Progress | None = None,
) -> Comparison:
    """Train a task under several optimizers and measure the noise on the way.

    For one seed all optimizers start from the same weights and see the same minibatches in the
    same order, and probes at a step draw the same minibatches at the same coordinates: what
    differs is what the optimizer made of the weights. The probe of step k comes after k optimizer
    steps and before the next. Probes leave training as it was, bit for bit, so an interrupted
    comparison is resumed by training again and measuring only what is missing. The group ``all``
    is judged at the last probed step; :func:`noise_lens.judge` takes any sketch of the run folder.

    Parameters
    ----------
    task : Task or str
        What to train; its model must be a factory and its data a map-style dataset.
    optimizers : sequence of str
        Names that :func:`noise_lens.optim.names` lists, with options after them if they are not
        the defaults: ``padam@p=0.125``.
    n_steps : int
        Training steps.
    probe_steps : sequence of int
        Steps at which to measure, in [0, n_steps]; 0 is before the first step.
    n_minibatches, batch_size : int
        Of each probe; training uses `batch_size` too.
    seeds : sequence of int
        One run of every optimizer each; a difference is claimed from five on.
    views : sequence of str
        As for :func:`noise_lens.measure`, each of the run's own optimizer in its present state.
        The averages of an optimizer that has none (SGD) have the decay of the others, 0.9 as a
        rule: what averaging alone does to its noise. "transformed" is measured where it exists.
    groups : str or sequence of str or mapping of str to str
        As for :func:`noise_lens.measure`.
    reference : {"auto", "full", "pair", "mean"}
        As for :func:`noise_lens.measure`, one for all runs and views: "auto" is "pair" where a
        view of any of the optimizers needs it.
    learning_rates : mapping of str to float, optional
        By optimizer; :func:`noise_lens.optim.default_learning_rate` otherwise.
    tuning : bool or mapping of str to sequence of float
        Choose learning rates by the loss on a fifth of the training data, held out for this alone,
        after `n_steps` steps of one run each: from the grid given for an optimizer, or for True
        from 0.1, 0.3, 1, 3 and 10 times each default. The comparison then trains on all of it.
    baseline : str, optional
        What differences are taken from: "sgd" if it is there, else the first.
    published : bool
        Also compute the pooled estimator of the literature at every probe, from the same noise.
    device : str, optional
        Where to compute.
    out : str or Path, optional
        Write a comparison folder there, a run a sub-folder.
    resume : bool
        Continue a folder that holds the same comparison, also one of fewer seeds.
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
    _check_task(task)
    optimizers, seeds = _checked_names(optimizers), list(seeds)
    given = _learning_rates(optimizers, learning_rates or {})
    _check_views_of(views, optimizers)
    grid = grid_of(optimizers, tuning)
    if both := sorted(set(grid) & set(learning_rates or {})) if tuning is not True else []:
        raise ValueError(f"learning_rates and tuning both name {', '.join(both)}; name it in one")
    grid = {name: rates for name, rates in grid.items() if name not in (learning_rates or {})}
    if baseline is not None and baseline not in optimizers:
        raise ValueError(f"baseline must be one of {', '.join(optimizers)}; got {baseline!r}")
    steps = _checked_steps(n_steps, probe_steps, seeds)
    settings = {
        "task": task.name,
        "task_arguments": json_ready(task.arguments),
        "n_examples": minibatches_of(task.data).n_examples,
        "optimizers": optimizers,
        "baseline": baseline or ("sgd" if "sgd" in optimizers else optimizers[0]),
        "learning_rates": {name: rate for name, rate in given.items() if name not in grid},
        "tuning": grid,
        "n_steps": n_steps,
        "probe_steps": steps,
        "n_minibatches": n_minibatches,
        "batch_size": batch_size,
        "seeds": seeds,
        "views": list(views),
        "groups": json_ready(groups),
        "reference": _common_reference(reference, views, optimizers),
        "published": published,
        "mode": "train",
    }
    folder = None if out is None else Path(out)
    parent = None
    if folder is not None:
        manifest = manifest_of("comparison", settings, None)
        parent = RunWriter(folder, manifest, resume=resume, may_grow=("seeds",))
    losses = {}
    if grid:
        if parent is not None:
            parent.begin()
        losses = tune(
            task, grid, n_steps=n_steps, batch_size=batch_size, device=device,
            path=None if folder is None else folder / "tuning.json", on_progress=on_progress,
        )  # fmt: skip
        best = best_rates(losses)
        settings = {**settings, "learning_rates": {**given, **best}}
        if edges := at_the_edge(losses, best):
            warnings.warn(
                f"the best learning rate of {', '.join(edges)} is at the end of its grid: a better "
                "one may lie outside. Give a wider grid for it.",
                stacklevel=2,
            )
    session = Session(
        task=task,
        settings=settings,
        n_minibatches=n_minibatches,
        batch_size=batch_size,
        views=views,
        beta=_averaging_beta(optimizers) if needs_beta(views) else 0.0,
        groups=groups,
        reference=str(settings["reference"]),
        published=published,
        device=device,
        probe_steps=steps,
    )
    runs: dict[str, Records] = {}
    diverged: dict[str, int] = {}
    plan = [(name, seed) for seed in seeds for name in optimizers]
    for index, (name, seed) in enumerate(plan):
        label = f"{name}-s{seed}"
        if on_progress is not None:
            on_progress("runs", index, len(plan))
        records, lost_at = session.run(name, seed, parent, on_progress)
        runs[label] = records
        if lost_at is not None:
            diverged[label] = lost_at
    if on_progress is not None:
        on_progress("runs", len(plan), len(plan))
    if parent is not None:
        facts: dict[str, Any] = {"learning_rates": settings["learning_rates"]}
        parent.close(status="finished", diverged=diverged, **facts)
    return Comparison(runs, diverged, folder, settings, losses)


def _check_task(task: Task) -> None:
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


def _checked_names(names: Sequence[str]) -> list[str]:
    if isinstance(names, str) or not names or len(set(names)) != len(names):
        raise ValueError(f"optimizers must be one or more different names, got {names!r}")
    for name in names:
        create_labelled(name, [nn.Parameter(torch.zeros(1))])  # raises for what is not known
    return list(names)


def _learning_rates(names: Sequence[str], given: Mapping[str, float]) -> dict[str, float]:
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ValueError(
            f"learning_rates names {', '.join(unknown)}, but the optimizers are {', '.join(names)}"
        )
    rates = {name: float(given.get(name, default_rate(name))) for name in names}
    for name, rate in rates.items():
        # Raises for a rate that is out of range, before anything is written.
        create_labelled(name, [nn.Parameter(torch.zeros(1))], lr=rate)
    return rates


def _check_views_of(views: Sequence[str], names: Sequence[str]) -> None:
    if tuple(views) == ("transformed",):
        own = [n for n, one in zip(names, _examples(names), strict=True) if not transforms(one)]
        if own:
            raise CaptureError(
                f"the view 'transformed' is of optimizers that change gradients before their "
                f"moments, such as adal; {', '.join(own)} would have no view. Add 'gradient'."
            )


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


def _examples(names: Sequence[str]) -> list[torch.optim.Optimizer]:
    return [create_labelled(name, [nn.Parameter(torch.zeros(1))]) for name in names]


def _averaging_beta(names: Sequence[str]) -> float:
    """Return the decay that most optimizers have which average at all."""
    decays = Counter(filter(None, map(optim.first_moment_decay, _examples(names))))
    return decays.most_common(1)[0][0] if decays else _USUAL_BETA


def _common_reference(asked: str, views: Sequence[str], names: Sequence[str]) -> str:
    """Return one reference for all runs: across references numbers do not compare."""
    if asked != "auto":
        return asked
    bent = {"update", "transformed"} & set(views)
    if "momentum" in views and any(map(transforms, _examples(names))):
        bent = {"momentum"}
    return "pair" if bent else "auto"
