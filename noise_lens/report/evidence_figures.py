"""The evidence, drawn: one kind of rows a row of panels, one series a column."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from noise_lens.figures import (
    plot_aggregation,
    plot_hill_path,
    plot_quantiles,
    plot_rotations,
    plot_survival,
)
from noise_lens.report.closeup import Closeup
from noise_lens.report.content import Section
from noise_lens.report.look import look, plain
from noise_lens.report.svg import drawing, inline_svg
from noise_lens.report.verdicts import KINDS

_COLUMNS = 3
Draw = Callable[[Axes, Closeup, str, int], bool]
"""Draws one closeup and kind in the colour of a number; False where there is nothing to draw."""


def evidence_figures(section: Section, name: str) -> dict[str, list[str]]:
    """Return the figures of the evidence, at most three series in each.

    Parameters
    ----------
    section : Section
        One run folder.
    name : str
        Prefix of ids on the page.

    Returns
    -------
    dict of str to list of str
        Inline SVG by what is drawn; an empty list where there is nothing.
    """
    table = "the numbers are in the table below."
    return {
        "aggregation": _grid(
            section,
            _aggregation,
            f"{name}-aggregation",
            "Tail index against the number of minibatches summed",
            f"Alpha of sums of m minibatches with intervals, and where stable noise stays; {table}",
            sharey=True,
            legend=True,
        ),
        "rotations": _grid(
            section,
            _rotations,
            f"{name}-rotations",
            "Rotation test of Gaussian minibatches",
            f"The statistic of the rows among those of rotated rows; {table}",
            legend=True,
        ),
        "quantiles": _grid(
            section,
            _quantiles,
            f"{name}-quantiles",
            "Quantiles of the standardised noise",
            f"Magnitudes against Gaussian ones that are exceeded as often; {table}",
        ),
        "survival": _grid(
            section,
            _survival,
            f"{name}-survival",
            "Survival function of the standardised noise",
            f"Share of entries beyond a magnitude, beside Gaussian and fitted law; {table}",
        ),
        "hill": _grid(
            section,
            _hill,
            f"{name}-hill",
            "Hill's path of the standardised noise",
            f"Hill's estimate against the number of upper order statistics; {table}",
            legend=True,
        ),
    }


def _aggregation(ax: Axes, closeup: Closeup, of: str, number: int) -> bool:
    if of not in closeup.evidence:
        return False
    curve = closeup.evidence[of].curve
    plot_aggregation(curve, ax=ax, stable_band=True, **look(number))
    ax.margins(x=0.12)
    return True


def _rotations(ax: Axes, closeup: Closeup, of: str, number: int) -> bool:
    if of not in closeup.evidence:
        return False
    test = closeup.evidence[of].rotations.result()
    plot_rotations(test, ax=ax, color=look(number)["color"])
    ax.text(0.5, 0.96, f"p = {test.pvalue:.2g}", transform=ax.transAxes, ha="center", va="top")
    return True


def _quantiles(ax: Axes, closeup: Closeup, of: str, number: int) -> bool:
    if of not in closeup.quantiles:
        return False
    plot_quantiles(closeup.quantiles[of], ax=ax, color=look(number)["color"])
    ax.legend(loc="upper left")
    return True


def _survival(ax: Axes, closeup: Closeup, of: str, number: int) -> bool:
    if of not in closeup.survival:
        return False
    plot_survival(closeup.survival[of], ax=ax, color=look(number)["color"])
    ax.legend(loc="lower left")
    return True


def _hill(ax: Axes, closeup: Closeup, of: str, number: int) -> bool:
    if of not in closeup.hill:
        return False
    plot_hill_path(closeup.hill[of], ax=ax, color=look(number)["color"])
    chosen = [line for line in ax.get_lines() if str(line.get_label()).startswith("chosen")]
    if chosen:
        ax.legend(handles=chosen, loc="upper right")
        chosen[0].set_label("_in the panel")
    return True


def _grid(
    section: Section,
    draw: Draw,
    name: str,
    title: str,
    description: str,
    *,
    sharey: bool = False,
    legend: bool = False,
) -> list[str]:
    closeups = section.closeups
    chunks = [closeups[first : first + _COLUMNS] for first in range(0, len(closeups), _COLUMNS)]
    drawn = [
        _panels(section, chunk, draw, f"{name}{index}", title, description, sharey, legend)
        for index, chunk in enumerate(chunks)
    ]
    return [svg for svg in drawn if svg is not None]


def _panels(
    section: Section,
    closeups: Sequence[Closeup],
    draw: Draw,
    name: str,
    title: str,
    description: str,
    sharey: bool,
    legend: bool,
) -> str | None:
    # One series: its kinds side by side. Several: kinds below each other, series side by side.
    single = len(closeups) == 1
    shape = (1, len(KINDS)) if single else (len(KINDS), len(closeups))
    with drawing(name):
        # Margins in inches, not a layout that measures every label: that takes half a second a
        # figure, and a comparison has many.
        width, height = 8.0, 3.2 if single else 5.2
        figure = Figure(figsize=(width, height))
        panels = figure.subplots(*shape, sharey=sharey, squeeze=False)
        figure.subplots_adjust(
            left=0.75 / width,
            right=1 - 0.12 / width,
            bottom=0.55 / height,
            top=1 - (0.68 if legend else 0.42) / height,
            wspace=0.1 if sharey else 0.28,
            hspace=0.42,
        )
        n_drawn, shared = 0, ""
        for row, kind in enumerate(KINDS):
            for column, closeup in enumerate(closeups):
                ax = panels[0, row] if single else panels[row, column]
                there = draw(ax, closeup, kind, section.place(closeup.label))
                n_drawn += there
                _label(ax, closeup, kind, single, there)
                if not single:
                    ax.set_ylabel(f"{kind}\n{ax.get_ylabel()}" if column == 0 else "")
                    shared = ax.get_xlabel() or shared
                    ax.set_xlabel("")
                elif row:
                    ax.set_ylabel("")
        if not n_drawn:
            return None
        if shared:
            figure.supxlabel(shared, fontsize="medium", y=0.05 / height)
        if legend:
            found = {
                label: handle
                for ax in figure.axes
                for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
            }
            figure.legend(found.values(), found.keys(), loc="upper center", ncols=3)
        named = ", ".join(closeup.label for closeup in closeups)
        return inline_svg(figure, name, f"{title}: {named}", description)


def _label(ax: Axes, closeup: Closeup, kind: str, single: bool, there: bool) -> None:
    verdict = closeup.verdicts.get(kind)
    named = kind if single else plain(closeup.label)
    said = ax.get_title()  # by the figure itself
    lines = [f"{named}: {verdict.label}" if verdict else named, *([said] if said else [])]
    ax.set_title("")
    ax.set_title("\n".join(lines), loc="left", fontsize=9)
    if not there:
        ax.text(0.5, 0.5, "nothing to draw", ha="center", transform=ax.transAxes)
        ax.set_axis_off()
