"""What a caller gives beside the run folder: barrier, learning rate, optimizer, weights."""

from __future__ import annotations

import math

import numpy as np

from noise_lens.errors import CaptureError, CheckpointError
from noise_lens.landscape import Curvature, LossLine
from noise_lens.prediction.measured import Measured

OPTIMIZERS = ("sgd", "adam")
UNKNOWN = "unknown"


def barrier_of(given: float | LossLine | None, known: Curvature) -> tuple[float, str]:
    """Return the barrier's height, and where it is from.

    Parameters
    ----------
    given : float or LossLine or None
        A number, a line whose rise from its first end it is, or the default.
    known : Curvature
        At the weights.

    Returns
    -------
    height : float
        Positive.
    source : str
        In words.

    Raises
    ------
    CaptureError
        It is not positive, or the line is from other weights or never rises.
    """
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
        source = f"the rise on the line to {given.second}"
        inside = given.train[(given.fractions >= 0) & (given.fractions <= 1)]
        if int(np.argmax(inside)) == len(inside) - 1:
            over = "no ridge" if given.one_basin else f"a ridge of {given.ridge:.4g}"
            source += (
                f", whose highest point is that end itself ({over} lies before it): the climb to "
                "that end, not over a ridge"
            )
        return given.rise_from_first, source
    if given is None:
        if not known.loss > 0:
            raise CaptureError(
                f"the loss at the weights is {known.loss:.4g}, which cannot be doubled. Give "
                "barrier= by how much it must rise to leave the basin."
            )
        return known.loss, "by default the loss itself, the basin being where it less than doubles"
    return positive_barrier(given), "as given"


def positive_barrier(given: float) -> float:
    """Return a barrier that was given as a number.

    Parameters
    ----------
    given : float
        By the caller.

    Returns
    -------
    float
        The same.

    Raises
    ------
    CaptureError
        It is no positive number.
    """
    if not (given > 0 and math.isfinite(given)):
        raise CaptureError(f"the barrier must be a positive number, got {given}")
    return float(given)


def learning_rate_of(of: Measured, given: float | None) -> float:
    """Return the learning rate that was given, or that of the run.

    Parameters
    ----------
    of : Measured
        Of a run folder.
    given : float or None
        By the caller.

    Returns
    -------
    float
        Positive.

    Raises
    ------
    CaptureError
        None is known, or it is no positive number.
    """
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


def optimizer_of(of: Measured, given: str | None) -> str:
    """Return whose theory to take.

    Parameters
    ----------
    of : Measured
        Of a run folder.
    given : str or None
        By the caller.

    Returns
    -------
    str
        "sgd" or "adam".

    Raises
    ------
    CaptureError
        There is no theory of it here.
    """
    if given is None:
        trained = str(of.settings.get("optimizer"))
        return trained if trained in OPTIMIZERS else "sgd"
    if given not in OPTIMIZERS:
        raise CaptureError(
            f"the theory is of {' and '.join(OPTIMIZERS)}, there is none of {given!r} here"
        )
    return given


def measured_digest(of: Measured, step: int) -> str | None:
    """Return the digest of the checkpoint that was measured.

    Parameters
    ----------
    of : Measured
        Of a run folder.
    step : int
        Training step.

    Returns
    -------
    str or None
        None for the task's initial weights, `UNKNOWN` where the manifest does not say.
    """
    digests: str | list[str] | None = of.settings.get("checkpoint_sha256", UNKNOWN)
    if isinstance(digests, list):
        steps = of.settings.get("steps") or []
        return digests[steps.index(step)] if step in steps else UNKNOWN
    return digests


def check_weights(of: Measured, digest: str | None, name: str, step: int) -> None:
    """Raise where the manifest names other weights than these.

    Parameters
    ----------
    of : Measured
        Of a run folder.
    digest : str or None
        Of the checkpoint of a curvature; None for initial weights.
    name : str
        Of the checkpoint.
    step : int
        Training step.

    Raises
    ------
    CheckpointError
        They are others.
    """
    wanted = measured_digest(of, step)
    if wanted in (UNKNOWN, digest):
        return
    if wanted is None:
        raise CheckpointError(
            f"{of.run.folder} measured the task's initial weights, and the curvature is of "
            f"{name}. Leave the checkpoint out."
        )
    measured = of.settings.get("checkpoint") or "another checkpoint"
    raise CheckpointError(
        f"{of.run.folder} measured {measured} (sha256 {wanted[:12]}...) at step {step}, and the "
        f"curvature is of {name}. Give the checkpoint that was measured."
    )
