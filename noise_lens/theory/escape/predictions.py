"""How long escape takes in theory: Zhou et al. 2020, Theorem 1, and what it needs to hold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_lens.theory.escape.basin import Basin
from noise_lens.theory.escape.jumps import check_alpha, jump_density_constant
from noise_lens.theory.escape.radon import EscapingSet, JumpMeasure, escape_rate
from noise_lens.theory.escape.validity import violations
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
        Jumps per unit of time of the SDE.

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
    if not 0 < epsilon < math.inf:
        raise ValueError(f"epsilon must be positive and finite, got {epsilon}")
    return float(2 / alpha * epsilon**alpha)


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
    """

    alpha: float
    epsilon: float
    jumps: Jumps
    rate: JumpMeasure
    radon_measure: JumpMeasure
    theta: float
    step_size: float | None
    violations: tuple[str, ...]

    @property
    def never(self) -> bool:
        """Whether no jump leaves, so that there is no escape to first order."""
        return self.rate.value == 0

    @property
    def mean_time(self) -> float:
        """Mean escape time of noise of the standard law, ``1 / rate``; inf where never."""
        return math.inf if self.never else 1 / self.rate.value

    @property
    def standard_error(self) -> float:
        """Of `mean_time`, from the Monte Carlo error of the rate; 0 for closed forms."""
        return 0.0 if self.never else self.rate.standard_error / self.rate.value**2

    @property
    def zhou_mean_time(self) -> float:
        """``1 / (m(W) Theta)``, as the theorem prints it: its noise has c = 1."""
        return math.inf if self.never else 1 / (self.radon_measure.value * self.theta)

    @property
    def iterations(self) -> float | None:
        """Steps until escape, ``mean_time / step_size``; None without a step size."""
        return None if self.step_size is None else self.mean_time / self.step_size

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
            f" +- {self.standard_error:.2g}" if self.standard_error > 1e-9 / self.rate.value else ""
        )
        lines.append(
            f"predicted mean escape time {self.mean_time:.5g}{error} "
            f"(standard law, c = {jump_density_constant(self.alpha):.4g}; {self.rate.method})"
        )
        if self.iterations is not None:
            lines.append(
                f"that is {self.iterations:.4g} iterations of step size {self.step_size:g}"
            )
        lines.append(
            f"as Theorem 1 prints it, with c = 1: {self.zhou_mean_time:.5g} = "
            f"1 / (m Theta), m(W) = {self.radon_measure.value:.5g}, Theta = {self.theta:.5g}"
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
        Not one of epsilon and step_size is given, or a number is out of range. alpha = 2 is a
        diffusion, and another function's.

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
    rate = escape_rate(
        basin, noise_matrix, alpha, epsilon, jumps,
        preconditioner=preconditioner, n_directions=n_directions, seed=seed,
    )  # fmt: skip
    measure = rate.times(1 / (jump_density_constant(alpha) * theta))
    said = violations(
        EscapingSet(basin, noise_matrix, preconditioner), alpha, epsilon, jumps,
        step_size=step_size, preconditioner=preconditioner, curvature=curvature, beta1=beta1,
    )  # fmt: skip
    return EscapePrediction(alpha, epsilon, jumps, rate, measure, theta, step_size, said)
