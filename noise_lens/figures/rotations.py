"""The rotation test: the observed statistic among those of rotated rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from noise_lens.figures.style import COLOURS, axes_or_new
from noise_lens.inference import RotationTest

_BINS = 20


def plot_rotations(test: RotationTest, *, ax: Axes | None = None, **style: Any) -> Axes:
    """Draw what rotations of the rows read, and what the rows themselves read.

    Parameters
    ----------
    test : RotationTest
        From :func:`noise_lens.rotation_test`.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    **style : Any
        For the observed line.

    Returns
    -------
    matplotlib.axes.Axes
        What was drawn on. Rows that lie inside the histogram are compatible with Gaussian ones
        of any covariance; beyond its right end they are heavier.
    """
    ax = axes_or_new(ax)
    counts, edges = np.histogram(test.null, bins=_BINS)
    label = f"{test.n_rotations:,} rotations: Gaussian rows"
    ax.stairs(counts, edges, fill=True, color="0.5", alpha=0.5, label=label)
    observed = {"color": COLOURS[0], "lw": 1.8, "label": "these rows", **style}
    ax.plot([test.statistic] * 2, [0, 1.1 * counts.max()], **observed)
    ax.plot(test.statistic, 1.1 * counts.max(), "v", ms=6, color=observed["color"])
    low, high = min(edges[0], test.statistic), max(edges[-1], test.statistic)
    margin = 0.06 * (high - low)
    ax.set(xlim=(low - margin, high + margin), ylim=(0, 1.3 * counts.max()))
    ax.set(xlabel="log of the mean kurtosis of coordinates", ylabel="rotations")
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    return ax
