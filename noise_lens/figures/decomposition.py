"""How much of an optimizer's lighter tail is averaging: levels of noise at two weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from noise_lens.contrasts import Decomposition, SeedMean
from noise_lens.figures.style import COLOURS, axes_or_new, bars, plain

RAW = "gradient"
_OTHERS = {
    "update": ("own step (update)", COLOURS[2], "D"),
    "transformed": ("transformed gradients", COLOURS[3], "^"),
}
_QUANTITIES = {
    "alpha": ("tail index α", 2.0, "α = 2: Gaussian"),
    "excess_kurtosis": ("excess kurtosis", 0.0, "0: Gaussian"),
}
_THICK = 4.5
_BELOW = {"update": 0.2, "transformed": 0.36}  # apart from the line between the two others


@dataclass(frozen=True)
class _Row:
    """The noise at one optimizer's weights; `share` stands beside it."""

    name: str
    levels: dict[str, SeedMean]
    is_baseline: bool
    share: str


def plot_decomposition(decompositions: Sequence[Decomposition], *, ax: Axes | None = None) -> Axes:
    """Draw raw and averaged noise at the baseline's weights, and at each optimizer's own.

    One row a set of weights, from single minibatch gradients (circle) to averages (square). What
    averaging does without any other optimizer is the length of the baseline's row; dotted lines
    carry its ends down. An optimizer whose averages lie on the second dotted line has a lighter
    tail for averaging alone; the share of it stands at the right, with its interval.

    Parameters
    ----------
    decompositions : sequence of Decomposition
        From :func:`noise_lens.contrasts.decompose`, of one quantity and kind of rows.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        What was drawn on; thick lines are 95 % intervals over seeds. Markers have labels: call
        ``legend``.

    Raises
    ------
    ValueError
        There is none, or they are of different quantities, kinds of rows or averages.
    """
    kinds = {(one.quantity, one.of, one.averaged) for one in decompositions}
    if len(kinds) != 1:
        got = "; ".join(" of ".join(kind[:2]) + f" ({kind[2]})" for kind in sorted(kinds))
        raise ValueError(
            f"one figure shows one quantity, kind of rows and average, got {got or 'none'}"
        )
    ((quantity, of, averaged),) = kinds
    ax = axes_or_new(ax)
    rows = _rows(decompositions)
    looks = {
        RAW: ("single minibatches (gradient)", COLOURS[0], "o"),
        averaged: (f"averages ({averaged})", COLOURS[1], "s"),
        **_OTHERS,
    }
    labelled: set[str] = set()
    for place, row in enumerate(rows):
        ends = [row.levels[view].mean for view in (RAW, averaged) if view in row.levels]
        ax.plot(ends, [place] * len(ends), color="0.5", lw=1, zorder=1)
        for view, (label, colour, marker) in looks.items():
            if view not in row.levels:
                continue
            level = row.levels[view]
            ax.errorbar(
                level.mean, place + _BELOW.get(view, 0), xerr=bars([level]), fmt=marker, ms=6,
                color=colour, mfc="none" if view == RAW else colour, mew=1.5, ecolor=(colour, 0.35),
                elinewidth=_THICK, capsize=0, label=None if view in labelled else label,
            )  # fmt: skip
            labelled.add(view)
        ax.text(1.02, place, row.share, transform=ax.get_yaxis_transform(), va="center", fontsize=8)
    _carry_down(ax, rows, averaged)
    what, gaussian, said = _QUANTITIES[quantity]
    ax.axvline(gaussian, color="0.5", ls="--", lw=1, label=said)
    ax.set_yticks(range(len(rows)), [plain(row.name) for row in rows])
    ax.set(ylim=(len(rows) - 0.4, -0.7), xlabel=f"{what} of {of}", ylabel="at the weights of")
    ax.grid(visible=False, axis="y")
    return ax


def _rows(decompositions: Sequence[Decomposition]) -> list[_Row]:
    """Return the baseline's row above the optimizers that share its numbers."""
    rows: list[_Row] = []
    above = ""
    for one in decompositions:
        baseline = {
            level.view: level.value for level in one.levels if level.weights == one.baseline
        }
        # Over other seeds the baseline's numbers are others: its row comes again.
        if repr(baseline) != above:
            above = repr(baseline)
            rows.append(_Row(one.baseline, baseline, True, "share of averaging"))
        own = {level.view: level.value for level in one.levels if level.weights == one.optimizer}
        rows.append(_Row(one.optimizer, own, False, _share(one)))
    return rows


def _share(one: Decomposition) -> str:
    share = one.share
    if math.isnan(share.value):
        return "withheld"
    if math.isnan(share.low):
        return f"{100 * share.value:,.0f} %".replace("-", "−")
    found = f"{100 * share.value:,.0f} % [{100 * share.low:,.0f}, {100 * share.high:,.0f}]"
    return found.replace("-", "−")


def _carry_down(ax: Axes, rows: Sequence[_Row], averaged: str) -> None:
    """Carry the ends of a baseline's row down to the optimizers below it."""
    starts = [place for place, row in enumerate(rows) if row.is_baseline]
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        for view, colour in ((RAW, COLOURS[0]), (averaged, COLOURS[1])):
            if view in rows[start].levels:
                x = rows[start].levels[view].mean
                ax.plot([x, x], [start, end - 0.6], color=colour, ls=":", lw=1.2, zorder=0)
