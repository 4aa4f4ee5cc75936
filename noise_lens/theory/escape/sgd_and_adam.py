"""SGD and Adam in one anisotropic quadratic basin: who leaves first, by the theory and in fact.

Theory (Zhou et al. 2020, section 4.2) compares the Radon measures of two escaping sets of the same
basin, ``W_SGD = {y : Sigma y outside}`` and ``W_Adam = {y : Q^-1 Sigma y outside}``, with Q the
limit of ``diag(sqrt(v) + eps)`` at the minimum. In Adam's equation Q moves with v, and the drift
follows m, which lags. Three simulations tell what that does: SGD, Adam, and Adam whose v is held.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from noise_lens.theory.escape.basins import LevelSet
from noise_lens.theory.escape.exit_times import EscapeTimes
from noise_lens.theory.escape.first_exit import escape_times
from noise_lens.theory.escape.predictions import EscapePrediction, predicted_escape_time
from noise_lens.theory.levy import LevySystem, adam_system, sgd_system

__all__ = ["BasinComparison", "Simulated", "compare_sgd_and_adam"]

_Z = 1.959963984540054


@dataclass(frozen=True)
class Simulated:
    """Exit times of one system beside what the theory predicts for it.

    Attributes
    ----------
    name : str
        "SGD", "Adam" or "Adam with v held".
    prediction : EscapePrediction
        Of the basin with the Q of the minimum.
    times : EscapeTimes
        As simulated.
    """

    name: str
    prediction: EscapePrediction
    times: EscapeTimes

    @property
    def mean(self) -> float:
        """Time spent inside over exits: the mean, if the law is exponential where it is cut."""
        found = self.times.mean_with_error(law="exponential")
        if found.kind == "no mean":
            raise ValueError(f"{self.name}: {found}")
        return found.value

    @property
    def log_error(self) -> float:
        """Standard error of the logarithm of the mean; inf without an exit."""
        if not self.times.n_exits:
            return math.inf
        found = self.times.mean_with_error(law="exponential")
        return found.standard_error / found.value

    @property
    def ratio(self) -> tuple[float, float, float]:
        """Simulated over predicted mean: the ratio, and its 95 % interval."""
        return _interval(math.log(self.mean / self.prediction.mean_time), self.log_error)

    def __str__(self) -> str:
        ratio, low, high = self.ratio
        return (
            f"{self.name}: predicted {self.prediction.mean_time:.4g}, simulated {self.mean:.4g}, "
            f"ratio {ratio:.2f} (95 %: {low:.2f} to {high:.2f})"
        )


@dataclass(frozen=True)
class BasinComparison:
    """Who leaves a basin first; ``str()`` says whether the theory's order came out.

    Attributes
    ----------
    alpha, epsilon : float
        Of the noise.
    sgd, adam, adam_held : Simulated
        The three systems.
    """

    alpha: float
    epsilon: float
    sgd: Simulated
    adam: Simulated
    adam_held: Simulated

    @property
    def predicted_ratio(self) -> float:
        """Adam's mean escape time over SGD's, by the Radon measures: ``m(W_SGD) / m(W_Adam)``."""
        return self.adam.prediction.mean_time / self.sgd.prediction.mean_time

    @property
    def simulated_ratio(self) -> tuple[float, float, float]:
        """Adam's mean escape time over SGD's, simulated, and its 95 % interval."""
        return self._against_sgd(self.adam)

    @property
    def held_ratio(self) -> tuple[float, float, float]:
        """The same for Adam whose v is held at the minimum's."""
        return self._against_sgd(self.adam_held)

    @property
    def ordering(self) -> str:
        """What came of the predicted order.

        "reproduced", "reversed", "cannot tell" where the interval holds 1, and where the measures
        are within 1 % of each other "equal, as predicted" or "unequal, against the prediction".
        """
        _, low, high = self.simulated_ratio
        if abs(math.log(self.predicted_ratio)) < 0.01:
            return "equal, as predicted" if low <= 1 <= high else "unequal, against the prediction"
        if low <= 1 <= high:
            return "cannot tell"
        return "reproduced" if (low > 1) == (self.predicted_ratio > 1) else "reversed"

    def _against_sgd(self, other: Simulated) -> tuple[float, float, float]:
        error = math.hypot(self.sgd.log_error, other.log_error)
        return _interval(math.log(other.mean / self.sgd.mean), error)

    def __str__(self) -> str:
        ratio, low, high = self.simulated_ratio
        lines = [str(one) for one in (self.sgd, self.adam_held, self.adam)]
        lines.append(
            f"Adam over SGD: predicted {self.predicted_ratio:.3g}, simulated {ratio:.3g} "
            f"(95 %: {low:.3g} to {high:.3g}). Order of escape: {self.ordering}."
        )
        return "\n".join(lines)


