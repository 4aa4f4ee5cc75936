"""What a prediction holds, and how it reads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple


class Violation(NamedTuple):
    """An assumption of the theory that the data do not meet.

    Attributes
    ----------
    name : str
        Which: "verdict", "alpha", "step size", "dependence", "minimum", "flat directions",
        "small noise", "beyond the data", "optimizer", "weights" or "curvature".
    message : str
        What was found, with numbers, and what it does to the prediction.
    """

    name: str
    message: str


@dataclass(frozen=True)
class Escape:
    """The mean escape time that one theory gives.

    Attributes
    ----------
    theory : str
        "independent jumps", "one shared radius", or "Gaussian".
    time, low, high : float
        In units of the SDE. The range is over the interval of alpha and the error of sampling
        coordinates; inf: never, to first order. NaN where there is no number.
    step_size : float
        Units of the SDE in one iteration.
    note : str
        What must be known beside the number.
    log10_time : float
        Also where `time` is beyond all floats.
    """

    theory: str
    time: float
    low: float
    high: float
    step_size: float
    note: str
    log10_time: float

    @property
    def iterations(self) -> tuple[float, float, float]:
        """Mean, low and high in iterations."""
        return self.time / self.step_size, self.low / self.step_size, self.high / self.step_size


@dataclass(frozen=True)
class Prediction:
    """What the theory of Levy-driven escape gives for a run; ``str()`` says it, violations first.

    Attributes
    ----------
    run : str
        Name of the run folder.
    step : int
        Training step of the measurement.
    group : str
        Whose noise.
    violations : tuple of Violation
        What the theory needs and the data do not have. Empty where nothing was found.
    assumed : tuple of str
        What it needs and cannot be seen here.
    alpha, alpha_low, alpha_high : float
        Of the verdict on coordinates; NaN where it has none.
    label : str
        Of that verdict.
    optimizer : str
        Whose theory: "sgd" or "adam".
    learning_rate : float
        eta.
    batch_size : int or None
        Examples a minibatch.
    epsilon : float
        ``eta^((alpha-1)/alpha)``.
    barrier : float
        Delta, by which the loss must rise.
    barrier_source : str
        Where it is from.
    loss : float
        At the weights.
    relaxation_time : float
        1 over the mean curvature, in units of the SDE.
    n_coordinates, n_parameters : int
        Sampled, and in all.
    escapes : tuple of Escape
        One a theory.
    """

    run: str
    step: int
    group: str
    violations: tuple[Violation, ...]
    assumed: tuple[str, ...]
    alpha: float
    alpha_low: float
    alpha_high: float
    label: str
    optimizer: str
    learning_rate: float
    batch_size: int | None
    epsilon: float
    barrier: float
    barrier_source: str
    loss: float
    relaxation_time: float
    n_coordinates: int
    n_parameters: int
    escapes: tuple[Escape, ...]

    def __str__(self) -> str:
        lines = [f"{self.run}, step {self.step:,}, {self.group}: escape by the theory"]
        if self.violations:
            lines.append(
                f"The data violate {len(self.violations)} of its assumptions; the numbers below "
                "are what the formulas give, no forecast:"
            )
            lines += [
                f"  {number}. {name}: {message}"
                for number, (name, message) in enumerate(self.violations, start=1)
            ]
        else:
            lines.append("No assumption was found violated.")
        lines.append("Assumed, and not to be seen here:")
        lines += [f"  - {sentence}" for sentence in self.assumed]
        size = "unequal size" if self.batch_size is None else str(self.batch_size)
        lines.append(
            f"alpha {_number(self.alpha)} [{_number(self.alpha_low)}, {_number(self.alpha_high)}] "
            f"({self.label}), {self.optimizer} at learning rate {self.learning_rate:g}, "
            f"minibatches of {size}, epsilon {_number(self.epsilon)}"
        )
        lines.append(
            f"barrier {self.barrier:.4g} above the loss {self.loss:.4g}: {self.barrier_source}"
        )
        lines.append(
            f"{self.n_coordinates} coordinates of {self.n_parameters:,}; relaxation time "
            f"{_number(self.relaxation_time)} = "
            f"{_number(self.relaxation_time / self.learning_rate)} iterations"
        )
        rows = [("mean escape time", "of the SDE [range]", "iterations [range]")]
        rows += [
            (
                escape.theory,
                _range(escape.time, escape.low, escape.high, escape.log10_time),
                _range(*escape.iterations, escape.log10_time - math.log10(self.learning_rate)),
            )
            for escape in self.escapes
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines += [
            f"{row[0].ljust(widths[0])}  {row[1].rjust(widths[1])}  {row[2].rjust(widths[2])}"
            for row in rows
        ]
        lines += [f"  {escape.theory}: {escape.note}" for escape in self.escapes if escape.note]
        return "\n".join(lines)


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return "never" if math.isinf(value) else f"{value:.3g}"


def _range(value: float, low: float, high: float, log10: float) -> str:
    if math.isnan(value):
        return "-"
    shown = f"10^{log10:.0f}" if math.isinf(value) and math.isfinite(log10) else _number(value)
    if math.isnan(low) or low == value == high:
        return shown
    return f"{shown} [{_number(low)}, {_number(high)}]"
