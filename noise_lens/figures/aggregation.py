"""The aggregation curve: the index of sums of m minibatches."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from noise_lens.figures.style import axes_or_new, mark_gaussian
from noise_lens.inference import AggregationCurve


def plot_aggregation(
    curve: AggregationCurve,
    *,
    ax: Axes | None = None,
    shift: float = 0.0,
    stable_band: bool = False,
    **style: Any,
) -> Axes:
    """Draw alpha against the number of minibatches summed; flat is stable, rising is not.

    Parameters
    ----------
    curve : AggregationCurve
        Of one kind of rows.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    shift : float
        Moves the points sideways, in octaves.
    stable_band : bool
        Shade where stable rows of the first level's index would go, 98 % of them at each m.
    **style : Any
        For the line.

    Returns
    -------
    matplotlib.axes.Axes
        What was drawn on; bars are the curve's 95 % intervals.
    """
    ax = axes_or_new(ax)
    bars = np.maximum([curve.alpha - curve.low, curve.high - curve.alpha], 0)
    ax.errorbar(
        curve.block_sizes * 2.0**shift, curve.alpha, yerr=bars, capsize=3, lw=1.2, ms=5, **style
    )
    mark_gaussian(ax)
    if stable_band and len(curve.block_sizes) > 1:
        first = float(curve.uncut[0])
        limits = [curve.errors.drift_limits(first, int(size)) for size in curve.block_sizes]
        low, high = np.clip(first + np.array(limits).T, 0, 2)
        label = "where stable noise would stay (98 %)"
        ax.fill_between(curve.block_sizes, low, high, color="0.5", alpha=0.22, lw=0, label=label)
    ax.set_xscale("log", base=2)
    ax.set_xticks(curve.block_sizes, [str(size) for size in curve.block_sizes])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set(xlabel="minibatches summed, m", ylabel="tail index α")
    return ax
