"""What averaging did to noise, against what two laws say that it does."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from noise_lens.contrasts import Prediction
from noise_lens.figures.style import Looks, axes_or_new, bars, looks_of, plain

_NAMES = {
    "alpha": "tail index α",
    "log_scale_shift": "shift of the log scale",
    "excess_kurtosis": "excess kurtosis",
}


def plot_predictions(
    predictions: Sequence[Prediction],
    *,
    quantity: str = "excess_kurtosis",
    ax: Axes | None = None,
    looks: Looks | None = None,
) -> Axes:
    """Draw what was observed of averaged noise against what a law predicts from single minibatches.

    Parameters
    ----------
    predictions : sequence of Prediction
        Of several :func:`noise_lens.contrasts.decompose`; those of another quantity are left out,
        and what is there twice, as the baseline's weights are, is drawn once.
    quantity : {"excess_kurtosis", "log_scale_shift", "alpha"}
        The first is predicted by a finite variance, the others by a stable law.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    looks : mapping, optional
        Optimizer -> ``color``, ``marker`` and others.

    Returns
    -------
    matplotlib.axes.Axes
        What was drawn on: on the line the law holds. Filled where the miss is told from 0, with
        at least 5 seeds. Points have labels: call ``legend``.

    Raises
    ------
    ValueError
        There is no such quantity.
    """
    if quantity not in _NAMES:
        raise ValueError(f"quantity must be one of {', '.join(_NAMES)}, got {quantity!r}")
    ax = axes_or_new(ax)
    own = looks_of([one.weights for one in predictions], looks)
    drawn = list({repr(one): one for one in predictions if one.quantity == quantity}.values())
    labelled: set[str] = set()
    for one in drawn:
        look = own[one.weights]
        ax.errorbar(
            one.predicted.mean, one.observed.mean, xerr=bars([one.predicted]),
            yerr=bars([one.observed]), ms=6, lw=1, capsize=2, **(look | {"linestyle": ""}),
            mfc=look["color"] if one.miss.claim else "none",
            label=None if one.weights in labelled else f"at {plain(one.weights)}'s weights",
        )  # fmt: skip
        labelled.add(one.weights)
    low, high = _range(drawn)
    law = drawn[0].law if drawn else "law"
    ax.plot([low, high], [low, high], color="0.5", ls=":", lw=1.2, label="as predicted", zorder=0)
    ax.set(xlim=(low, high), ylim=(low, high))
    ax.set(xlabel=f"predicted ({law})", ylabel="observed in averages", title=_NAMES[quantity])
    ax.title.set_fontsize(9)
    ax.set_box_aspect(1)
    return ax


def _range(drawn: Sequence[Prediction]) -> tuple[float, float]:
    """Return one range for both axes, so that the line is the diagonal."""
    ends = [
        end
        for one in drawn
        for value in (one.predicted, one.observed)
        for end in (value.mean, value.low, value.high)
        if math.isfinite(end)
    ]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin
