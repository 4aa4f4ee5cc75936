"""A run folder and a curvature -> what the theory of escape gives, violations first."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from noise_lens.errors import CaptureError, RunFolderError
from noise_lens.inference.standardise import log_magnitudes
from noise_lens.landscape import Curvature, LossLine, curvature, load_curvature
from noise_lens.landscape._curvature import Progress
from noise_lens.landscape.hessian import curvature_path
from noise_lens.landscape.weights import name_of_weights
from noise_lens.prediction.assumptions import ASSUMED, found_violations
from noise_lens.prediction.gaussian import gaussian_escape
from noise_lens.prediction.given import (
    UNKNOWN,
    barrier_of,
    check_weights,
    learning_rate_of,
    measured_digest,
    optimizer_of,
    positive_barrier,
)
from noise_lens.prediction.measured import Measured, measured
from noise_lens.prediction.rates import (
    Coordinates,
    Rate,
    extrapolated,
    independent_rate,
    shared_rate,
)
from noise_lens.prediction.result import Escape, Prediction
from noise_lens.run import Run
from noise_lens.tasks import Task
from noise_lens.tasks.checkpoint import checkpoint_digest

_ADAM_EPSILON = 1e-8
_LOWEST_ALPHA = 0.1
_N_ALPHAS = 41
_REACH = 1.96


def predict(
    run: str | Path | Run,
    curvature: Curvature | None = None,
    *,
    step: int | None = None,
    group: str = "all",
    barrier: float | LossLine | None = None,
    learning_rate: float | None = None,
    optimizer: str | None = None,
) -> Prediction:
    """Return what the theory of Levy-driven escape gives for measured noise, violations first.

    Noise scales of the sampled coordinates and their tail index come from the run folder,
    curvatures of the same coordinates from the loss. The mean escape time is 1 over the rate of
    single jumps that leave a quadratic basin of the barrier's height; the sum over the sampled
    coordinates is extrapolated to all, tensor by tensor.

    Parameters
    ----------
    run : str or Path or Run
        A run folder, not a comparison.
    curvature : Curvature, optional
        At the weights that were measured and the coordinates of the sketch, by
        :func:`curvature_of_run`; what the run folder holds if not given.
    step : int, optional
        A measured step; the last if not given.
    group : str
        Whose noise.
    barrier : float or LossLine, optional
        By how much the loss must rise to leave; of a line from these weights, its rise from the
        first end. If not given, the loss at the weights: the basin is where it less than doubles.
    learning_rate : float, optional
        eta; that of the run, if its manifest has one.
    optimizer : {"sgd", "adam"}, optional
        Whose theory; the run's if it is one of them, else "sgd".

    Returns
    -------
    Prediction
        Its text lists first what the data violate.

    Raises
    ------
    RunFolderError
        The folder holds no such measurement, no curvature, or one of other weights.
    CaptureError
        No learning rate is known, or a number is out of range.

    Notes
    -----
    The sum is Zhou et al.'s Theorem 1 for a diagonal noise matrix [1]_ with the jump measure of
    the standard law; ``docs/theory/prediction.md`` derives it.

    References
    ----------
    .. [1] P. Zhou et al., NeurIPS 2020, Theorem 1. arXiv:2010.05627
    """
    of = measured(run, step, group)
    step = int(of.record["step"])
    known = _kept(of, step, learning_rate) if curvature is None else curvature
    check_weights(of, known.checkpoint_sha256, known.checkpoint, step)
    eta = learning_rate_of(of, learning_rate)
    whose = optimizer_of(of, optimizer)
    height, source = barrier_of(barrier, known)
    sampled = _coordinates(of, known, whose)
    verdict = of.coordinates
    alpha = float(verdict.alpha)
    # An index that was cut at 2 may have an interval that ends below its own rounding.
    low, high = (min(max(end, _LOWEST_ALPHA), 2.0) for end in verdict.interval)
    epsilon = eta ** ((alpha - 1) / alpha) if alpha > 0 else math.nan
    escapes = (
        _escape("independent jumps", independent_rate, sampled, (alpha, low, high), height, eta),
        _escape("one shared radius", shared_rate, sampled, (alpha, low, high), height, eta),
        gaussian_escape(of, known, sampled, height, eta, whose),
    )
    relaxation = _relaxation_time(sampled)
    violations = found_violations(
        of, known, sampled,
        alpha=(alpha, low, high), barrier=height, learning_rate=eta, optimizer=whose,
        escapes=escapes, relaxation=relaxation,
    )  # fmt: skip
    return Prediction(
        run=of.run.folder.resolve().name,
        step=step,
        group=group,
        violations=violations,
        assumed=ASSUMED,
        alpha=alpha,
        alpha_low=low,
        alpha_high=high,
        label=verdict.label,
        optimizer=whose,
        learning_rate=eta,
        batch_size=of.record["batch_size"],
        epsilon=epsilon,
        barrier=height,
        barrier_source=source,
        loss=known.loss,
        relaxation_time=relaxation,
        n_coordinates=len(of.places),
        n_parameters=int(of.record["n_parameters"]),
        escapes=escapes,
    )


def check_given(
    run: str | Path | Run,
    *,
    step: int | None = None,
    group: str = "all",
    barrier: float | None = None,
    learning_rate: float | None = None,
    optimizer: str | None = None,
) -> None:
    """Raise what :func:`predict` would, as far as no curvature is needed for it.

    Parameters
    ----------
    run : str or Path or Run
        A run folder.
    step : int, optional
        A measured step.
    group : str
        Whose noise.
    barrier : float, optional
        A number.
    learning_rate : float, optional
        eta.
    optimizer : {"sgd", "adam"}, optional
        Whose theory.
    """
    of = measured(run, step, group)
    learning_rate_of(of, learning_rate)
    optimizer_of(of, optimizer)
    if barrier is not None:
        positive_barrier(barrier)


def curvature_of_run(
    run: str | Path | Run,
    task: Task | str,
    checkpoint: str | Path | None = None,
    *,
    step: int | None = None,
    group: str = "all",
    save: bool = True,
    on_progress: Progress | None = None,
    **options: Any,
) -> Curvature:
    """Return the curvature at the weights and the coordinates of a measurement.

    One that the run folder holds already is read if it is of the same weights and coordinates.

    Parameters
    ----------
    run : str or Path or Run
        A run folder.
    task : Task or str
        That was measured.
    checkpoint : str or Path, optional
        The weights that were measured. If not given, those of the curvature that the run folder
        holds, else the task's initial ones.
    step : int, optional
        A measured step; the last if not given.
    group : str
        Whose coordinates.
    save : bool
        Keep it in the run folder.
    on_progress : callable, optional
        Called with (what, done, total).
    **options : Any
        As for :func:`noise_lens.landscape.curvature`.

    Returns
    -------
    Curvature
        Of the training loss.
    """
    of = measured(run, step, group)
    at = int(of.record["step"])
    digest = None if checkpoint is None else checkpoint_digest(checkpoint)
    if curvature_path(of.run.folder, at).is_file() and not options:
        there = load_curvature(of.run.folder, at)
        wanted = digest if checkpoint is not None else measured_digest(of, at)
        same = there.checkpoint_sha256 == wanted or (checkpoint is None and wanted == UNKNOWN)
        if same and set(of.places) <= set(there.coordinates):
            return there
    check_weights(of, digest, name_of_weights(checkpoint), at)  # before the work, not after it
    options = {"seed": of.settings.get("seed", 0), **options}
    found = curvature(task, checkpoint, coordinates=of.places, on_progress=on_progress, **options)
    if save:
        found.save(of.run.folder, at)
    return found


def _kept(of: Measured, step: int, learning_rate: float | None) -> Curvature:
    """Return the curvature of the folder; all that is missing is named at once."""
    try:
        return load_curvature(of.run.folder, step)
    except RunFolderError as error:
        try:
            learning_rate_of(of, learning_rate)
        except CaptureError as other:
            raise RunFolderError(f"{error} Besides, {other}.") from error
        raise


def _coordinates(of: Measured, known: Curvature, optimizer: str) -> Coordinates:
    diagonal, slopes = known.at(of.places)
    logs, nonzero = log_magnitudes(of.rows)
    n = nonzero.sum(axis=0)
    means = np.where(n > 0, logs.sum(axis=0) / np.maximum(n, 1), -np.inf)
    preconditioner = np.ones(len(diagonal))
    if optimizer == "adam":
        preconditioner = np.sqrt(of.variances + slopes**2) + _ADAM_EPSILON
    names = sorted({name for name, _ in of.places})
    return Coordinates(
        log_magnitudes=means,
        filled=n / len(of.rows),
        curvature=diagonal,
        preconditioner=preconditioner,
        strata=np.array([names.index(name) for name, _ in of.places]),
        totals=np.array([known.tensors[name] for name in names]),
        differences=of.differences,
    )


def _escape(
    theory: str,
    rate: Callable[[Coordinates, float, float, float], Rate],
    sampled: Coordinates,
    alphas: tuple[float, float, float],
    barrier: float,
    learning_rate: float,
) -> Escape:
    alpha, low, high = alphas
    if not math.isfinite(alpha):
        note = "the verdict has no alpha, so there is nothing to predict from"
        return Escape(theory, math.nan, math.nan, math.nan, learning_rate, note, math.nan)

    def at(index: float) -> Rate:
        # epsilon moves with alpha: eta is what is given.
        return rate(sampled, index, barrier, learning_rate ** ((index - 1) / index))

    found = at(min(alpha, 2.0))
    ends = [at(index) for index in np.linspace(low, high, _N_ALPHAS)]
    rates = [(e.value, _REACH * e.standard_error) for e in (*ends, found)]
    fastest = float(max(value + error for value, error in rates))
    slowest = float(min(max(value - error, 0.0) for value, error in rates))
    time = 1 / found.value if found.value > 0 else math.inf
    note = ""
    if math.isinf(time):
        note = "no single jump leaves: at alpha = 2 there are none"
    elif high >= 2:
        note = "no upper end: the interval of alpha reaches 2, where there are no jumps"
    return Escape(
        theory=theory,
        time=time,
        low=1 / fastest if fastest > 0 else math.inf,
        high=1 / slowest if slowest > 0 else math.inf,
        step_size=learning_rate,
        note=note,
        log10_time=-math.log10(found.value) if found.value > 0 else math.inf,
    )


def _relaxation_time(sampled: Coordinates) -> float:
    """Return 1 over the mean curvature, of the drift that the optimizer makes of it."""
    drift = sampled.curvature / sampled.preconditioner
    mean = extrapolated(drift, sampled.strata, sampled.totals)[0] / sampled.totals.sum()
    return float(1 / mean) if mean > 0 else math.inf