def compare_sgd_and_adam(
    basin: LevelSet,
    noise_scales: ArrayLike,
    *,
    alpha: float,
    epsilon: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    n_paths: int = 1000,
    step_size: float = 0.02,
    patience: float = 10.0,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> BasinComparison:
    """Simulate SGD, Adam and Adam with v held out of one quadratic basin, beside the theory.

    The noise is diagonal, Sigma = diag(scales), and stands in v by its squares: at the minimum
    ``Q = Sigma + eps``, so that Adam makes the noise of all coordinates alike. That is what the
    paper means by ``Q^-1 Sigma ~ I``.

    Parameters
    ----------
    basin : LevelSet
        The loss is its quadratic.
    noise_scales : array_like of shape (dim,)
        Scale of the noise of each coordinate, positive.
    alpha : float
        Index of stability, in (0, 2).
    epsilon : float
        Size of the noise.
    beta1, beta2 : float
        Rates of Adam's averages per unit of time, as the SDE has them.
    eps : float
        Of Adam.
    n_paths : int
        Of each system.
    step_size : float
        Time of one step of the scheme.
    patience : float
        Waiting ends after so many predicted mean times; what is inside then is censored.
    seed : int
        Of all three, which see the same noise for as long as their shapes agree.
    device : torch.device or str
        Where to compute.

    Returns
    -------
    BasinComparison
        Predictions, times, and what came of the order.

    Raises
    ------
    ValueError
        A scale is not positive, or a number is out of range.
    """
    scales = np.asarray(noise_scales, dtype=np.float64)
    if scales.shape != (basin.dim,) or not (np.isfinite(scales) & (scales > 0)).all():
        raise ValueError(
            f"noise_scales must be {basin.dim} positive numbers, got {scales.tolist()}"
        )
    hessian, centre = basin.hessian, basin.centre

    def gradient(points: Tensor) -> Tensor:
        return (points - centre.to(points)) @ hessian.to(points)

    held = torch.as_tensor(scales**2)

    def only_noise(points: Tensor, gradient: Tensor) -> Tensor:
        return held.to(points).expand_as(gradient)

    sgd = partial(sgd_system, gradient, alpha=alpha, epsilon=epsilon, noise_matrix=scales)
    adam = partial(
        adam_system, gradient, alpha=alpha, epsilon=epsilon, noise_matrix=scales,
        beta1=beta1, beta2=beta2, eps=eps,
    )  # fmt: skip
    systems: dict[str, LevySystem] = {
        "SGD": sgd(),
        "Adam": adam(noise_variance=scales**2),
        "Adam with v held": adam(squared_gradient=only_noise),
    }
    found = []
    for name, system in systems.items():
        prediction = predicted_escape_time(
            basin, scales, alpha=alpha, epsilon=epsilon,
            preconditioner=None if name == "SGD" else scales + eps,
        )  # fmt: skip
        times = escape_times(
            system, basin, centre, n_paths=n_paths, step_size=step_size,
            max_time=patience * prediction.mean_time, seed=seed, device=device,
        )  # fmt: skip
        found.append(Simulated(name, prediction, times))
    return BasinComparison(alpha, epsilon, *found)


def _interval(log: float, error: float) -> tuple[float, float, float]:
    return math.exp(log), math.exp(log - _Z * error), math.exp(log + _Z * error)
