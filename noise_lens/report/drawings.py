"""The figures of a report: content in, inline SVG out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from noise_lens.figures import (
    COLOURS,
    MARKERS,
    plot_aggregation,
    plot_survival,
    plot_tail_index,
    plot_training,
)
from noise_lens.report.content import KINDS, Closeup, Section
from noise_lens.report.svg import drawing, inline_svg


def tail_index_figure(section: Section, name: str) -> str:
    """Return alpha along training, a panel for each kind of rows."""

    def draw(ax: Axes, of: str) -> None:
        for index, series in enumerate(section.series):
            if series.steps:
                plot_tail_index(
                    series.steps,
                    [series.estimate(step, "all", of) for step in series.steps],
                    axis=section.steps,
                    ax=ax,
                    shift=0.1 * (index - (len(section.series) - 1) / 2),
                    label=_plain(series.label),
                    **_look(index),
                )

    return _by_kind(
        draw,
        name,
        "Tail index along training",
        "Tail index of single minibatches with intervals, per optimizer and probed step; "
        "the numbers are in the table below.",
    )


def training_figure(section: Section, name: str) -> str:
    """Return the metrics along training, a panel each."""
    keys = [key for series in section.series for key in series.metric_keys()]
    shown = list(dict.fromkeys(keys))
    with drawing(name):
        figure = Figure(figsize=(8, 2.4 if len(shown) <= 4 else 4.6), layout="constrained")
        columns = min(len(shown), 4)
        panels = figure.subplots(-(-len(shown) // columns), columns, squeeze=False).ravel()
        for ax in panels[len(shown) :]:
            ax.set_visible(False)
        for ax, key in zip(panels, shown, strict=False):
            for index, series in enumerate(section.series):
                values = [series.metric(step, key) for step in series.steps]
                if not values or not all(values):
                    continue
                plot_training(
                    series.steps,
                    values,
                    ylabel=_plain(key.replace("/", " ")),
                    axis=section.steps,
                    ax=ax,
                    label=_plain(series.label),
                    **_look(index),
                )
            if key.endswith("loss"):
                ax.set_yscale("log")
            ax.tick_params(axis="x", labelsize=7)
        panels[0].legend()
        return inline_svg(
            figure,
            name,
            "Loss and metrics along training",
            "Mean over seeds and their range; the numbers are in the table below.",
        )


def survival_figure(closeup: Closeup, colour: int, name: str) -> str:
    """Return the survival functions of one probe, a panel for each kind of rows."""

    def draw(ax: Axes, of: str) -> None:
        if of in closeup.survival:
            plot_survival(closeup.survival[of], ax=ax, color=_look(colour)["color"])
            ax.legend(loc="lower left")

    return _by_kind(
        draw,
        name,
        f"Survival function of the standardised noise, {closeup.label}",
        "Share of entries beyond a magnitude on logarithmic axes, against the Gaussian and the "
        "fitted stable law; the numbers are in the table below.",
        sharey=False,
    )


def trend_figure(section: Section, name: str) -> str:
    """Return the passive trend, at most thirty windows of it."""
    windows = section.trend[:: -(-len(section.trend) // 30)]
    with drawing(name):
        figure = Figure(figsize=(8, 2.4), layout="constrained")
        ax = plot_tail_index(
            [step for step, _ in windows],
            [estimate for _, estimate in windows],
            ax=figure.subplots(),
            **_look(0),
        )
        ax.tick_params(axis="x", labelsize=7, rotation=90 if len(windows) > 12 else 0)
        return inline_svg(
            figure,
            name,
            "Passive trend",
            "Tail index of differences of consecutive minibatches while the weights move.",
        )


def aggregation_figure(section: Section, name: str) -> str:
    """Return alpha against the block size, a panel for each kind of rows."""

    def draw(ax: Axes, of: str) -> None:
        for index, closeup in enumerate(section.closeups):
            if of in closeup.aggregation:
                plot_aggregation(
                    closeup.aggregation[of],
                    ax=ax,
                    shift=0.12 * (index - (len(section.closeups) - 1) / 2),
                    label=_plain(closeup.label),
                    **_look(index),
                )

    return _by_kind(
        draw,
        name,
        "Tail index against the number of minibatches summed",
        "Alpha of sums of m minibatches with intervals; the numbers are in the table below.",
    )


def _by_kind(
    draw: Callable[[Axes, str], None],
    name: str,
    title: str,
    description: str,
    *,
    sharey: bool = True,
) -> str:
    """Return a figure of two panels, projections and coordinates."""
    with drawing(name):
        figure = Figure(figsize=(8, 3.1), layout="constrained")
        panels = figure.subplots(1, 2, sharey=sharey)
        for ax, of in zip(panels, KINDS, strict=True):
            draw(ax, of)
            ax.set_title(of, fontsize=9)
            if not ax.has_data():
                ax.text(0.5, 0.5, "no estimate", ha="center", transform=ax.transAxes)
        panels[1].set_ylabel("")
        drawn = next(ax for ax in panels if ax.has_data())
        if drawn.get_legend() is None:
            drawn.legend()
        return inline_svg(figure, name, title, description)


def _plain(text: str) -> str:
    return text.replace("$", r"\$")  # or matplotlib reads it as mathematics


def _look(index: int) -> dict[str, Any]:
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}
