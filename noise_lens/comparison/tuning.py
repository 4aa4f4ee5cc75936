"""Learning rates by a small grid, on examples held out of training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset, TensorDataset

from noise_lens.capture.seeding import derived_seed
from noise_lens.comparison.labels import create_labelled, default_rate
from noise_lens.comparison.training import own_randomness, train_step
from noise_lens.errors import CaptureError
from noise_lens.evaluation import evaluate
from noise_lens.measurement import Progress
from noise_lens.run import read_json, write_json
from noise_lens.tasks import Task, minibatches_of
from noise_lens.tasks.placement import place

GRID_FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Of the default learning rate: the grid where none is given."""
HELD_OUT = 0.2
_SEED = 1000

Grid = Mapping[str, Sequence[float]]
Losses = dict[str, dict[str, float | None]]


def grid_of(names: Sequence[str], asked: bool | Grid) -> dict[str, list[float]]:
    """Return the learning rates to try, by optimizer.

    Parameters
    ----------
    names : sequence of str
        Optimizers.
    asked : bool or mapping of str to sequence of float
        True for `GRID_FACTORS` of each default; False for none.

    Returns
    -------
    dict of str to list of float
        Rising; empty where none is tuned.

    Raises
    ------
    ValueError
        A rate is not positive, or an optimizer is not among `names`.
    """
    if asked is False:
        return {}
    if asked is True:
        asked = {
            name: [float(f"{factor * default_rate(name):.3g}") for factor in GRID_FACTORS]
            for name in names
        }
    unknown = sorted(set(asked) - set(names))
    if unknown:
        raise ValueError(
            f"the grid names {', '.join(unknown)}, but the optimizers are {', '.join(names)}"
        )
    grid = {name: sorted(map(float, rates)) for name, rates in asked.items()}
    for name, rates in grid.items():
        if not rates or not all(0 < rate < math.inf for rate in rates):
            raise ValueError(f"the learning rates of {name} must be positive numbers, got {rates}")
    return grid


def held_out(task: Task) -> Task:
    """Return a task that trains on four fifths of the training data and is tested on the rest.

    Parameters
    ----------
    task : Task
        With a map-style dataset; its test data is not looked at.

    Returns
    -------
    Task
        The split is the same for every optimizer and rate.

    Raises
    ------
    CaptureError
        There are fewer than 10 examples.
    """
    source: Any = task.data.dataset if isinstance(task.data, DataLoader) else task.data
    n = minibatches_of(task.data).n_examples or 0
    if n < 10:
        raise CaptureError(
            f"tuning holds out {HELD_OUT:.0%} of the training data, and there are {n} examples. "
            "Name the learning rates instead."
        )
    order = np.random.default_rng(_SEED).permutation(n)
    n_held = max(1, int(HELD_OUT * n))

    def part(indices: np.ndarray[Any, Any]) -> Any:
        if type(source) is TensorDataset:
            rows = torch.from_numpy(indices)
            return TensorDataset(*(tensor[rows] for tensor in source.tensors))
        subset: Subset[Any] = Subset(source, indices.tolist())
        if isinstance(task.data, DataLoader):
            return DataLoader(subset, task.data.batch_size, collate_fn=task.data.collate_fn)
        return subset

    return replace(
        task, data=part(np.sort(order[n_held:])), test_data=part(np.sort(order[:n_held]))
    )


def tune(
    task: Task,
    grid: Grid,
    *,
    n_steps: int,
    batch_size: int,
    device: str | None,
    path: Path | None,
    on_progress: Progress | None,
) -> Losses:
    """Train once for every rate of the grid and return the losses on what was held out.

    Parameters
    ----------
    task : Task
        Of the comparison.
    grid : mapping of str to sequence of float
        From :func:`grid_of`.
    n_steps, batch_size : int
        Of training, as in the comparison.
    device : str or None
        Where to compute.
    path : Path or None
        ``tuning.json``: what is there is not trained again, and each result is kept at once.
    on_progress : callable or None
        Called with (what, done, total).

    Returns
    -------
    dict of str to dict of str to float or None
        Optimizer -> rate -> loss; None where it is not finite.
    """
    there: Losses = read_json(path)["losses"] if path is not None and path.exists() else {}
    split = held_out(task)
    plan = [(name, rate) for name, rates in grid.items() for rate in rates]
    for index, (name, rate) in enumerate(plan):
        if on_progress is not None:
            on_progress("learning rates", index, len(plan))
        own = there.setdefault(name, {})
        if f"{rate:g}" in own:
            continue
        loss = _loss_after(split, name, rate, n_steps, batch_size, device)
        own[f"{rate:g}"] = loss if math.isfinite(loss) else None
        if path is not None:
            write_json(path, {"losses": there, "held_out": HELD_OUT, "n_steps": n_steps})
    if on_progress is not None:
        on_progress("learning rates", len(plan), len(plan))
    return {name: {f"{r:g}": there[name][f"{r:g}"] for r in rates} for name, rates in grid.items()}


def best_rates(losses: Losses) -> dict[str, float]:
    """Return the rate with the smallest loss of each optimizer.

    Parameters
    ----------
    losses : dict
        From :func:`tune`.

    Returns
    -------
    dict of str to float
        By optimizer.

    Raises
    ------
    ValueError
        Every rate of an optimizer diverged.
    """
    best = {}
    for name, own in losses.items():
        finite = {rate: loss for rate, loss in own.items() if loss is not None}
        if not finite:
            raise ValueError(
                f"{name} diverged with every learning rate of its grid ({', '.join(own)}). "
                "Give smaller ones."
            )
        best[name] = float(min(finite, key=lambda rate: finite[rate]))
    return best


def at_the_edge(losses: Losses, rates: Mapping[str, float]) -> list[str]:
    """Return the optimizers whose best rate ends its grid: a better one may lie outside."""
    return [
        name
        for name, own in losses.items()
        if len(own) > 1 and rates[name] in (min(map(float, own)), max(map(float, own)))
    ]


def _loss_after(
    split: Task, name: str, rate: float, n_steps: int, batch_size: int, device: str | None
) -> float:
    model = split.build_model(_SEED)
    place(model, split, device)
    optimizer = create_labelled(name, model.parameters(), lr=rate)
    batches = minibatches_of(split.data).draw(n_steps, batch_size, derived_seed(_SEED, "training"))
    with own_randomness(derived_seed(_SEED, "training model")):
        for batch in batches:
            train_step(model, split, optimizer, batch)
    return evaluate(model, split)["test/loss"]
