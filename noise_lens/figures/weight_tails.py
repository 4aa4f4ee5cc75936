"""Tail indices of trained weights against step size over batch size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes

from noise_lens.figures.style import axes_or_new, bars, mark_gaussian, plain, series_look
from noise_lens.inference.seeds import OverSeeds, over_seeds

if TYPE_CHECKING:
    from noise_lens.landscape import TrainedTail  # with torch, which figures do without

READINGS = {
    "published": "multiscale estimate, median over block sizes",
    "shuffled": "multiscale estimate, weights in random order",
    "alpha": "stable law that fits the centre",
    "hill": "Hill, largest 5 %",
}

_FAILED = ("diverged", "collapsed")


def tails_by_ratio(
    rows: Sequence[TrainedTail], reading: str = "published"
) -> dict[str, dict[str, list[tuple[float, OverSeeds]]]]:
    """Return a reading by layer and status, against step size over batch size, over seeds.

    Parameters
    ----------
    rows : sequence of TrainedTail
        By :func:`noise_lens.landscape.weight_tails_over_steps`.
    reading : str
        One of `READINGS`.

    Returns
    -------
    dict of str to dict of str to list of (float, OverSeeds)
        Layer -> status -> rising ratios, one entry a cell of the grid. A cell of which any seed
        diverged is under "diverged", else one of which any collapsed under "collapsed".

    Raises
    ------
    ValueError
        The reading is unknown.
    """
    if reading not in READINGS:
        raise ValueError(f"reading must be one of {', '.join(READINGS)}; got {reading!r}")
    cells: dict[tuple[str, float, int], list[TrainedTail]] = defaultdict(list)
    for row in rows:
        cells[row.tensor, row.step_size, row.batch_size].append(row)
    found: dict[str, dict[str, list[tuple[float, OverSeeds]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for (tensor, _, _), own in cells.items():
        there = {row.status for row in own}
        status = next((bad for bad in _FAILED if bad in there), own[0].status)
        values = [float(getattr(r.tail, reading)) for r in own if r.tail is not None]
        mean = over_seeds(values, values, values)
        found[tensor][status].append((own[0].ratio, mean))
    return {
        tensor: {status: sorted(points, key=lambda p: p[0]) for status, points in by.items()}
        for tensor, by in found.items()
    }


def plot_weight_tails(
    rows: Sequence[TrainedTail], *, reading: str = "published", ax: Axes | None = None
) -> Axes:
    """Draw the tail index of each layer's averaged iterates against step size over batch size.

    Parameters
    ----------
    rows : sequence of TrainedTail
        By :func:`noise_lens.landscape.weight_tails_over_steps`.
    reading : str
        "published", "shuffled", "alpha" or "hill".
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        Means over seeds with 95 % intervals (Student's t), a line at what the initial weights
        read, crosses where a seed diverged or collapsed. Call ``legend``.
    """
    ax = axes_or_new(ax)
    for number, (tensor, by_status) in enumerate(tails_by_ratio(rows, reading).items()):
        look, name = series_look(number), plain(tensor)
        trained = by_status.get("trained", [])
        ax.errorbar(
            [ratio for ratio, _ in trained],
            [estimate.mean for _, estimate in trained],
            yerr=bars([estimate for _, estimate in trained]),
            color=look["color"], marker=look["marker"], ls="none", ms=5, capsize=3,
            label=name,
        )  # fmt: skip
        for status, mark in zip(_FAILED, ("x", "+"), strict=True):
            lost = [(ratio, e.mean) for ratio, e in by_status.get(status, []) if e.n]
            if lost:
                label = f"{name}, {status}"
                ax.plot(*zip(*lost, strict=True), mark, color=look["color"], label=label)
        for _, start in by_status.get("initial", []):
            label = f"{name}, initial"
            ax.axhline(start.mean, color=look["color"], ls="--", lw=1, label=label)
    mark_gaussian(ax)
    ax.set(xscale="log", xlabel="step size / batch size", ylabel=f"α: {READINGS[reading]}")
    return ax
