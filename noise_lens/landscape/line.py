"""The loss along the straight line between two sets of weights (Zhou et al., 2020, figure 3)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from noise_lens.capture.gradients import to_device
from noise_lens.capture.preserve import preserved
from noise_lens.errors import CaptureError, DivergedError
from noise_lens.evaluation import evaluate
from noise_lens.landscape.weights import Weights, model_at, name_of_weights
from noise_lens.tasks import Task, load_task, minibatches_of

_BATCH = 512
_ROUNDING = 1e-6

Buffers = Literal["recomputed", "interpolated"]


@dataclass(frozen=True)
class LossLine:
    """Losses on the line ``(1 - t) first + t second``, in eval mode.

    Attributes
    ----------
    task : str
        Its name.
    first, second : str
        Names of the weights at t = 0 and t = 1.
    fractions : ndarray of shape (n,)
        The points t, rising; 0 and 1 are among them.
    train : ndarray of shape (n,)
        Training loss; inf where it overflowed or was NaN.
    test : ndarray of shape (n,) or None
        Test loss, where the task has test data.
    metrics : dict of str to ndarray
        The task's own, such as ``test/accuracy``.
    distance : float
        Euclidean, between the two sets of weights.
    batch_norm : str
        What was done to BatchNorm's statistics: "none there", "recomputed" or "interpolated".
    """

    task: str
    first: str
    second: str
    fractions: NDArray[np.float64]
    train: NDArray[np.float64]
    test: NDArray[np.float64] | None
    metrics: dict[str, NDArray[np.float64]]
    distance: float
    batch_norm: str

    @property
    def ends(self) -> tuple[float, float]:
        """Training loss at both ends."""
        return self._at(0.0), self._at(1.0)

    @property
    def barrier(self) -> float:
        """How far the loss rises above the *larger* end, anywhere between; 0 if it does not."""
        return self._rise(max(self.ends))

    @property
    def excess(self) -> float:
        """How far the loss rises above the chord, the straight line between the ends' losses.

        The barrier of the literature on linear mode connectivity; never below 0, and positive
        also where a concave loss only falls.
        """
        inside = self._inside
        low, high = self.ends
        chord = (1 - self.fractions[inside]) * low + self.fractions[inside] * high
        return float(max(0.0, (self.train[inside] - chord).max()))

    @property
    def rise_from_first(self) -> float:
        """What must be climbed from the first weights to get to the second: an escape's barrier."""
        return self._rise(self.ends[0])

    @property
    def rise_from_second(self) -> float:
        """What must be climbed from the second weights to get to the first."""
        return self._rise(self.ends[1])

    @property
    def ridge(self) -> float:
        """The highest ridge between the ends: what any way along the line must climb over.

        The largest, over points, of the smaller of the rises above the lowest loss before it and
        the lowest loss after it. 0 where the loss only falls, only rises, or falls and then rises.
        Never below `barrier`; above it where ends lie higher than the minima between them.
        """
        return max(0.0, float(self._ridges.max()))

    @property
    def ridge_at(self) -> float:
        """The t of the highest ridge; NaN where there is none."""
        if self.one_basin:
            return math.nan
        return float(self.fractions[self._inside][self._ridges.argmax()])

    @property
    def one_basin(self) -> bool:
        """Whether no ridge lies between the ends, up to rounding.

        True says that *this* line has none at these points, and nothing of whether an end is a
        minimum. False does not say that there are two basins: a bent path may go around the ridge.
        """
        inside = self.train[self._inside]
        return self.ridge <= self._rounding(np.abs(inside[np.isfinite(inside)]).max())

    def __str__(self) -> str:
        first, second = self.ends
        points = int(self._inside.sum())
        head = (
            f"{self.task}: training loss {first:.4g} at {self.first}, {second:.4g} at "
            f"{self.second}, {self.distance:.3g} apart; highest between them "
            f"{self.train[self._inside].max():.4g}"
        )
        if self.one_basin:
            return f"{head}: no ridge on this line at {points} points"
        bent = "a bent path may have a lower one"
        ridge = (
            f"{self.ridge:.4g} above the lowest points on both its sides (t = {self.ridge_at:.3g})"
        )
        if self.barrier <= self._rounding(max(map(abs, self.ends))):
            return (
                f"{head}: a ridge on this line, {ridge}, though no point is higher than both ends; "
                f"{bent}"
            )
        return (
            f"{head}: a barrier of {self.barrier:.4g} above the larger end, on this line, and a "
            f"ridge {ridge}; {bent}"
        )

    @property
    def _ridges(self) -> NDArray[np.float64]:
        """Return each point's rise above the lowest before and after it, the smaller of the two."""
        inside = self.train[self._inside]
        before = np.minimum.accumulate(inside)
        after = np.minimum.accumulate(inside[::-1])[::-1]
        # The ends are finite, so both lowest are, where a loss has overflowed.
        return np.asarray(inside - np.maximum(before, after))

    @staticmethod
    def _rounding(level: float) -> float:
        return _ROUNDING * float(level)

    @property
    def _inside(self) -> NDArray[np.bool_]:
        return np.asarray((self.fractions >= 0) & (self.fractions <= 1))

    def _at(self, fraction: float) -> float:
        return float(self.train[int(np.abs(self.fractions - fraction).argmin())])

    def _rise(self, level: float) -> float:
        return float(max(0.0, self.train[self._inside].max() - level))


