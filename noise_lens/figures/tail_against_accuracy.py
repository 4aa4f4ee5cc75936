"""Tail index against accuracy, one point a seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from noise_lens.contrasts.quantities import with_gaps
from noise_lens.contrasts.trainings import trainings_of
from noise_lens.figures.style import Looks, axes_or_new, bars, looks_of, plain
from noise_lens.run import METHODS, Run


@dataclass(frozen=True)
class SeedPoint:
    """One run of an optimizer at one step.

    Attributes
    ----------
    optimizer : str
        Its name.
    seed : int
        Of the run.
    alpha, low, high : float
        Tail index, with the probe's own interval.
    value : float
        The metric.
    """

    optimizer: str
    seed: int
    alpha: float
    low: float
    high: float
    value: float

    @property
    def mean(self) -> float:
        """The tail index: an interval is drawn around it."""
        return self.alpha


def seed_points(
    run: Run,
    *,
    view: str = "gradient",
    of: str = "projections",
    group: str = "all",
    step: int | None = None,
    metric: str = "test/accuracy",
) -> list[SeedPoint]:
    """Return tail index and metric of every run of a comparison that did not diverge.

    Parameters
    ----------
    run : Run
        A comparison.
    view, of, group : str
        Which noise, rows and parameters.
    step : int, optional
        A probed step; the last of each run if not given.
    metric : str
        ``test/accuracy``, ``gap/accuracy``, ``test/loss``, ``gap/loss`` or ``train/loss``.

    Returns
    -------
    list of SeedPoint
        By optimizer and seed; runs that lack one of the two numbers are left out.
    """
    points = []
    for optimizer, trainings in trainings_of(run).items():
        for seed, training in trainings.items():
            at = max(training.steps, default=0) if step is None else step
            if training.diverged or at not in training.steps:
                continue
            alpha, low, high = (
                training.number(at, view, group, f"{of}_{METHODS[0]}_{name}")
                for name in ("alpha", "low", "high")
            )
            value = with_gaps(training.metrics[at]).get(metric, math.nan)
            if math.isfinite(alpha) and math.isfinite(value):
                points.append(SeedPoint(optimizer, seed, alpha, low, high, value))
    return points


def plot_tail_against_accuracy(
    points: Sequence[SeedPoint],
    *,
    metric: str = "test/accuracy",
    ax: Axes | None = None,
    looks: Looks | None = None,
) -> Axes:
    """Draw a metric against the tail index, one point a seed.

    Parameters
    ----------
    points : sequence of SeedPoint
        From :func:`seed_points`.
    metric : str
        What their values are, for the axis.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    looks : mapping, optional
        Optimizer -> ``color``, ``marker`` and others.

    Returns
    -------
    matplotlib.axes.Axes
        What was drawn on; bars are the probes' own 95 % intervals. Points have labels: call
        ``legend``.
    """
    ax = axes_or_new(ax)
    for optimizer, look in looks_of([point.optimizer for point in points], looks).items():
        own = [point for point in points if point.optimizer == optimizer]
        ax.errorbar(
            [point.alpha for point in own],
            [point.value for point in own],
            xerr=bars(own),
            ms=5,
            lw=0.8,
            label=plain(optimizer),
            **(look | {"linestyle": ""}),
        )
    ax.set(xlabel="tail index α", ylabel=metric.replace("/", " "))
    return ax
