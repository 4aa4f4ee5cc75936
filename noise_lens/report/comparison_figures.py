"""Figures of what separates optimizers: content in, inline SVG out."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.figure import Figure

from noise_lens.figures import (
    TailCurve,
    plot_decomposition,
    plot_differences,
    plot_predictions,
    plot_tail_over_training,
)
from noise_lens.report.content import Section
from noise_lens.report.drawings import shared_legend
from noise_lens.report.look import look
from noise_lens.report.separation import Averaging, Separation
from noise_lens.report.svg import drawing, inline_svg
from noise_lens.report.verdicts import KINDS

_PREDICTED = ("alpha", "log_scale_shift", "excess_kurtosis")


def comparison_figures(section: Section, name: str) -> dict[str, Any]:
    """Return the figures of a comparison.

    Parameters
    ----------
    section : Section
        One run folder.
    name : str
        Prefix of ids on the page.

    Returns
    -------
    dict of str to Any
        Inline SVG by what is drawn; lists have one a view of averages. None where there is nothing.
    """
    found = section.separation
    if found is None:
        return {"differences": None, "decompositions": [], "predictions": []}
    looks = {series.label: look(number) for number, series in enumerate(section.series)}
    return {
        "differences": _differences(found, looks, f"{name}-differences"),
        "decompositions": [
            _decomposition(one, f"{name}-{one.view}-decomposition") for one in found.averaging
        ],
        "predictions": [
            _predictions(one, looks, f"{name}-{one.view}-predictions") for one in found.averaging
        ],
    }


def published_figure(section: Section, name: str) -> str | None:
    """Return our estimate of coordinates along training, beside that of the literature."""
    ours: list[TailCurve] = []
    published: list[TailCurve] = []
    for series in section.series:
        steps = series.steps_of("gradient")
        pooled = [(step, series.published(step)) for step in steps]
        pooled = [(step, found) for step, found in pooled if found.n]
        own = tuple(series.estimate(s, "all", "coordinates", view="gradient") for s in steps)
        if steps:
            ours.append(TailCurve(series.label, tuple(steps), own))
        if pooled:
            at, found = zip(*pooled, strict=True)
            published.append(TailCurve(series.label, at, found))
    if not any(len(curve.steps) > 1 for curve in published):
        return None
    looks = {series.label: look(number) for number, series in enumerate(section.series)}
    with drawing(name):
        figure = Figure(figsize=(8, 3.3), layout="constrained")
        left, right = figure.subplots(1, 2)
        plot_tail_over_training(ours, published=published, ax=left, published_ax=right, looks=looks)
        left.set_title("ours: coordinates, one by one", fontsize=9)
        shared_legend(figure)
        return inline_svg(
            figure,
            name,
            "Tail index and the published estimator along training",
            "Of the same noise, per optimizer and probed step; the numbers are in the table below.",
        )


def _differences(found: Separation, looks: dict[str, dict[str, str]], name: str) -> str | None:
    drawn = {of: [one for one in found.tails() if one.of == of] for of in KINDS}
    if all(math.isnan(one.low) for one in found.tails()):
        return None
    n_rows = len(drawn[KINDS[0]])
    with drawing(name):
        figure = Figure(figsize=(8, 1.4 + 0.23 * n_rows), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for ax, of in zip(panels, KINDS, strict=True):
            plot_differences(drawn[of], ax=ax, looks=looks)
            ax.set_title(of, fontsize=9)
        shared_legend(figure)
        return inline_svg(
            figure,
            name,
            "Differences in the tail index, paired by seed",
            f"Difference of each optimizer from {found.baseline} with its interval, per view and "
            "kind of rows; the numbers are in the table below.",
        )


def _decomposition(found: Averaging, name: str) -> str:
    n_rows = 1 + len(found.parts[KINDS[0]])
    with drawing(name):
        figure = Figure(figsize=(8, 2.1 + 0.62 * n_rows), layout="constrained")
        panels = figure.subplots(2, 1)
        for ax, of in zip(panels, KINDS, strict=True):
            if found.parts[of]:
                plot_decomposition(found.parts[of], ax=ax)
        shared_legend(figure)
        return inline_svg(
            figure,
            name,
            "What averaging explains",
            "Tail index of single minibatches and of averages at each optimizer's weights, with "
            "intervals; the numbers are in the table below.",
        )


def _predictions(found: Averaging, looks: dict[str, dict[str, str]], name: str) -> str | None:
    if not any(found.predictions(of) for of in KINDS):
        return None
    with drawing(name):
        figure = Figure(figsize=(8, 5.9), layout="constrained")
        panels = figure.subplots(len(KINDS), len(_PREDICTED))
        for row, of in zip(panels, KINDS, strict=True):
            for ax, quantity in zip(row, _PREDICTED, strict=True):
                plot_predictions(found.predictions(of), quantity=quantity, ax=ax, looks=looks)
                ax.set_title(f"{of}: {ax.get_title()}", fontsize=9)
                ax.tick_params(labelsize=7)
        shared_legend(figure)
        return inline_svg(
            figure,
            name,
            "Averages as two laws predict them",
            "Observed against predicted, with intervals and the line on which a law holds; the "
            "numbers are in the table below.",
        )
