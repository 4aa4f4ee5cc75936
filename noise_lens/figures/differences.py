"""Paired differences between optimizers, one below the other."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from noise_lens.contrasts import Difference
from noise_lens.contrasts.quantities import words_of
from noise_lens.figures.style import Looks, axes_or_new, bars, looks_of, plain

_NAMES = {"alpha": "tail index α", "excess_kurtosis": "excess kurtosis"}
_GAP = 0.6  # between optimizers


def plot_differences(
    differences: Sequence[Difference], *, ax: Axes | None = None, looks: Looks | None = None
) -> Axes:
    """Draw differences from the baseline with their 95 % intervals.

    Parameters
    ----------
    differences : sequence of Difference
        From :func:`noise_lens.contrasts.differences`, of one quantity: those to be seen, in their
        order. Names of what they share are left out.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    looks : mapping, optional
        Optimizer -> ``color``, ``marker`` and others.

    Returns
    -------
    matplotlib.axes.Axes
        What was drawn on. Filled where a difference is claimed: at least 5 pairs and an interval
        without 0; the others are hollow. Points have labels: call ``legend``.

    Raises
    ------
    ValueError
        There is none, or they are of several quantities, baselines or matchings.
    """
    kinds = {(one.quantity, one.baseline, one.matched_by) for one in differences}
    if len(kinds) != 1:
        got = "; ".join(f"{q} from {b} by {m}" for q, b, m in sorted(kinds)) or "none"
        raise ValueError(f"one figure shows one quantity, baseline and matching, got {got}")
    ((quantity, baseline, _),) = kinds
    ax = axes_or_new(ax)
    own = looks_of([one.optimizer for one in differences], looks)
    places = _places(differences)
    for place, one in zip(places, differences, strict=True):
        look = own[one.optimizer]
        if math.isnan(one.mean):
            where = ax.get_yaxis_transform()
            ax.text(0.01, place, "no value", transform=where, va="center", alpha=0.6, fontsize=8)
            continue
        ax.errorbar(
            one.mean, place, xerr=bars([one]), ms=6, lw=1.4, capsize=3,
            **(look | {"linestyle": "", "marker": "o"}), mfc=look["color"] if one.claim else "none",
        )  # fmt: skip
    for label, fill in (("claimed", "0.5"), ("no claim", "none")):
        ax.plot([], [], "o", ms=6, color="0.5", mfc=fill, label=label)
    ax.axvline(0, color="0.5", ls=":", lw=1)
    below, above = words_of(quantity)
    name = _NAMES.get(quantity, quantity.replace("/", " "))
    ax.set_xlabel(f"{name}, difference from {plain(baseline)}\n← {below} · {above} →")
    ax.set_yticks(places, _labels(differences))
    ax.set_ylim(max(places) + 0.7, -0.7)
    ax.grid(visible=False, axis="y")
    return ax


def _places(differences: Sequence[Difference]) -> list[float]:
    place, places = -1.0, []
    for index, one in enumerate(differences):
        new = index > 0 and differences[index - 1].optimizer != one.optimizer
        place += 1 + _GAP * new
        places.append(place)
    return places


def _labels(differences: Sequence[Difference]) -> list[str]:
    """Return the names of rows: the optimizer where it changes, and what else differs."""
    varying = [
        key
        for key in ("view", "of", "group", "at")
        if len({getattr(one, key) for one in differences}) > 1
    ]
    labels, before = [], None
    for one in differences:
        words = [_word(key, getattr(one, key)) for key in varying]
        if one.optimizer != before or not varying:
            words = [one.optimizer, *words]
        before = one.optimizer
        labels.append(plain("  ".join(words)))
    return labels


def _word(key: str, value: object) -> str:
    return f"at {value:.4g}" if key == "at" and isinstance(value, int | float) else str(value)
