"""How much of the information in a sample an estimator uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from noise_lens.figures.style import COLOURS, MARKERS, axes_or_new


def plot_efficiency(rows: Sequence[Mapping[str, Any]], *, ax: Axes | None = None) -> Axes:
    """Draw the Cramer-Rao bound over the error of each estimator, against alpha.

    Parameters
    ----------
    rows : sequence of mapping
        ``method``, ``alpha``, ``bound``, ``rmse``, and ``repeats``: replications behind each.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        What was drawn on; bars are two standard errors of the replications.
    """
    ax = axes_or_new(ax)
    methods = list(dict.fromkeys(row["method"] for row in rows))
    for index, method in enumerate(methods):
        own = [row for row in rows if row["method"] == method]
        efficiency = np.array([row["bound"] / row["rmse"] for row in own])
        error = efficiency / np.sqrt(2 * np.array([row["repeats"] for row in own]))
        ax.errorbar(
            [row["alpha"] for row in own],
            efficiency,
            yerr=2 * error,
            lw=1.2,
            ms=5,
            color=COLOURS[index % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)],
            label=method,
        )
    ax.axhline(1, color="0.5", ls=":", lw=1)
    ax.set(xlabel="true α", ylabel="Cramér-Rao bound / error", ylim=(0, 1.1))
    return ax
