"""The tail index along training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from noise_lens.figures.style import Estimate, axes_or_new, bars, mark_gaussian


def plot_tail_index(
    steps: Sequence[int],
    estimates: Sequence[Estimate],
    *,
    axis: Sequence[int] | None = None,
    ax: Axes | None = None,
    shift: float = 0.0,
    **style: Any,
) -> Axes:
    """Draw the tail index at each probed step with its interval.

    Parameters
    ----------
    steps : sequence of int
        Probed steps; drawn evenly spaced, with their numbers below.
    estimates : sequence of OverSeeds or SeedMean
        One a step; one without an interval has no bar.
    axis : sequence of int, optional
        All steps of the figure, where series have different ones; `steps` if not given.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    shift : float
        Moves the points sideways, in steps, so that several series stay apart.
    **style : Any
        For the line: ``color``, ``marker``, ``label``.

    Returns
    -------
    matplotlib.axes.Axes
        What was drawn on.
    """
    ax = axes_or_new(ax)
    axis = list(steps if axis is None else axis)
    places = np.array([axis.index(step) for step in steps]) + shift
    mean = [estimate.mean for estimate in estimates]
    ax.errorbar(places, mean, yerr=bars(estimates), capsize=3, lw=1.2, ms=5, **style)
    mark_gaussian(ax)
    ax.set_xticks(np.arange(len(axis)), [f"{step:,}" for step in axis])
    ax.set(xlabel="training step", ylabel="tail index α")
    return ax
