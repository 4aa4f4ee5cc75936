"""The figures of a report: content in, inline SVG out."""

from __future__ import annotations

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
    with drawing(name):
        figure = Figure(figsize=(8, 3.1), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for ax, of in zip(panels, KINDS, strict=True):
            for index, series in enumerate(section.series):
                if not series.steps:
                    continue
                plot_tail_index(
                    series.steps,
                    [series.estimate(step, "all", of) for step in series.steps],
                    ax=ax,
                    shift=0.1 * (index - (len(section.series) - 1) / 2),
                    color=COLOURS[index % len(COLOURS)],
                    marker=MARKERS[index % len(MARKERS)],
                    label=series.label,
                )
            ax.set_title(of, fontsize=9)
        panels[1].set_ylabel("")
        panels[0].legend()
        return inline_svg(
            figure,
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
                    ylabel=key.replace("/", " "),
                    ax=ax,
                    color=COLOURS[index % len(COLOURS)],
                    marker=MARKERS[index % len(MARKERS)],
                    label=series.label,
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
    with drawing(name):
        figure = Figure(figsize=(8, 3.1), layout="constrained")
        panels = figure.subplots(1, 2)
        for ax, of in zip(panels, KINDS, strict=True):
            ax.set_title(of, fontsize=9)
            if of not in closeup.survival:
                ax.text(0.5, 0.5, "not estimable", ha="center", transform=ax.transAxes)
                continue
            plot_survival(closeup.survival[of], ax=ax, color=COLOURS[colour % len(COLOURS)])
            ax.legend(loc="lower left")
        panels[1].set_ylabel("")
        return inline_svg(
            figure,
            name,
            f"Survival function of the standardised noise, {closeup.label}",
            "Share of entries beyond a magnitude on logarithmic axes, against the Gaussian and "
            "the fitted stable law; the numbers are in the table below.",
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
            color=COLOURS[0],
            marker=MARKERS[0],
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
    with drawing(name):
        figure = Figure(figsize=(8, 3.1), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for ax, of in zip(panels, KINDS, strict=True):
            for index, closeup in enumerate(section.closeups):
                if of not in closeup.aggregation:
                    continue
                plot_aggregation(
                    closeup.aggregation[of],
                    ax=ax,
                    shift=0.12 * (index - (len(section.closeups) - 1) / 2),
                    color=COLOURS[index % len(COLOURS)],
                    marker=MARKERS[index % len(MARKERS)],
                    label=closeup.label,
                )
            ax.set_title(of, fontsize=9)
        panels[1].set_ylabel("")
        drawn = next(ax for ax in panels if ax.has_data())
        drawn.legend(loc="lower right")
        return inline_svg(
            figure,
            name,
            "Tail index against the number of minibatches summed",
            "Alpha of sums of m minibatches with intervals; the numbers are in the table below.",
        )
