"""Which assumptions of the escape theory the data violate, in order of weight."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from noise_lens.inference import Verdict
from noise_lens.landscape import Curvature
from noise_lens.prediction.measured import Measured
from noise_lens.prediction.rates import Coordinates
from noise_lens.prediction.result import Escape, Violation

ASSUMED = (
    (
        "to distrust first: the noise matrix and the Hessian are taken as diagonal in these "
        "coordinates, each of which was measured by itself; real minibatches move all of them "
        "together along sharp directions, where far less noise leaves"
    ),
    "the noise has the same law wherever the path goes; one probe sees it at one point",
    "the loss is quadratic up to the barrier, and the basin is left along coordinate axes",
    "jumps follow the power law however large they are; finite data has a largest gradient",
)
"""What the theory needs and a run folder cannot show."""

_SMALL = 0.05
"""Of the noise against the basin: beyond it simulated times part from the limit by over 10 %."""
_FAR = 3.0
_TOGETHER = 0.05
_STABLE = 2.0
"""Of step size times curvature: gradient descent on a quadratic diverges beyond it."""


def found_violations(
    of: Measured,
    known: Curvature,
    sampled: Coordinates,
    *,
    alpha: tuple[float, float, float],
    barrier: float,
    learning_rate: float,
    optimizer: str,
    escapes: tuple[Escape, ...],
    relaxation: float,
) -> tuple[Violation, ...]:
    """Return what the theory needs and the data do not have.

    Parameters
    ----------
    of : Measured
        The noise.
    known : Curvature
        The loss.
    sampled : Coordinates
        Both, coordinate by coordinate.
    alpha : tuple of float
        With the ends of its interval.
    barrier, learning_rate : float
        Of the prediction.
    optimizer : str
        Whose theory was taken.
    escapes : tuple of Escape
        What was predicted, that of independent jumps first.
    relaxation : float
        1 over the mean curvature.

    Returns
    -------
    tuple of Violation
        The weightiest first.
    """
    found = [
        *_of_the_law(of, alpha),
        *_of_the_step(known, alpha[0], learning_rate, optimizer, escapes),
        *_of_dependence(of, alpha[0]),
        *_of_the_minimum(known, sampled, barrier),
        *_of_small_noise(
            of, sampled, alpha[0], barrier, learning_rate, optimizer, escapes[0].time, relaxation
        ),
        *_of_the_source(of, known, optimizer),
    ]
    return tuple(found)


def _of_the_law(of: Measured, alpha: tuple[float, float, float]) -> Iterator[Violation]:
    verdict = of.coordinates
    value, low, high = alpha
    if verdict.label != "stable":
        yield Violation(
            "verdict",
            f"the noise of coordinates is {verdict.label!r}, not 'stable' ({verdict.words}): its "
            "alpha is no tail index, and jumps by a power law are not what the data show",
        )
    if math.isfinite(value) and high >= 2:
        yield Violation(
            "alpha",
            f"its interval [{low:.2f}, {high:.2f}] reaches 2, where noise is Gaussian and does not "
            "jump: the escape time has no upper end",
        )
    if low <= 1:
        yield Violation(
            "alpha",
            f"{'it' if value <= 1 else 'its interval'} reaches 1 or below ({value:.2f} "
            f"[{low:.2f}, {high:.2f}]): epsilon = eta^((alpha-1)/alpha) is then not below 1, and "
            "the theorem is for small epsilon",
        )


def _of_the_step(
    known: Curvature,
    alpha: float,
    learning_rate: float,
    optimizer: str,
    escapes: tuple[Escape, ...],
) -> Iterator[Violation]:
    reach = learning_rate * float(known.eigenvalues[0])
    if optimizer == "sgd" and reach > _STABLE:  # Adam's is that of the preconditioned Hessian
        yield Violation(
            "step size",
            f"the learning rate times the largest eigenvalue is {reach:.3g}, beyond {_STABLE:g}: "
            "without any noise gradient descent leaves this quadratic, so nothing rests in it",
        )
    epsilon = learning_rate ** ((alpha - 1) / alpha) if 0 < alpha <= 2 else math.nan
    if alpha > 1 and epsilon >= 1:  # an alpha of 1 or below has been named
        yield Violation(
            "step size",
            f"epsilon = eta^((alpha-1)/alpha) is {epsilon:.3g} at the learning rate "
            f"{learning_rate:g}, and the theorem is for epsilon far below 1",
        )
    short = [one for one in escapes if one.iterations[0] < 1]
    if short:
        times = ", ".join(f"{one.iterations[0]:.3g} ({one.theory})" for one in short)
        yield Violation(
            "step size",
            f"the predicted time is below one iteration: {times}. No training leaves so soon; the "
            "SDE does not stand for steps this large",
        )


def _of_dependence(of: Measured, alpha: float) -> Iterator[Violation]:
    coordinates, projections, together = of.coordinates, of.projections, of.together
    if projections is not None and projections.label != coordinates.label:
        yield Violation(
            "dependence",
            f"coordinates are {_with_alpha(coordinates)} and random projections "
            f"{_with_alpha(projections)}; independent stable coordinates would have projections "
            "of their own alpha",
        )
    error = together.standard_error
    if math.isfinite(error) and math.isfinite(alpha) and together.correlation > _FAR * error:
        share = float(together.share(np.array(min(alpha, 2.0))))
        if share > _TOGETHER:
            of_radius = f"{100 * share:.0f} % of what one radius gives"
            of_radius = of_radius if share < 1 else "no less than one radius gives"
            yield Violation(
                "dependence",
                "large entries of a minibatch come together (correlation of log magnitudes "
                f"{together.correlation:.3f}, {of_radius}): coordinates do not jump one by one. "
                "Compare the line 'one shared radius'",
            )


def _with_alpha(verdict: Verdict) -> str:
    known = "" if math.isnan(verdict.alpha) else f" (alpha {verdict.alpha:.2f})"
    return f"{verdict.label!r}{known}"


def _of_the_minimum(known: Curvature, sampled: Coordinates, barrier: float) -> Iterator[Violation]:
    top = float(known.eigenvalues[0])
    if top > 0:
        fall = known.gradient_norm**2 / (2 * top)
        if fall > 0.01 * barrier:
            yield Violation(
                "minimum",
                f"the weights are at no minimum: the gradient norm is {known.gradient_norm:.3g}, "
                f"and one step along it would lower the loss by {fall:.2g}, "
                f"{100 * fall / barrier:.2g} % of the barrier",
            )
    if known.smallest < -1e-6 * abs(top):
        yield Violation(
            "minimum",
            f"the Hessian has an eigenvalue of {known.smallest:.3g} or less (the largest is "
            f"{top:.3g}): the loss falls that way, and nothing has to be climbed to leave",
        )
    flat = int(np.count_nonzero(sampled.curvature <= 0))
    if flat:
        negative = int(np.count_nonzero(sampled.curvature < 0))
        yield Violation(
            "flat directions",
            f"{flat} of {len(sampled.curvature)} sampled coordinates have no positive curvature "
            f"({negative} negative): the quadratic is never left along them, and they count "
            "nothing",
        )


def _of_small_noise(
    of: Measured,
    sampled: Coordinates,
    alpha: float,
    barrier: float,
    learning_rate: float,
    optimizer: str,
    time: float,
    relaxation: float,
) -> Iterator[Violation]:
    if time < relaxation:
        yield Violation(
            "small noise",
            f"the predicted time {time:.3g} is shorter than the relaxation time {relaxation:.3g} "
            "of the mean curvature: jumps add up before the drift has brought any back, and the "
            "theory of single jumps does not hold",
        )
    # Of a stable law the mean square has no limit, and is of the largest jump alone.
    if optimizer == "sgd" and of.record["group"] == "all" and of.coordinates.label != "stable":
        hover = learning_rate * of.noise_energy / 4
        if hover > _SMALL * barrier:
            yield Violation(
                "small noise",
                f"noise of the measured variance would hold the loss about {hover:.2g} above the "
                f"minimum at this learning rate, {hover / barrier:.2g} times the barrier: it "
                "takes no rare jump to leave the basin",
            )
    if not (0 < alpha <= 2):
        return
    epsilon = learning_rate ** ((alpha - 1) / alpha)
    reach = float(np.max(epsilon * sampled.reach(alpha, barrier), initial=0.0))
    if reach > _SMALL:
        yield Violation(
            "small noise",
            f"epsilon sigma is {reach:.2g} of the way out of the basin along one of the sampled "
            f"coordinates; times are off the limit by over 10 % beyond {_SMALL:g}",
        )
    with np.errstate(divide="ignore"):
        needed = sampled.radii(barrier) * sampled.preconditioner / (learning_rate * of.largest)
    nearest = float(np.min(needed, initial=math.inf))
    if math.isfinite(nearest) and nearest > _FAR:
        yield Violation(
            "beyond the data",
            f"to leave in one step a coordinate needs noise {nearest:.3g} times the largest that "
            f"{len(of.rows)} rows showed, at the least: the power law is taken that far on trust",
        )


def _of_the_source(of: Measured, known: Curvature, optimizer: str) -> Iterator[Violation]:
    trained = of.settings.get("optimizer") or of.settings.get("optimizer_class")
    if trained is not None and str(trained).lower() != optimizer:
        yield Violation(
            "optimizer",
            f"the run is of {trained} and the formula of {optimizer}: momentum, weight decay and "
            "preconditioners change escape",
        )
    if optimizer == "adam":
        yield Violation(
            "optimizer",
            "Adam's preconditioner is held at the root of the mean squared gradient of the probe; "
            "in Adam it moves, and rises after a jump. Its first moment is left out",
        )
    gap = abs(of.record["loss"] - known.loss)
    if gap > 0.05 * abs(known.loss) + 5 * of.loss_error:
        yield Violation(
            "weights",
            f"the probe's mean loss is {of.record['loss']:.4g} and that of the curvature "
            f"{known.loss:.4g}: other weights, other data, or dropout that only one of them saw",
        )
    if known.n_examples < known.n_all:
        yield Violation(
            "curvature",
            f"it is of {known.n_examples} of {known.n_all} training examples",
        )
    if not known.converged:
        yield Violation(
            "curvature",
            "its largest eigenvalues have not converged (residual "
            f"{float(known.errors.max()):.2g}): give more products",
        )
