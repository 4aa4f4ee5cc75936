"""The aggregation curve: the index of sums of m minibatches."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator
from scipy import special

from noise_lens.figures.style import axes_or_new, mark_gaussian
from noise_lens.inference import AggregationCurve


def plot_aggregation(
    curve: AggregationCurve, *, ax: Axes | None = None, shift: float = 0.0, **style: Any
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
    **style : Any
        For the line.

    Returns
    -------
    matplotlib.axes.Axes
        What was drawn on.
    """
    ax = axes_or_new(ax)
    low, high = interval(curve)
    bars = np.maximum([curve.alpha - low, high - curve.alpha], 0)
    ax.errorbar(
        curve.block_sizes * 2.0**shift, curve.alpha, yerr=bars, capsize=3, lw=1.2, ms=5, **style
    )
    mark_gaussian(ax)
    ax.set_xscale("log", base=2)
    ax.set_xticks(curve.block_sizes, [str(size) for size in curve.block_sizes])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set(xlabel="minibatches summed, m", ylabel="tail index α")
    return ax


def interval(curve: AggregationCurve) -> tuple[Any, Any]:
    """Return the 95 % interval at each block size, cut at 0 and 2.

    Parameters
    ----------
    curve : AggregationCurve
        The curve.

    Returns
    -------
    low, high : ndarray of shape (L,)
        Student's t with the jackknife's degrees of freedom.
    """
    reach = special.stdtrit(curve.degrees_of_freedom, 0.975) * curve.standard_error
    return np.clip(curve.alpha - reach, 0, 2), np.clip(curve.alpha + reach, 0, 2)
