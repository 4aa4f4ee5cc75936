"""Tail index of stationary iterates against the step size: the theory, and what was simulated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from noise_lens.figures.style import axes_or_new, bars, series_look
from noise_lens.theory.kesten import critical_step_size, kesten_tail_index, largest_step_size

_LARGEST = 8.0  # tail indices above are told from a light tail by no sample of a usual size


@dataclass(frozen=True)
class StationaryCurve:
    """What theory says of one minibatch size.

    Attributes
    ----------
    batch_size : int
        b.
    step_size, alpha : ndarray of shape (n,)
        The curve, in order of the step size.
    critical, largest : float
        The step sizes of alpha = 2, and beyond which there is no stationary law.
    """

    batch_size: int
    step_size: NDArray[np.float64]
    alpha: NDArray[np.float64]
    critical: float
    largest: float


@dataclass(frozen=True)
class SimulatedTail:
    """One simulated sample.

    Attributes
    ----------
    batch_size, step_size : int, float
        b and eta.
    alpha, low, high : float
        What was read from it, with its interval.
    stationary : bool
        Whether it is a sample of the stationary law.
    """

    batch_size: int
    step_size: float
    alpha: float
    low: float
    high: float
    stationary: bool = True

    @property
    def mean(self) -> float:
        """The tail index: an interval is drawn around it."""
        return self.alpha


def stationary_curve(
    batch_size: int, dim: int, sigma: float = 1.0, *, n_points: int = 30
) -> StationaryCurve:
    """Return the theoretical tail index against the step size, for Gaussian inputs.

    Parameters
    ----------
    batch_size, dim : int
        Rows of a minibatch, coordinates.
    sigma : float
        Standard deviation of the entries of a row.
    n_points : int
        Of the curve, from an index of 8 up to the largest step size.

    Returns
    -------
    StationaryCurve
        For :func:`plot_stationary_tail`.
    """
    first, critical = critical_step_size(batch_size, dim, sigma, alpha=[_LARGEST, 2])
    largest = float(largest_step_size(batch_size, dim, sigma))
    step_size = np.linspace(first, largest, n_points, endpoint=False)
    return StationaryCurve(
        batch_size=batch_size,
        step_size=step_size,
        alpha=np.asarray(kesten_tail_index(step_size, batch_size, dim, sigma)),
        critical=float(critical),
        largest=largest,
    )


def plot_stationary_tail(
    curves: Sequence[StationaryCurve],
    points: Sequence[SimulatedTail] = (),
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw tail index against step size, a colour a minibatch size.

    Parameters
    ----------
    curves : sequence of StationaryCurve
        From :func:`stationary_curve`. A dotted line marks the step size of alpha = 2, a dashed
        one that beyond which nothing is stationary.
    points : sequence of SimulatedTail
        With 95 % intervals; hollow where the sample is not stationary. Those whose index is not
        finite are left out.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        What was drawn on. Curves have labels: call ``legend``.
    """
    ax = axes_or_new(ax)
    sizes = dict.fromkeys(
        [*(curve.batch_size for curve in curves), *(point.batch_size for point in points)]
    )
    looks = {size: series_look(place) for place, size in enumerate(sizes)}
    for curve in curves:
        look = looks[curve.batch_size]
        label = f"theory, b = {curve.batch_size}"
        ax.plot(curve.step_size, curve.alpha, lw=1.5, color=look["color"], label=label)
        ax.axvline(curve.critical, color=look["color"], ls=":", lw=1)
        ax.axvline(curve.largest, color=look["color"], ls="--", lw=1)
    for stationary in (True, False):
        for size, look in looks.items():
            drawn = [
                one for one in points
                if one.batch_size == size and one.stationary is stationary
                and math.isfinite(one.alpha)
            ]  # fmt: skip
            if not drawn:
                continue
            name = "simulated" if stationary else "simulated, not stationary"
            ax.errorbar(
                [one.step_size for one in drawn],
                [one.alpha for one in drawn],
                yerr=bars(drawn),
                ms=5,
                lw=1,
                linestyle="",
                marker=look["marker"],
                color=look["color"],
                markerfacecolor=look["color"] if stationary else "none",
                label=f"{name}, b = {size}",
            )
    ax.axhline(2, color="0.5", ls=":", lw=1, label="α = 2: finite variance above")
    ax.set(xlabel="step size η", ylabel="tail index α")
    ax.set_ylim(0, _LARGEST)
    return ax
