"""Several estimates of one sample, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from noise_lens.estimators import TailIndexEstimate
from noise_lens.figures.style import COLOURS, axes_or_new

_LARGEST = 6.0


def plot_estimates(
    labels: Sequence[str], estimates: Sequence[TailIndexEstimate], *, ax: Axes | None = None
) -> Axes:
    """Draw estimates of one sample with their 95 % intervals, one below the other.

    Parameters
    ----------
    labels : sequence of str
        One an estimate.
    estimates : sequence of TailIndexEstimate
        Scalars. What lies beyond 6 is drawn as an arrow there.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        What was drawn on.
    """
    ax = axes_or_new(ax)
    for place, estimate in enumerate(estimates):
        alpha = float(np.asarray(estimate.alpha))
        low, high = estimate.confidence_interval()
        ax.plot([min(low, _LARGEST), min(high, _LARGEST)], [place, place], lw=2, color=COLOURS[0])
        inside = alpha <= _LARGEST
        ax.plot(min(alpha, _LARGEST), place, "o" if inside else ">", ms=5, color=COLOURS[0])
    ax.axvline(2, color="0.5", ls=":", lw=1)
    ax.set_yticks(range(len(labels)), list(labels))
    ax.set(xlim=(0, _LARGEST * 1.03), ylim=(len(labels) - 0.5, -0.5), xlabel="tail index α")
    return ax
