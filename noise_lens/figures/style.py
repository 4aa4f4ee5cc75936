"""Colours and markers that stay apart for colour-blind readers, on white and on black."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe & Ito (2008), without black and yellow."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "p", "h")

Looks = Mapping[str, Mapping[str, Any]]
"""Name of an optimizer -> how its lines are drawn."""


class Estimate(Protocol):
    """A number with its interval, whatever it is the mean of."""

    @property
    def mean(self) -> float:
        """The number."""

    @property
    def low(self) -> float:
        """Lower end; NaN where there is no interval."""

    @property
    def high(self) -> float:
        """Upper end."""


def series_look(number: int) -> dict[str, Any]:
    """Return colour, marker and line of a series.

    Parameters
    ----------
    number : int
        From 0. Twelve differ: after six, colours come again with other markers and a dashed line.

    Returns
    -------
    dict
        ``color``, ``marker``, ``linestyle``.
    """
    again = number // len(COLOURS) % 2
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": ("-", "--")[again],
    }


def looks_of(names: Iterable[str], looks: Looks | None) -> dict[str, dict[str, Any]]:
    """Return how to draw each name.

    Parameters
    ----------
    names : iterable of str
        In the order in which they are drawn; a name may come again.
    looks : mapping or None
        What the caller wants; the others are numbered in order.

    Returns
    -------
    dict of str to dict
        By name.
    """
    numbered = {name: series_look(i) for i, name in enumerate(dict.fromkeys(names))}
    return {name: {**look, **(looks or {}).get(name, {})} for name, look in numbered.items()}


def plain(text: str) -> str:
    """Return text that matplotlib does not read as mathematics.

    Parameters
    ----------
    text : str
        A name of the user's.

    Returns
    -------
    str
        With dollars escaped.
    """
    return text.replace("$", r"\$")


def bars(estimates: Iterable[Estimate]) -> list[list[float]]:
    """Return how far intervals reach below and above their numbers.

    Parameters
    ----------
    estimates : iterable of Estimate
        NaN ends stay NaN: no bar is drawn.

    Returns
    -------
    list of list of float
        As ``errorbar`` takes it.
    """
    ends = [(estimate.mean - estimate.low, estimate.high - estimate.mean) for estimate in estimates]
    # An interval that is cut at the largest index may end at its mean, but for rounding.
    return [
        [end if math.isnan(end) else max(end, 0.0) for end in side]
        for side in (zip(*ends, strict=True) if ends else ((), ()))
    ]


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
    return panels_or_new(ax)[0]


def panels_or_new(*axes: Axes | None, **options: Any) -> tuple[Axes, ...]:
    """Return `axes`, or side by side those of a new figure that pyplot does not know.

    Parameters
    ----------
    *axes : matplotlib.axes.Axes or None
        Where to draw: all of them, or none.
    **options : Any
        For the new ``subplots``.

    Returns
    -------
    tuple of matplotlib.axes.Axes
        As many as were asked for.

    Raises
    ------
    ValueError
        Some are given and some not.
    """
    given = [ax for ax in axes if ax is not None]
    if given and len(given) < len(axes):
        raise ValueError(
            f"{len(axes)} panels need as many axes, got {len(given)}: give all or none"
        )
    if given:
        return tuple(given)
    size = None if len(axes) == 1 else (4.2 * len(axes), 3.4)
    figure = Figure(figsize=size, layout="constrained")
    return tuple(figure.subplots(1, len(axes), squeeze=False, **options).ravel())


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


def label_decades(ax: Axes) -> None:
    """Mark powers of ten alone on logarithmic axes: numbers between them run into each other.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Those of its axes that are logarithmic hold a power of ten.
    """
    for axis in (ax.xaxis, ax.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(NullLocator())
