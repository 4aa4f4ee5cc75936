"""The loss along the line between two sets of weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from noise_lens.figures.style import COLOURS, axes_or_new, plain

if TYPE_CHECKING:
    from noise_lens.landscape import LossLine  # with torch, which figures do without


def plot_loss_line(line: LossLine, *, ax: Axes | None = None, **style: Any) -> Axes:
    """Draw training and test loss along a line, the ends, and the barrier or ridge between them.

    Parameters
    ----------
    line : LossLine
        By :func:`noise_lens.landscape.loss_along_line`.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    **style : Any
        For the training loss.

    Returns
    -------
    matplotlib.axes.Axes
        With labels; call ``legend``. A loss that overflowed is a gap.
    """
    ax = axes_or_new(ax)
    look = {"color": COLOURS[0], "marker": "o", "ms": 3, "lw": 1.4, "label": "training loss"}
    ax.plot(line.fractions, _shown(line.train), **{**look, **style})
    if line.test is not None:
        other: dict[str, Any] = {"color": COLOURS[1], "lw": 1.2, "ls": "--", "label": "test loss"}
        ax.plot(line.fractions, _shown(line.test), **other)
    higher = max(line.ends)
    ax.axhline(higher, color="0.5", ls=":", lw=1, label="the higher end: above it is a barrier")
    if not line.one_basin and np.isfinite(line.ridge):
        # Where ends lie high, the ridge between the minima is no barrier above them.
        name, height = ("barrier", line.barrier) if line.barrier > 0 else ("ridge", line.ridge)
        inside = (line.fractions >= 0) & (line.fractions <= 1)
        at = line.fractions[inside][np.argmax(line.train[inside])]
        at = at if name == "barrier" else line.ridge_at
        top = float(line.train[line.fractions == at][0])
        ax.vlines(at, top - height, top, color="0.3", lw=1.2)
        ax.annotate(
            f"{name} {height:.3g}",
            (at, top - height / 2),
            textcoords="offset points",
            xytext=(5, 0),
            color="0.3",
        )
    ax.set(xlabel=f"from {plain(line.first)} (0) to {plain(line.second)} (1)", ylabel="mean loss")
    return ax


def _shown(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isfinite(values), values, np.nan)
