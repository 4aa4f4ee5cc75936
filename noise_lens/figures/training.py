"""Loss or a metric along training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from noise_lens.figures.style import axes_or_new


def plot_training(
    steps: Sequence[int],
    values: Sequence[Sequence[float]],
    *,
    ylabel: str,
    axis: Sequence[int] | None = None,
    ax: Axes | None = None,
    **style: Any,
) -> Axes:
    """Draw a quantity at each probed step: the mean over seeds, and their range.

    Parameters
    ----------
    steps : sequence of int
        Probed steps.
    values : sequence of sequence of float
        Of each step: one value a seed.
    ylabel : str
        The quantity, with its unit.
    axis : sequence of int, optional
        All steps of the figure, where series have different ones; `steps` if not given.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    **style : Any
        For the line.

    Returns
    -------
    matplotlib.axes.Axes
        What was drawn on.
    """
    ax = axes_or_new(ax)
    axis = list(steps if axis is None else axis)
    places = [axis.index(step) for step in steps]
    ax.fill_between(
        places,
        [min(part) for part in values],
        [max(part) for part in values],
        alpha=0.2,
        lw=0,
        color=style.get("color"),
    )
    ax.plot(places, [float(np.mean(part)) for part in values], lw=1.2, ms=5, **style)
    ax.set_xticks(np.arange(len(axis)), [f"{step:,}" for step in axis])
    ax.set(xlabel="training step", ylabel=ylabel)
    return ax
