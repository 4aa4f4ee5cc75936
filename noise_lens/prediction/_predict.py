"""A run folder and a curvature -> what the theory of escape gives, violations first."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from noise_lens.errors import CaptureError, CheckpointError
from noise_lens.inference.standardise import log_magnitudes
from noise_lens.landscape import Curvature, LossLine, curvature, load_curvature
from noise_lens.landscape._curvature import Progress
from noise_lens.landscape.hessian import curvature_path
from noise_lens.prediction.assumptions import ASSUMED, found_violations
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
from noise_lens.theory.escape.adai import adam_diffusion_time, sgd_diffusion_time

OPTIMIZERS = ("sgd", "adam")
_GAUSSIAN = "Gaussian (diffusion theory)"
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
    known = load_curvature(of.run.folder, step) if curvature is None else curvature
    _check_weights(of, known, step)
    eta = _learning_rate(of, learning_rate)
    whose = _optimizer(of, optimizer)
    height, source = _barrier(barrier, known)
    sampled = _coordinates(of, known, whose)
    verdict = of.coordinates
    alpha = float(verdict.alpha)
    # An index that was cut at 2 may have an interval that ends below its own rounding.
    low, high = (min(max(end, _LOWEST_ALPHA), 2.0) for end in verdict.interval)
    epsilon = eta ** ((alpha - 1) / alpha) if alpha > 0 else math.nan
    escapes = (
        _escape("independent jumps", independent_rate, sampled, (alpha, low, high), height, eta),
        _escape("one shared radius", shared_rate, sampled, (alpha, low, high), height, eta),
        _gaussian(of, known, height, eta, whose),
    )
    relaxation = _relaxation_time(sampled)
    violations = found_violations(
        of, known, sampled,
        alpha=(alpha, low, high), barrier=height, learning_rate=eta, optimizer=whose,
        time=escapes[0].time, relaxation=relaxation,
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
        The weights that were measured; the task's initial ones if not given.
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
        if there.checkpoint_sha256 == digest and set(of.places) <= set(there.coordinates):
            return there
    options = {"seed": of.settings.get("seed", 0), **options}
    found = curvature(task, checkpoint, coordinates=of.places, on_progress=on_progress, **options)
    _check_weights(of, found, at)
    if save:
        found.save(of.run.folder, at)
    return found


def _coordinates(of: Measured, known: Curvature, optimizer: str) -> Coordinates:
    diagonal, slopes = known.at(of.places)
    logs, nonzero = log_magnitudes(of.rows)
    n = nonzero.sum(axis=0)
    means = np.where(n > 0, logs.sum(axis=0) / np.maximum(n, 1), -np.inf)
    preconditioner = np.ones(len(diagonal))
    if optimizer == "adam":
        variance = (of.rows**2).mean(axis=0) / (2 if of.differences else 1)
        preconditioner = np.sqrt(variance + slopes**2) + _ADAM_EPSILON
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


def _barrier(given: float | LossLine | None, known: Curvature) -> tuple[float, str]:
    if isinstance(given, LossLine):
        if abs(given.ends[0] - known.loss) > 0.01 * abs(known.loss) + 1e-6:
            raise CaptureError(
                f"the line starts at the loss {given.ends[0]:.4g} and the curvature is of weights "
                f"with {known.loss:.4g}: give a line from the weights that were measured"
            )
        if not given.rise_from_first > 0:
            raise CaptureError(
                f"there is no barrier on the line from {given.first} to {given.second}: the loss "
                "never rises above its start. Give other weights, or barrier= a number."
            )
        return given.rise_from_first, f"the rise on the line to {given.second}"
    if given is None:
        if not known.loss > 0:
            raise CaptureError(
                f"the loss at the weights is {known.loss:.4g}, which cannot be doubled. Give "
                "barrier= by how much it must rise to leave the basin."
            )
        return known.loss, "by default the loss itself, the basin being where it less than doubles"
    if not (given > 0 and math.isfinite(given)):
        raise CaptureError(f"the barrier must be a positive number, got {given}")
    return float(given), "as given"


def _learning_rate(of: Measured, given: float | None) -> float:
    if given is None:
        rates = of.settings.get("learning_rates") or {}
        given = rates.get(of.settings.get("optimizer"))
    if given is None:
        raise CaptureError(
            f"{of.run.folder} does not say at which learning rate training ran: give learning_rate="
            " (--learning-rate)"
        )
    if not (given > 0 and math.isfinite(given)):
        raise CaptureError(f"the learning rate must be a positive number, got {given}")
    return float(given)


def _optimizer(of: Measured, given: str | None) -> str:
    if given is None:
        trained = str(of.settings.get("optimizer"))
        return trained if trained in OPTIMIZERS else "sgd"
    if given not in OPTIMIZERS:
        raise CaptureError(
            f"the theory is of {' and '.join(OPTIMIZERS)}, there is none of {given!r} here"
        )
    return given


def _check_weights(of: Measured, known: Curvature, step: int) -> None:
    """Raise where the manifest names other weights than those of the curvature."""
    settings = of.settings
    digests = settings.get("checkpoint_sha256", "unknown")
    if isinstance(digests, list):
        steps = settings.get("steps") or []
        digests = digests[steps.index(step)] if step in steps else "unknown"
    if digests == "unknown" or digests == known.checkpoint_sha256:
        return
    if digests is None:
        raise CheckpointError(
            f"{of.run.folder} measured the task's initial weights, and the curvature is of "
            f"{known.checkpoint}. Leave the checkpoint out."
        )
    name = settings.get("checkpoint") or "another checkpoint"
    raise CheckpointError(
        f"{of.run.folder} measured {name} (sha256 {str(digests)[:12]}...) at step {step}, and the "
        f"curvature is of {known.checkpoint}. Give the checkpoint that was measured."
    )


def _gaussian(
    of: Measured, known: Curvature, barrier: float, learning_rate: float, optimizer: str
) -> Escape:
    """Return the diffusion theory's time along the sharpest direction, whose exponent is least."""
    top, batch_size = float(known.eigenvalues[0]), of.record["batch_size"]
    if not (top > 0 and batch_size):
        lacks = "no positive curvature" if batch_size else "no batch size"
        note = f"there is {lacks}, which the diffusion theory needs"
        return Escape(_GAUSSIAN, math.nan, math.nan, math.nan, learning_rate, note, math.nan)
    formula = adam_diffusion_time if optimizer == "adam" else sgd_diffusion_time
    found = formula(barrier, top, -top, learning_rate=learning_rate, batch_size=batch_size)
    note = (
        f"noise covariance H / {batch_size}, no jumps; along the largest eigenvalue {top:.4g}, "
        f"over a saddle that is as sharp. {found.source}"
    )
    time = float(found)
    return Escape(_GAUSSIAN, time, time, time, learning_rate, note, found.log_time / math.log(10))
