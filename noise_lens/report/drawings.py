"""Figures along training: content in, inline SVG out."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from noise_lens.figures import (
    TailCurve,
    plot_tail_index,
    plot_tail_over_training,
    plot_training,
)
from noise_lens.report.content import Section
from noise_lens.report.look import look, plain
from noise_lens.report.svg import drawing, inline_svg
from noise_lens.report.verdicts import KINDS


def tail_index_figure(section: Section, name: str, view: str) -> str:
    """Return alpha of a view along training, a panel for each kind of rows."""
    looks = {series.label: look(index) for index, series in enumerate(section.series)}

    def draw(ax: Axes, of: str) -> None:
        curves = [
            TailCurve(
                series.label,
                tuple(series.steps_of(view)),
                tuple(
                    series.estimate(step, "all", of, view=view) for step in series.steps_of(view)
                ),
            )
            for series in section.series
            if series.steps_of(view)
        ]
        plot_tail_over_training(curves, ax=ax, looks=looks)

    return _by_kind(
        draw,
        name,
        f"Tail index along training, view {view}",
        "Tail index of single rows with intervals, per optimizer and probed step; "
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
                    ylabel=plain(key.replace("/", " ")),
                    axis=section.steps,
                    ax=ax,
                    label=plain(series.label),
                    **look(index),
                )
            if key.endswith("loss"):
                ax.set_yscale("log")
                ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                ax.yaxis.set_major_formatter("{x:g}")
                ax.yaxis.set_minor_locator(NullLocator())
            ax.tick_params(axis="x", labelsize=7)
        shared_legend(figure)
        return inline_svg(
            figure,
            name,
            "Loss and metrics along training",
            "Mean over seeds and their range; the numbers are in the table below.",
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
            **look(0),
        )
        ax.tick_params(axis="x", labelsize=7, rotation=90 if len(windows) > 12 else 0)
        return inline_svg(
            figure,
            name,
            "Passive trend",
            f"Tail index of differences {section.differences}, from training's own gradients.",
        )


def shared_legend(figure: Figure) -> None:
    """Put every label of the panels above them, once.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Whose lines have labels.
    """
    found = {
        label: handle
        for ax in figure.axes
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    # As many columns as the longest label lets stand side by side.
    columns = int(100 / (8 + max(map(len, found), default=0)))
    figure.legend(
        found.values(), found.keys(), loc="outside upper center", ncols=max(1, min(columns, 6))
    )


def _by_kind(
    draw: Callable[[Axes, str], None],
    name: str,
    title: str,
    description: str,
) -> str:
    """Return a figure of two panels, projections and coordinates."""
    with drawing(name):
        figure = Figure(figsize=(8, 3.1), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for ax, of in zip(panels, KINDS, strict=True):
            draw(ax, of)
            ax.set_title(of, fontsize=9)
            if not ax.has_data():
                ax.text(0.5, 0.5, "no estimate", ha="center", transform=ax.transAxes)
        panels[1].set_ylabel("")
        shared_legend(figure)
        return inline_svg(figure, name, title, description)
