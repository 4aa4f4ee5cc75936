"""Tail and accuracy against a parameter of the optimizer, such as Padam's p."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from noise_lens.contrasts import TableRow
from noise_lens.figures.style import COLOURS, Estimate, bars, panels_or_new, plain, series_look

Place = tuple[float, TableRow]


def plot_against_parameter(
    rows: Sequence[TableRow],
    *,
    parameter: str = "p",
    view: str = "gradient",
    of: str = "projections",
    metric: str | None = "test/accuracy",
    ax: Axes | None = None,
    metric_ax: Axes | None = None,
    **style: Any,
) -> Axes:
    """Draw the tail index and a metric against an option of an optimizer, over seeds.

    Parameters
    ----------
    rows : sequence of TableRow
        From :func:`noise_lens.contrasts.comparison_table`. Those whose optimizer is called
        ``NAME@parameter=VALUE`` are points; the others are levels to compare with.
    parameter : str
        Name of the option.
    view, of : str
        Which noise and which rows.
    metric : str or None
        ``test/accuracy``, ``gap/loss`` or another of the rows' metrics; None leaves it out.
    ax, metric_ax : matplotlib.axes.Axes, optional
        Where to draw; both or none where there are two panels.
    **style : Any
        For the points.

    Returns
    -------
    matplotlib.axes.Axes
        With the tail index; the metric is in the second of ``ax.figure.axes``. Levels have labels:
        call ``legend``.

    Raises
    ------
    ValueError
        No optimizer has the option as a number.
    """
    points, levels = _split(rows, parameter)
    if not points:
        names = ", ".join(row.optimizer for row in rows) or "none"
        raise ValueError(f"no optimizer is called NAME@{parameter}=NUMBER; there are {names}")
    ax, *others = panels_or_new(ax) if metric is None else panels_or_new(ax, metric_ax)
    look = {"color": COLOURS[0], "marker": "o", "ms": 5, "lw": 1.2, "capsize": 3, **style}
    for panel, key in zip((ax, *others), (None, metric), strict=False):
        there = [(value, e) for value, row in points if (e := _value(row, view, of, key))]
        estimates = [estimate for _, estimate in there]
        panel.errorbar(
            [value for value, _ in there],
            [estimate.mean for estimate in estimates],
            yerr=bars(estimates),
            **look,
        )
        for number, row in enumerate(levels, start=1):
            level = _value(row, view, of, key)
            if level is None:
                continue
            colour = series_look(number)["color"]
            dashes = (0, (4 - number % 3, 1 + number % 2))
            label = plain(row.optimizer)
            panel.axhline(level.mean, color=colour, ls=dashes, lw=1.2, label=label)
            if level.low < level.high:
                panel.axhspan(level.low, level.high, color=colour, alpha=0.12, lw=0)
        name = f"tail index α of {of}, {view}" if key is None else key.replace("/", " ")
        panel.set(xlabel=parameter, ylabel=name)
    return ax


def _split(rows: Sequence[TableRow], parameter: str) -> tuple[list[Place], list[TableRow]]:
    points: list[Place] = []
    levels: list[TableRow] = []
    for row in rows:
        options = dict(pair.partition("=")[::2] for pair in row.optimizer.split("@")[1:])
        try:
            points.append((float(options[parameter]), row))
        except (KeyError, ValueError):
            levels.append(row)
    return sorted(points, key=lambda place: place[0]), levels


def _value(row: TableRow, view: str, of: str, metric: str | None) -> Estimate | None:
    """Return a metric or the tail index; None where a row has none, as that of diverged runs."""
    if metric is not None:
        found = row.metrics.get(metric)
        return found if found is not None and found.n else None
    tail = row.tails.get((view, of))
    return tail.alpha if tail is not None and tail.alpha.n else None
