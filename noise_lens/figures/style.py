"""Colours and markers that stay apart for colour-blind readers, on white and on black."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe & Ito (2008), without black and yellow."""

MARKERS = ("o", "s", "^", "D", "v", "P")


def axes_or_new(ax: Axes | None) -> Axes:
    """Return `ax`, or the axes of a new figure that pyplot does not know.

    Parameters
    ----------
    ax : matplotlib.axes.Axes or None
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        Never None.
    """
    if ax is not None:
        return ax
    new: Axes = Figure(layout="constrained").subplots()
    return new


def mark_gaussian(ax: Axes) -> None:
    """Draw the line at alpha = 2 once.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        With the tail index on its vertical axis.
    """
    label = "α = 2: Gaussian"
    if not any(line.get_label() == label for line in ax.get_lines()):
        ax.axhline(2, color="0.5", linestyle=":", lw=1, label=label)
