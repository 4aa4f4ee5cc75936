"""The tail index along training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from noise_lens.figures.style import axes_or_new, mark_gaussian
from noise_lens.inference.seeds import OverSeeds


def plot_tail_index(
    steps: Sequence[int],
    estimates: Sequence[OverSeeds],
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
    estimates : sequence of OverSeeds
        One a step.
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
    mean = np.array([e.mean for e in estimates])
    below = mean - np.array([e.low for e in estimates])
    above = np.array([e.high for e in estimates]) - mean
    ax.errorbar(places, mean, yerr=np.maximum([below, above], 0), capsize=3, lw=1.2, ms=5, **style)
    mark_gaussian(ax)
    ax.set_xticks(np.arange(len(axis)), [f"{step:,}" for step in axis])
    ax.set(xlabel="training step", ylabel="tail index α")
    return ax
