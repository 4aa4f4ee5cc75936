"""How long escape takes in theory: Zhou et al. 2020, Theorem 1, and what it needs to hold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_lens.theory.escape.basin import Basin
from noise_lens.theory.escape.basins import LevelSet
from noise_lens.theory.escape.jumps import check_alpha, jump_density_constant
from noise_lens.theory.escape.linear_well import linear_well_exit_time
from noise_lens.theory.escape.radon import EscapingSet, JumpMeasure, as_matrix, radon_measure
from noise_lens.theory.escape.validity import SMALL, violations
from noise_lens.theory.levy.increments import Jumps

__all__ = ["EscapePrediction", "predicted_escape_time", "zhou_theta"]


def zhou_theta(alpha: float, epsilon: float) -> float:
    """Return Zhou's ``Theta(1/epsilon) = (2/alpha) epsilon^alpha``, the rate of jumps above 1.

    The sign of the power is that of Theorem 1 and its proof [1]_; section 4.2 misprints it as
    ``epsilon^-alpha``. In Theta the constant c of the jump density is 1.

    Parameters
    ----------
    alpha : float
        Index of stability, in (0, 2).
    epsilon : float
        Size of the noise, positive.

    Returns
    -------
    float
        Jumps per unit of time of the SDE; 0 where that is below float64.

    Raises
    ------
    ValueError
        A number is out of range; at alpha = 2 there are no jumps.

    References
    ----------
    .. [1] P. Zhou et al., NeurIPS 2020. arXiv:2010.05627

    Examples
    --------
    >>> zhou_theta(1.0, 0.25)
    0.5
    """
    check_alpha(alpha)
    return _exp(_log_theta(alpha, epsilon))


@dataclass(frozen=True)
class EscapePrediction:
    """What Theorem 1 says of one basin; ``str()`` says it in words, with what it violates first.

    Attributes
    ----------
    alpha, epsilon : float
        Index of stability and size of the noise.
    jumps : str
        "independent" or "isotropic".
    rate : JumpMeasure
        Escapes per unit of time of the SDE, for noise of the standard law.
    radon_measure : JumpMeasure
        Zhou's m(W), which goes with Theta and c = 1.
    theta : float
        ``(2/alpha) epsilon^alpha``.
    step_size : float or None
        eta, if one was given.
    violations : tuple of str
        What the theorem needs and does not get, in sentences. Empty where nothing was seen.
    linear_well_time : float or None
        Exact mean of `linear_well_exit_time`, in one dimension where the noise is too wide for
        the limit and the series resolves it; None elsewhere.
    """

    alpha: float
    epsilon: float
    jumps: Jumps
    rate: JumpMeasure
    radon_measure: JumpMeasure
    theta: float
    step_size: float | None
    violations: tuple[str, ...]
    linear_well_time: float | None = None

    @property
    def never(self) -> bool:
        """Whether no jump leaves, so that there is no escape to first order."""
        return self.radon_measure.value == 0

    @property
    def log_mean_time(self) -> float:
        """Natural logarithm of `mean_time`, also where that is beyond float64."""
        if self.rate.value > 1e-300:
            return -math.log(self.rate.value)
        return self._log_zhou_time - math.log(jump_density_constant(self.alpha))

    @property
    def mean_time(self) -> float:
        """Mean escape time of noise of the standard law, ``1 / rate``; inf where never.

        Also where it is beyond float64, which the words say.
        """
        return 1 / self.rate.value if self.rate.value > 1e-300 else _exp(self.log_mean_time)

    @property
    def standard_error(self) -> float:
        """Of `mean_time`, from the Monte Carlo error of the rate; 0 for closed forms."""
        if self.never or self.radon_measure.standard_error == 0:
            return 0.0
        return self.mean_time * (self.radon_measure.standard_error / self.radon_measure.value)

    @property
    def zhou_mean_time(self) -> float:
        """``1 / (m(W) Theta)``, as the theorem prints it: its noise has c = 1."""
        return _exp(self._log_zhou_time)

    @property
    def _log_zhou_time(self) -> float:
        if self.never:
            return math.inf
        return -math.log(self.radon_measure.value) - _log_theta(self.alpha, self.epsilon)

    @property
    def iterations(self) -> float | None:
        """Steps until escape, ``mean_time / step_size``; None without a step size."""
        if self.step_size is None:
            return None
        return _exp(self.log_mean_time - math.log(self.step_size))

    def survival(self, times: ArrayLike) -> NDArray[np.float64]:
        """Return the probability that the basin is not left before each time.

        Parameters
        ----------
        times : array_like
            In units of the SDE.

        Returns
        -------
        ndarray
            ``exp(-rate t)``: the theorem's limit is exponential.
        """
        return np.asarray(np.exp(-self.rate.value * np.asarray(times, dtype=np.float64)))

    def __str__(self) -> str:
        lines = [f"Not as the theorem needs it: {said}" for said in self.violations]
        if self.never:
            lines.append(
                "predicted: never. No single jump leaves the basin, and the theory has no other "
                "way out."
            )
            return "\n".join(lines)
        error = (
            f" +- {self.standard_error:.2g}" if self.standard_error > 1e-9 * self.mean_time else ""
        )
        lines.append(
            f"predicted mean escape time {_shown(self.log_mean_time)}{error} "
            f"(standard law, c = {jump_density_constant(self.alpha):.4g}; {self.rate.method})"
        )
        if self.iterations is not None:
            assert self.step_size is not None
            steps = _shown(self.log_mean_time - math.log(self.step_size), 4)
            lines.append(f"that is {steps} iterations of step size {self.step_size:g}")
        if self.linear_well_time is not None:
            lines.append(
                "exact mean escape time of the linear well, at this noise: "
                f"{self.linear_well_time:.5g} (linear_well_exit_time)"
            )
        lines.append(
            f"as Theorem 1 prints it, with c = 1: {_shown(self._log_zhou_time)} = "
            f"1 / (m Theta), m(W) = {self.radon_measure.value:.5g}, "
            f"Theta = {_shown(_log_theta(self.alpha, self.epsilon))}"
        )
        return "\n".join(lines)


def predicted_escape_time(
    basin: Basin,
    noise_matrix: ArrayLike = 1.0,
    *,
    alpha: float,
    epsilon: float | None = None,
    step_size: float | None = None,
    jumps: Jumps = "independent",
    preconditioner: ArrayLike | None = None,
    curvature: ArrayLike | None = None,
    beta1: float = 0.9,
    n_directions: int = 20_000,
    seed: int = 0,
) -> EscapePrediction:
    """Return the mean escape time that Theorem 1 of Zhou et al. predicts, with its conditions.

    For small epsilon ``m(W) Theta Gamma`` is exponential with mean 1 [1]_, so that
    ``E Gamma = 1 / (m(W) Theta)``; with noise of the standard law ``1 / (c m(W) Theta)``. The
    inner basin of the theorem, ``epsilon^gamma`` inside, is taken in its limit, the basin.

    Parameters
    ----------
    basin : Basin
        What is left, from its centre.
    noise_matrix : float or array_like of shape (dim,) or (dim, dim)
        Sigma.
    alpha : float
        Index of stability, in (0, 2).
    epsilon : float, optional
        Size of the noise.
    step_size : float, optional
        eta; without epsilon it gives ``epsilon = eta^((alpha-1)/alpha)``. Give one of the two.
    jumps : str
        "independent" coordinates (Zhou's) or "isotropic".
    preconditioner : float or array_like of shape (dim,) or (dim, dim), optional
        Q of Adam; the identity, which is SGD, if not given.
    curvature : float or array_like of shape (dim,) or (dim, dim), optional
        Hessian of the loss in the basin. The limit does not depend on it, but whether epsilon is
        small does. Without it that of a `LevelSet`, and 1 for other basins.
    beta1 : float
        Rate of Adam's first average per unit of time; with a preconditioner, whether epsilon is
        small depends on it too.
    n_directions : int
        As for :func:`escape_rate`.
    seed : int
        As for :func:`escape_rate`.

    Returns
    -------
    EscapePrediction
        Never a bare NaN: a basin that no jump leaves is said to be left never.

    Raises
    ------
    ValueError
        Not one of epsilon and step_size is given, a number is out of range, or a curvature is
        negative. alpha = 2 is a diffusion, and another function's.

    References
    ----------
    .. [1] P. Zhou et al., NeurIPS 2020. arXiv:2010.05627

    Examples
    --------
    >>> from noise_lens.theory.escape import Interval
    >>> found = predicted_escape_time(Interval(-1, 1), alpha=1.5, epsilon=0.01)
    >>> round(found.mean_time, 1), round(found.zhou_mean_time, 1)
    (2506.6, 750.0)
    """
    check_alpha(alpha)
    for name, number in (("epsilon", epsilon), ("step_size", step_size)):
        if np.ndim(0 if number is None else number):
            raise ValueError(f"{name} must be one number, got {number}: ask once for each")
    if (epsilon is None) == (step_size is None):
        raise ValueError(
            f"give epsilon or step_size, one of the two, got epsilon={epsilon} and "
            f"step_size={step_size}"
        )
    if epsilon is None:
        assert step_size is not None
        if not 0 < step_size < math.inf:
            raise ValueError(f"the step size must be positive and finite, got {step_size}")
        # Not levy.epsilon_of_step_size, which refuses what is here a violation to be told.
        epsilon = float(step_size ** ((alpha - 1) / alpha))
    theta = zhou_theta(alpha, epsilon)
    # The measure first: a rate may be below float64, and its logarithm is not.
    measure = radon_measure(
        basin, noise_matrix, alpha, jumps,
        preconditioner=preconditioner, n_directions=n_directions, seed=seed,
    )  # fmt: skip
    rate = measure.times(jump_density_constant(alpha) * theta)
    escaping = EscapingSet(basin, noise_matrix, preconditioner)
    said = violations(
        escaping, alpha, epsilon, jumps,
        step_size=step_size, preconditioner=preconditioner, curvature=curvature, beta1=beta1,
        mean_time=1 / rate.value if rate.value else math.inf,
    )  # fmt: skip
    exact = None
    if preconditioner is None:
        exact = _linear_well_time(escaping, alpha, epsilon, curvature)
    return EscapePrediction(alpha, epsilon, jumps, rate, measure, theta, step_size, said, exact)


def _linear_well_time(
    escaping: EscapingSet, alpha: float, epsilon: float, curvature: ArrayLike | None
) -> float | None:
    """Return the exact mean where noise is wide, one dimension is all and the series resolves."""
    basin = escaping.basin
    if basin.dim != 1:
        return None
    low, high = escaping.distance([[-1.0], [1.0]])
    if not (math.isfinite(high) and math.isclose(low, high, rel_tol=1e-9)):
        return None
    if curvature is None:
        curvature = basin.hessian.numpy() if isinstance(basin, LevelSet) else 1.0
    pull = float(as_matrix("curvature", curvature, 1)[0, 0])
    if pull > 0 and epsilon * pull ** (-1 / alpha) <= SMALL * high:
        return None
    try:
        # Distances are in units of the noise, which takes its scale out.
        return linear_well_exit_time(alpha, epsilon, curvature=max(pull, 0.0), radius=float(high))
    except ValueError:
        return None


def _log_theta(alpha: float, epsilon: float) -> float:
    if not 0 < epsilon < math.inf:
        raise ValueError(f"epsilon must be positive and finite, got {epsilon}")
    return math.log(2 / alpha) + alpha * math.log(epsilon)


def _exp(log: float) -> float:
    return math.exp(log) if log < 709 else math.inf


def _shown(log: float, digits: int = 5) -> str:
    """Return the number of this logarithm, or the logarithm where float64 has no such number."""
    if abs(log) < 700:
        return f"{math.exp(log):.{digits}g}"
    return f"about e^{log:.{digits}g}"
