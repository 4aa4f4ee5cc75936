"""The survival function of standardised noise, against the Gaussian and the fitted stable law."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy import special

from noise_lens.figures.style import axes_or_new, label_decades
from noise_lens.inference.jackknife import group_labels
from noise_lens.inference.standardise import standardise
from noise_lens.stable import SymmetricStable

_POINTS = 80
# A Gaussian whose geometric mean magnitude is 1 has this standard deviation:
# E log|Z| = -(gamma + log 2) / 2.
GAUSSIAN_SD = float(np.exp((np.euler_gamma + np.log(2)) / 2))


@dataclass(frozen=True)
class SurvivalCurve:
    """Shares of entries whose magnitude exceeds a level.

    Attributes
    ----------
    levels : ndarray of shape (L,)
        In units of each coordinate's geometric mean magnitude.
    share, low, high : ndarray of shape (L,)
        The share of non-zero entries beyond each level, and its 95 % interval over 20 groups of
        minibatches.
    gaussian : ndarray of shape (L,)
        The same under a Gaussian.
    stable : ndarray of shape (L,) or None
        The same under the fitted stable law.
    alpha : float or None
        Index of that law.
    """

    levels: NDArray[np.float64]
    share: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    gaussian: NDArray[np.float64]
    stable: NDArray[np.float64] | None
    alpha: float | None


def survival_curve(
    rows: NDArray[np.float64], alpha: float | None, sigma: float | None
) -> SurvivalCurve:
    """Compute what :func:`plot_survival` draws.

    Parameters
    ----------
    rows : ndarray of shape (M, d)
        Noise, one row a minibatch.
    alpha, sigma : float or None
        The fitted law in units of a coordinate's geometric mean magnitude, as
        :func:`noise_lens.pooled` returns them.

    Returns
    -------
    SurvivalCurve
        At eighty levels up to the largest magnitude.
    """
    values, _, _ = standardise(rows)
    magnitudes = np.abs(values)
    largest = float(magnitudes.max())
    levels = np.geomspace(0.1, largest * 0.999, _POINTS)
    labels = group_labels(len(values))
    n_groups = int(labels[-1]) + 1
    shares = np.empty((n_groups, _POINTS))
    weights = np.empty(n_groups)
    for group in range(n_groups):
        part = np.sort(magnitudes[labels == group].ravel())
        part = part[part > 0]
        weights[group] = len(part)
        beyond = len(part) - np.searchsorted(part, levels, side="right")
        shares[group] = beyond / max(len(part), 1)
    shares, weights = shares[weights > 0], weights[weights > 0]
    n_groups = len(weights)
    share = weights @ shares / weights.sum()
    spread = np.sqrt(shares.var(axis=0, ddof=1) / n_groups)
    reach = special.stdtrit(n_groups - 1, 0.975) * spread
    fitted = None
    if alpha is not None and sigma is not None and np.isfinite(alpha):
        fitted = 2 * SymmetricStable(float(np.clip(alpha, 0.4, 2)), sigma).sf(levels)
    return SurvivalCurve(
        levels=levels,
        share=share,
        low=np.maximum(share - reach, 0),
        high=np.minimum(share + reach, 1),
        gaussian=2 * special.ndtr(-levels / GAUSSIAN_SD),
        stable=fitted,
        alpha=alpha,
    )


def plot_survival(curve: SurvivalCurve, *, ax: Axes | None = None, **style: Any) -> Axes:
    """Draw how often noise exceeds a level; a power tail is a straight line.

    Parameters
    ----------
    curve : SurvivalCurve
        From :func:`survival_curve`.
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
    floor = curve.share[curve.share > 0].min() / 2
    band = np.maximum(curve.low, floor), np.maximum(curve.high, floor)
    ax.fill_between(curve.levels, *band, alpha=0.25, lw=0, color=style.get("color"))
    ax.plot(curve.levels, curve.gaussian, color="0.5", ls=":", lw=1.2, label="Gaussian")
    if curve.stable is not None:
        ax.plot(
            curve.levels,
            curve.stable,
            color="0.5",
            ls="--",
            lw=1.2,
            label=f"stable law, α = {curve.alpha:.2f}",
        )
    ax.plot(curve.levels, curve.share, lw=1.5, **{"label": "measured", **style})
    ax.set(xscale="log", yscale="log", ylim=(floor, 1.3))
    label_decades(ax)
    ax.set_xlabel("magnitude, in units of the coordinate's geometric mean")
    ax.set_ylabel("share of entries beyond")
    return ax
