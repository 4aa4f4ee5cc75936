"""Hill's estimate against the number of upper order statistics."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from noise_lens.estimators import HillPath
from noise_lens.figures.style import COLOURS, axes_or_new, label_decades


def plot_hill_path(path: HillPath, *, ax: Axes | None = None, **style: Any) -> Axes:
    """Draw Hill's estimate against k with its 95 % band; a flat stretch is a power tail.

    Parameters
    ----------
    path : HillPath
        From :func:`noise_lens.hill_path`.
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
    colour = style.pop("color", COLOURS[0])
    ax.fill_between(path.k, path.low, path.high, alpha=0.25, lw=0, color=colour)
    ax.plot(path.k, path.alpha, lw=1.5, color=colour, **{"label": "hill", **style})
    chosen = path.choose_k()
    if chosen is not None:
        place = int((path.k == chosen).argmax())
        ax.plot(chosen, path.alpha[place], "o", ms=6, color=colour, label=f"chosen k = {chosen:,}")
    ax.axhline(2, color="0.5", ls=":", lw=1, label="α = 2: finite variance above")
    ax.set(xscale="log", xlabel="k (upper order statistics)", ylabel="tail index α")
    label_decades(ax)
    ax.set_ylim(0, min(max(4.0, 1.15 * float(path.alpha.max())), 12.0))
    if chosen is None:
        ax.set_title("no tail index is identified", size=9)
    return ax