def loss_along_line(
    task: Task | str,
    first: Weights,
    second: Weights,
    *,
    n_points: int = 41,
    beyond: float = 0.0,
    buffers: Buffers = "recomputed",
    device: str | None = None,
) -> LossLine:
    """Return losses along the straight line between two sets of weights.

    Parameters and other floating buffers are interpolated. BatchNorm's running statistics are
    recomputed at every point, the ends included, from the training data with only those modules
    in train mode: interpolated ones belong to no network on the line, and make barriers that are
    not there. The weights that were given are not touched.

    Parameters
    ----------
    task : Task or str
        A task, a built-in name, or ``pkg.module:callable``.
    first, second : str or Path or torch.nn.Module
        Checkpoints, or models that hold the weights.
    n_points : int
        From end to end, both included; at least 3.
    beyond : float
        How far to go on behind both ends, in units of their distance, with the same spacing.
    buffers : {"recomputed", "interpolated"}
        Of BatchNorm's statistics.
    device : str, optional
        Where to compute; a GPU if there is one.

    Returns
    -------
    LossLine
        Training loss, and where there is test data its loss; the task's metrics.

    Raises
    ------
    CaptureError
        A number is out of range, or the training data is a stream.
    DivergedError
        The loss of an end is not finite.
    CheckpointError
        A checkpoint cannot be read or does not fit.
    """
    if n_points < 3 or not (math.isfinite(beyond) and beyond >= 0):
        raise CaptureError(
            f"a line needs n_points >= 3 and beyond >= 0, got n_points={n_points}, beyond={beyond}"
        )
    if buffers not in ("recomputed", "interpolated"):
        raise CaptureError(f"buffers must be 'recomputed' or 'interpolated', got {buffers!r}")
    task = load_task(task) if isinstance(task, str) else task
    if minibatches_of(task.data).n_examples is None:
        raise CaptureError(
            f"the data of task {task.name!r} is a stream, which has no whole loss. Give a task "
            "with a map-style dataset."
        )
    start, end = (model_at(task, weights, device=device) for weights in (first, second))
    between = model_at(task, first, device=device)
    fractions = _fractions(n_points, beyond)
    norms = [m for m in between.modules() if _keeps_statistics(m)]
    rows = []
    for fraction in fractions:
        _interpolate(between, start, end, float(fraction))
        if norms and buffers == "recomputed":
            _recompute(between, norms, task)
        rows.append(evaluate(between, task))
    found = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    # A loss that overflowed is higher than any other.
    found |= {k: np.where(np.isnan(v), np.inf, v) for k, v in found.items() if k.endswith("/loss")}
    for name, fraction in ((first, 0.0), (second, 1.0)):
        loss = found["train/loss"][int(np.abs(fractions - fraction).argmin())]
        if not math.isfinite(loss):
            raise DivergedError(
                f"the training loss of task {task.name!r} at {name_of_weights(name)} is not "
                "finite: a line from there says nothing. Give an earlier checkpoint."
            )
    return LossLine(
        task=task.name,
        first=name_of_weights(first),
        second=name_of_weights(second),
        fractions=fractions,
        train=found.pop("train/loss"),
        test=found.pop("test/loss", None),
        metrics=found,
        distance=_distance(start, end),
        batch_norm=buffers if norms else "none there",
    )


def _fractions(n_points: int, beyond: float) -> NDArray[np.float64]:
    steps = n_points - 1
    more = math.floor(beyond * steps + 1e-9)
    # From whole numbers: 0 and 1 are exact.
    return np.arange(-more, steps + more + 1) / steps


def _distance(start: nn.Module, end: nn.Module) -> float:
    pairs = zip(start.parameters(), end.parameters(), strict=True)
    with torch.no_grad():
        return math.sqrt(sum(float((a.double() - b.double()).square().sum()) for a, b in pairs))


def _interpolate(between: nn.Module, start: nn.Module, end: nn.Module, fraction: float) -> None:
    with torch.no_grad():
        for own, first, second in zip(*map(_tensors, (between, start, end)), strict=True):
            if fraction in (0.0, 1.0) or not (own.is_floating_point() or own.is_complex()):
                own.copy_(first if fraction < 0.5 else second)  # a count has no half
            else:
                wide = torch.complex128 if own.is_complex() else torch.float64
                own.copy_((1 - fraction) * first.to(wide) + fraction * second.to(wide))


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    yield from model.parameters()
    yield from model.buffers()


def _keeps_statistics(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.modules.batchnorm._NormBase)
        and getattr(module, "running_mean", None) is not None
    )


def _recompute(model: nn.Module, norms: list[nn.Module], task: Task) -> None:
    """Put the mean statistics of the training data's minibatches into the norms."""
    device = next(model.parameters()).device
    momenta = [norm.momentum for norm in norms]
    flags = {name: module in norms for name, module in model.named_modules()}
    kept: list[dict[str, Tensor]] = []
    with preserved(model, flags, seed=0), torch.no_grad():
        for norm in norms:
            norm.reset_running_stats()  # type: ignore[operator]
            norm.momentum = None  # type: ignore[assignment] # None is a plain mean
        try:
            for batch, _ in minibatches_of(task.data).whole(_BATCH):
                task.loss(model, to_device(batch, device))
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
        kept = [{key: b.clone() for key, b in norm.named_buffers()} for norm in norms]
    for norm, statistics in zip(norms, kept, strict=True):  # `preserved` has put the old ones back
        for key, buffer in norm.named_buffers():
            buffer.data.copy_(statistics[key])
