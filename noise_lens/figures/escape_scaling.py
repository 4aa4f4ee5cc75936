"""Mean escape times against the size of the noise, and the law of escape times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator
from numpy.typing import ArrayLike

from noise_lens.figures.style import axes_or_new, panels_or_new, series_look

__all__ = ["EscapePoint", "plot_escape_law", "plot_escape_scaling"]

_Z = 1.959963984540054
_NEAR = 0.05


@dataclass(frozen=True)
class EscapePoint:
    """The mean escape time at one size of the noise.

    Attributes
    ----------
    alpha, epsilon : float
        Index and size of the noise.
    mean : float
        Simulated mean escape time.
    standard_error : float
        Of the mean.
    predicted : float
        The limit of small noise at this epsilon.
    """

    alpha: float
    epsilon: float
    mean: float
    standard_error: float
    predicted: float


def plot_escape_scaling(
    points: Sequence[EscapePoint],
    *,
    ax_ratio: Axes | None = None,
    ax_time: Axes | None = None,
) -> tuple[Axes, Axes]:
    """Draw how escape times approach their limit as the noise gets small.

    Left, the mean over its limit with 95 % intervals: where the band of 5 % about 1 is left, the
    theory of small noise does not hold. Right, the mean itself on logarithmic axes, over the
    limit's line, whose slope is -alpha.

    Parameters
    ----------
    points : sequence of EscapePoint
        In any order; one series a tail index.
    ax_ratio, ax_time : matplotlib.axes.Axes, optional
        Where to draw: both, or none for a new figure.

    Returns
    -------
    tuple of matplotlib.axes.Axes
        The ratio's and the time's.

    Raises
    ------
    ValueError
        There are no points.
    """
    if not points:
        raise ValueError("there are no escape times to draw")
    left, right = panels_or_new(ax_ratio, ax_time)
    left.axhspan(1 - _NEAR, 1 + _NEAR, color="0.9", lw=0, zorder=0, label="within 5 %")
    left.axhline(1, color="0.5", linestyle=":", lw=1, label="1: the limit of small noise")
    for number, alpha in enumerate(sorted({point.alpha for point in points})):
        series = sorted((p for p in points if p.alpha == alpha), key=lambda p: p.epsilon)
        epsilon = np.array([point.epsilon for point in series])
        mean = np.array([point.mean for point in series])
        half = _Z * np.array([point.standard_error for point in series])
        predicted = np.array([point.predicted for point in series])
        look = series_look(number)
        left.errorbar(
            epsilon, mean / predicted, yerr=half / predicted, capsize=3, lw=1.2, ms=5,
            label=f"α = {alpha:g}", **look,
        )  # fmt: skip
        right.errorbar(
            epsilon, mean, yerr=half, capsize=3, ms=5, label=f"α = {alpha:g}",
            **{**look, "linestyle": "none"},
        )  # fmt: skip
        right.plot(epsilon, predicted, color=look["color"], lw=1)
    left.set(xscale="log", xlabel="size of the noise ε", ylabel="mean escape time / limit")
    right.set(
        xscale="log", yscale="log", xlabel="size of the noise ε", ylabel="mean escape time",
    )  # fmt: skip
    right.plot([], [], color="0.4", lw=1, label="limit: slope −α")
    ticks = sorted({point.epsilon for point in points})
    for axes in (left, right):
        axes.set_xticks(_spread(ticks), [f"{tick:g}" for tick in _spread(ticks)])
        axes.xaxis.set_minor_locator(NullLocator())
    return left, right


def plot_escape_law(
    times: ArrayLike,
    mean: float,
    *,
    max_time: float | None = None,
    label: str = "simulated",
    ax: Axes | None = None,
) -> Axes:
    """Draw the share of paths still inside against time, beside the exponential law.

    Straight on the logarithmic axis is exponential. A curve below it at first has paths that leave
    early, from the start and not after forgetting it.

    Parameters
    ----------
    times : array_like of shape (n,)
        Exit times; of censored paths, `max_time`.
    mean : float
        Of the exponential law: the prediction.
    max_time : float, optional
        When waiting ended; times from there on are censored.
    label : str
        Of the simulated curve.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        What was drawn on.

    Raises
    ------
    ValueError
        There are no times, or the mean is not positive and finite.
    """
    found = np.sort(np.asarray(times, dtype=np.float64).ravel())
    if found.size == 0:
        raise ValueError("there are no escape times to draw")
    if not 0 < mean < np.inf:
        raise ValueError(f"the exponential law needs a positive, finite mean, got {mean}")
    ax = axes_or_new(ax)
    n = found.size
    left = found if max_time is None else found[found < max_time]
    inside = 1 - np.arange(len(left) + 1) / n
    at = np.concatenate([[0.0], left])
    # Dvoretzky, Kiefer and Wolfowitz: the whole curve with 95 % confidence.
    half = np.sqrt(np.log(2 / 0.05) / (2 * n))
    shown = inside > 0
    ax.fill_between(
        at[shown] / mean, (inside - half)[shown].clip(min=0.5 / n), (inside + half)[shown],
        step="post", alpha=0.2, lw=0, label="95 % band",
    )  # fmt: skip
    ax.step(at[shown] / mean, inside[shown], where="post", lw=1.2, label=label)
    end = float(at[shown][-1] / mean)
    grid = np.linspace(0, max(end, 1.0), 100)
    ax.plot(grid, np.exp(-grid), color="0.4", linestyle=":", label="exponential, predicted mean")
    ax.set(yscale="log", xlabel="time / predicted mean", ylabel="share still inside")
    ax.set_ylim(bottom=0.5 / n, top=1.3)
    return ax


def _spread(ticks: list[float]) -> list[float]:
    """Return the ticks that are a fifth of a decade apart: more run into each other."""
    kept: list[float] = []
    for tick in ticks:
        if not kept or tick / kept[-1] > 10**0.2:
            kept.append(tick)
    return kept
