"""Quantiles of standardised noise against those of a Gaussian and of the fitted stable law."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy import special

from noise_lens.figures.style import COLOURS, axes_or_new, label_decades
from noise_lens.figures.survival import GAUSSIAN_SD, SurvivalCurve

_SMALLEST_SHARE = 1e-300


@dataclass(frozen=True)
class QuantileCurve:
    """Magnitudes, and which Gaussian magnitudes are exceeded as often.

    Everything is in units of the coordinate's geometric mean magnitude, whatever the law.

    Attributes
    ----------
    magnitude : ndarray of shape (L,)
        Of the noise.
    gaussian, low, high : ndarray of shape (L,)
        The Gaussian magnitude that is exceeded as often, and its 95 % interval: `high` is inf
        where so few minibatches reach so far that their share may be 0.
    stable : ndarray of shape (L,) or None
        The same for the fitted stable law: where `gaussian` would lie if the noise followed it.
    alpha : float or None
        Index of that law.
    """

    magnitude: NDArray[np.float64]
    gaussian: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    stable: NDArray[np.float64] | None
    alpha: float | None


def quantile_curve(survival: SurvivalCurve) -> QuantileCurve:
    """Turn shares beyond magnitudes into quantiles of a Gaussian.

    Parameters
    ----------
    survival : SurvivalCurve
        From :func:`~noise_lens.figures.survival.survival_curve`.

    Returns
    -------
    QuantileCurve
        At the same magnitudes.
    """
    return QuantileCurve(
        magnitude=survival.levels,
        gaussian=_exceeded_as_often(survival.share),
        low=_exceeded_as_often(survival.high),
        high=_exceeded_as_often(survival.low),
        stable=None if survival.stable is None else _exceeded_as_often(survival.stable),
        alpha=survival.alpha,
    )


def plot_quantiles(curve: QuantileCurve, *, ax: Axes | None = None, **style: Any) -> Axes:
    """Draw magnitudes of noise against Gaussian ones that are exceeded as often.

    Both axes are logarithms of magnitudes. With signs a single large value would set the scale
    and press everything else into a point; noise with zero location loses little without them.
    On these axes Gaussian noise is the diagonal at any scale, heavier tails leave it upwards at
    the right end.

    Parameters
    ----------
    curve : QuantileCurve
        From :func:`quantile_curve`.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    **style : Any
        For the measured line.

    Returns
    -------
    matplotlib.axes.Axes
        What was drawn on.
    """
    ax = axes_or_new(ax)
    colour = style.pop("color", COLOURS[0])
    end = 1.15 * max(float(curve.gaussian.max()), 3 * GAUSSIAN_SD)
    start = 0.9 * max(float(curve.gaussian.min()), 0.03)
    ax.fill_betweenx(
        curve.magnitude,
        np.maximum(curve.low, start),
        np.minimum(curve.high, end),
        alpha=0.25,
        lw=0,
        color=colour,
    )
    ax.plot([start, end], [start, end], color="0.5", ls=":", lw=1.2, label="Gaussian")
    if curve.stable is not None:
        label = f"stable law, α = {curve.alpha:.2f}"
        ax.plot(curve.stable, curve.magnitude, color="0.5", ls="--", lw=1.2, label=label)
    line = {"lw": 1.5, "color": colour, "label": "measured", **style}
    ax.plot(curve.gaussian, curve.magnitude, **line)
    top = max(1.15 * float(curve.magnitude.max()), end)
    ax.set(xscale="log", yscale="log", xlim=(start, end), ylim=(start, top))
    label_decades(ax)
    ax.set_xlabel("Gaussian magnitude (unit: geometric mean)")
    ax.set_ylabel("noise magnitude (same unit)")
    return ax


def _exceeded_as_often(share: NDArray[np.float64]) -> NDArray[np.float64]:
    found = -GAUSSIAN_SD * special.ndtri(np.maximum(share, _SMALLEST_SHARE) / 2)
    return np.where(share > 0, found, np.inf)
