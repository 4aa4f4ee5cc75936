"""Tails of weights against step size over batch size, by training with plain SGD."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import nn

from noise_lens.capture.gradients import to_device
from noise_lens.capture.preserve import preserved
from noise_lens.capture.seeding import derived_seed
from noise_lens.errors import CaptureError
from noise_lens.evaluation import evaluate
from noise_lens.landscape._weight_tails import TrainedTail, weight_tails
from noise_lens.tasks import StreamMinibatches, Task, load_task, minibatches_of
from noise_lens.tasks.placement import place

_CHECK_EVERY = 100
_LARGEST_RISE = 1000.0
"""Times the loss of the initial weights: above it a run has diverged, also if it stays finite."""
_LEAST_GAIN = 0.95
"""Times the same: a run that ends above it has learned nothing; as a rule its units are dead."""


@dataclass(frozen=True)
class _Trained:
    model: nn.Module
    status: str
    loss: float


def weight_tails_over_steps(
    task: Task | str,
    step_sizes: Sequence[float],
    batch_sizes: Sequence[int],
    *,
    n_steps: int = 10_000,
    average_last: int = 1000,
    seeds: Sequence[int] = (0, 1, 2),
    device: str | None = None,
    on_run: Callable[[int, int], None] | None = None,
) -> list[TrainedTail]:
    """Train with plain SGD over a grid and return the tails of the averaged last iterates.

    The experiment of Gurbuzbalaban et al. (2021) on deep networks: no momentum, no weight decay,
    iterates averaged weight by weight over the last steps, every layer centred by its mean. For
    one seed all cells start from the same weights, which are also a row: the null.

    Parameters
    ----------
    task : Task or str
        Its model must be a factory and its data map-style.
    step_sizes : sequence of float
        Positive.
    batch_sizes : sequence of int
        At least 1.
    n_steps : int
        Training steps.
    average_last : int
        Iterates that are averaged, at most `n_steps`.
    seeds : sequence of int
        One training a cell each.
    device : str, optional
        Where to compute.
    on_run : callable, optional
        Called with (done, total) after each training.

    Returns
    -------
    list of TrainedTail
        One a seed, cell and layer; the initial weights have step size 0 and batch size 1.

    Raises
    ------
    CaptureError
        A number is out of range, or the task has a built module or a stream.
    """
    task = load_task(task) if isinstance(task, str) else task
    if not (step_sizes and batch_sizes and seeds) or min(step_sizes) <= 0 or min(batch_sizes) < 1:
        raise CaptureError(
            "weight_tails_over_steps needs step sizes above 0, batch sizes of at least 1 and "
            f"seeds; got {list(step_sizes)}, {list(batch_sizes)} and {list(seeds)}"
        )
    if not 1 <= average_last <= n_steps:
        raise CaptureError(f"average_last must lie in [1, n_steps={n_steps}], got {average_last}")
    if isinstance(task.model, nn.Module) or isinstance(
        minibatches_of(task.data), StreamMinibatches
    ):
        raise CaptureError(
            f"the task {task.name!r} has a built module or a stream; every training of the grid "
            "begins anew. Give a model factory and a map-style dataset."
        )
    plan = [(0.0, 1, seed) for seed in seeds]
    plan += [(s, b, seed) for seed, s, b in product(seeds, step_sizes, batch_sizes)]
    rows: list[TrainedTail] = []
    for number, (step_size, batch_size, seed) in enumerate(plan, start=1):
        steps = n_steps if step_size else 0
        trained = _train(task, step_size, batch_size, steps, average_last, seed, device)
        rows += _rows(trained, step_size, batch_size, seed)
        if on_run is not None:
            on_run(number, len(plan))
    return rows


def _rows(trained: _Trained, step_size: float, batch_size: int, seed: int) -> list[TrainedTail]:
    own = (step_size, batch_size, seed, trained.status, trained.loss)
    layers = [name for name, p in trained.model.named_parameters() if p.ndim >= 2]
    if any(not torch.isfinite(p).all() for p in trained.model.parameters()):
        return [TrainedTail(*own, None, name) for name in layers]
    return [TrainedTail(*own, tail, tail.tensor) for tail in weight_tails(trained.model)]


def _train(
    task: Task,
    step_size: float,
    batch_size: int,
    n_steps: int,
    average_last: int,
    seed: int,
    device: str | None,
) -> _Trained:
    model = task.build_model(seed)
    place(model, task, device)
    parameters: list[torch.Tensor] = [p for p in model.parameters() if p.requires_grad]
    where = parameters[0].device
    start = evaluate(model, task)["train/loss"]
    limit = _LARGEST_RISE * start
    sums = [torch.zeros_like(p, dtype=torch.float64) for p in parameters]
    batches = minibatches_of(task.data).draw(n_steps, batch_size, derived_seed(seed, "training"))
    status = "trained" if n_steps else "initial"
    # The caller's random states and ours do not meet.
    with preserved(model, "train", derived_seed(seed, "training model")):
        for step, batch in enumerate(batches):
            loss = task.loss(model, to_device(batch, where))
            gradients = torch.autograd.grad(loss, parameters)
            with torch.no_grad():
                torch._foreach_add_(parameters, gradients, alpha=-step_size)
                if step >= n_steps - average_last:
                    torch._foreach_add_(sums, tuple(parameters))
            if step % _CHECK_EVERY == 0 and not float(loss.detach()) <= limit:  # also NaN
                status = "diverged"
                break
        else:
            with torch.no_grad():
                for parameter, total in zip(parameters, sums if n_steps else (), strict=False):
                    parameter.copy_(total / average_last)
    loss_at_end = evaluate(model, task)["train/loss"]
    if not loss_at_end <= limit:
        status = "diverged"
    elif status == "trained" and loss_at_end > _LEAST_GAIN * start:
        status = "collapsed"
    finite = math.isfinite(loss_at_end)
    return _Trained(model, status, float(loss_at_end) if finite else math.inf)
