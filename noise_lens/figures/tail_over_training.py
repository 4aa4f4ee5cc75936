"""The tail index of several optimizers along training, and what the literature prints beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from noise_lens.contrasts import comparison_table, mean_over_seeds
from noise_lens.contrasts.trainings import trainings_of
from noise_lens.figures.style import Estimate, Looks, looks_of, panels_or_new, plain
from noise_lens.figures.tail_index import plot_tail_index
from noise_lens.run import Run

_PANEL_TITLE = "as published: all entries pooled\n(below 2 also for Gaussian noise)"


@dataclass(frozen=True)
class TailCurve:
    """A number of one optimizer's noise at each probed step.

    Attributes
    ----------
    optimizer : str
        Whose weights.
    steps : tuple of int
        At which any seed has the number.
    estimates : tuple of OverSeeds or SeedMean
        Over seeds that did not diverge, one a step.
    """

    optimizer: str
    steps: tuple[int, ...]
    estimates: tuple[Estimate, ...]


def tail_curves(
    run: Run, *, view: str = "gradient", of: str = "projections", group: str = "all"
) -> list[TailCurve]:
    """Return the tail index of every optimizer of a comparison, as its table has it.

    Parameters
    ----------
    run : Run
        A comparison.
    view : str
        Which noise.
    of : {"projections", "coordinates"}
        Which rows.
    group : str
        Which parameters.

    Returns
    -------
    list of TailCurve
        In the order in which optimizers were asked for; those without an estimate are left out.
    """
    found: dict[str, list[tuple[int, Estimate]]] = {}
    for step in _steps(run):
        for row in comparison_table(run, group=group, step=step):
            tail = row.tails.get((view, of))
            if tail is not None and tail.alpha.n:
                found.setdefault(row.optimizer, []).append((step, tail.alpha))
    return _in_order(run, found)


def published_curves(run: Run) -> list[TailCurve]:
    """Return the pooled estimator of the literature, where a comparison asked for it.

    Parameters
    ----------
    run : Run
        A comparison.

    Returns
    -------
    list of TailCurve
        Of the view ``gradient`` and the group ``all``: mean over seeds with Student's interval,
        since a single value has none.
    """
    found: dict[str, list[tuple[int, Estimate]]] = {}
    for optimizer, trainings in trainings_of(run).items():
        kept = [training for training in trainings.values() if not training.diverged]
        for step in sorted({step for training in kept for step in training.steps}):
            values = [one.number(step, "gradient", "all", "published_alpha") for one in kept]
            if np.isfinite(values).any():
                found.setdefault(optimizer, []).append((step, mean_over_seeds(values)))
    return _in_order(run, found)


def plot_tail_over_training(
    curves: Sequence[TailCurve],
    *,
    published: Sequence[TailCurve] | None = None,
    ax: Axes | None = None,
    published_ax: Axes | None = None,
    looks: Looks | None = None,
) -> Axes:
    """Draw the tail index of several optimizers against the training step.

    Parameters
    ----------
    curves : sequence of TailCurve
        From :func:`tail_curves`.
    published : sequence of TailCurve, optional
        From :func:`published_curves`: drawn in a second panel, because it is another quantity.
    ax, published_ax : matplotlib.axes.Axes, optional
        Where to draw; both or none where there are two panels.
    looks : mapping, optional
        Optimizer -> ``color``, ``marker`` and others for its line.

    Returns
    -------
    matplotlib.axes.Axes
        With the tail index; a second panel is in ``ax.figure.axes``. Lines have labels: call
        ``legend``.
    """
    every = [*curves, *(published or ())]
    own = looks_of([curve.optimizer for curve in every], looks)
    axis = sorted({step for curve in every for step in curve.steps})
    if published is None:
        (ax,) = panels_or_new(ax)
    else:
        ax, published_ax = panels_or_new(ax, published_ax)
    for panel, part in ((ax, curves), (published_ax, published)):
        if panel is None or part is None:
            continue
        width = min(0.1, 0.6 / max(len(part), 1))
        for index, curve in enumerate(part):
            plot_tail_index(
                curve.steps,
                curve.estimates,
                axis=axis,
                ax=panel,
                shift=width * (index - (len(part) - 1) / 2),
                label=plain(curve.optimizer),
                **own[curve.optimizer],
            )
    if published_ax is not None and published is not None:
        published_ax.set_ylabel("pooled estimator")
        published_ax.set_title(_PANEL_TITLE, fontsize=9)
    return ax


def _steps(run: Run) -> list[int]:
    every = (training for own in trainings_of(run).values() for training in own.values())
    return sorted({step for training in every if not training.diverged for step in training.steps})


def _in_order(run: Run, found: dict[str, list[tuple[int, Estimate]]]) -> list[TailCurve]:
    curves = []
    for optimizer in trainings_of(run):
        if optimizer in found:
            steps, estimates = zip(*found[optimizer], strict=True)
            curves.append(TailCurve(optimizer, steps, estimates))
    return curves
