"""The Levy equation of SGD (Zhou et al., 2020, equation 4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from noise_lens.theory.levy.increments import Jumps, check_alpha
from noise_lens.theory.levy.systems import Field, GradientSystem, gradient_system


def sgd_system(
    gradient: Field | None = None,
    *,
    potential: Field | None = None,
    learning_rate: float | None = None,
    epsilon: float | None = None,
    alpha: float,
    noise_matrix: float | ArrayLike | Tensor | None = None,
    jumps: Jumps = "independent",
) -> GradientSystem:
    """Return the Levy equation of SGD: ``dX = -grad F(X) dt + epsilon Sigma dL`` [1]_.

    The gradient system with the noise's size given by the learning rate, ``epsilon =
    eta^((alpha-1)/alpha)``. One SGD step then is one Euler step of length eta: eta^(1/alpha) times
    epsilon is eta.

    Parameters
    ----------
    gradient, potential : callable, optional
        Of F; see `gradient_system`.
    learning_rate : float, optional
        eta, in (0, 1); needs alpha > 1. Either this or epsilon.
    epsilon : float, optional
        Size of the noise, given itself.
    alpha : float
        Index of stability of the noise, in (0, 2].
    noise_matrix : float or array_like of shape (d,) or (d, d), optional
        Sigma. The paper puts the covariance of the minibatch noise here, not its root.
    jumps : {"independent", "isotropic"}
        The paper has "independent".

    Returns
    -------
    GradientSystem
        For `simulate`, `step_halving` and `escape_times`.

    Raises
    ------
    ValueError
        A number is out of range, or not exactly one of learning_rate and epsilon was given.

    References
    ----------
    .. [1] P. Zhou et al., NeurIPS 2020, equation 4. arXiv:2010.05627
    """
    return gradient_system(
        gradient,
        potential=potential,
        epsilon=chosen_epsilon(learning_rate, epsilon, alpha),
        alpha=alpha,
        noise_matrix=noise_matrix,
        jumps=jumps,
    )


def epsilon_of_step_size(step_size: float, alpha: float) -> float:
    """Return the noise's size in the Levy equation of SGD, ``eta^((alpha-1)/alpha)``.

    An SGD step adds eta times the noise; an Euler step of length eta adds
    ``epsilon eta^(1/alpha)`` times it. The two agree at this epsilon.

    Parameters
    ----------
    step_size : float
        Learning rate eta, in (0, 1).
    alpha : float
        Index of stability, in (1, 2].

    Returns
    -------
    float
        In (0, 1).

    Raises
    ------
    ValueError
        eta is out of range or not one number, or alpha is at most 1.

    Examples
    --------
    >>> round(epsilon_of_step_size(0.01, 2.0), 12)  # the square root
    0.1
    """
    check_alpha(alpha)
    if np.ndim(step_size):
        raise ValueError(f"step_size must be one number, got {step_size}: ask once for each")
    if alpha <= 1:
        raise ValueError(
            f"alpha must be above 1, got {alpha}: epsilon = eta^((alpha-1)/alpha) then does not "
            "shrink with the step size, and small-noise theory says nothing about SGD. "
            "Give epsilon itself to study the equation alone."
        )
    if not 0 < step_size < 1:
        raise ValueError(f"the step size must lie in (0, 1) for small noise, got {step_size}")
    return float(step_size ** ((alpha - 1) / alpha))


def chosen_epsilon(learning_rate: float | None, epsilon: float | None, alpha: float) -> float:
    """Return epsilon, given or of the learning rate; ValueError unless exactly one was given."""
    if (learning_rate is None) == (epsilon is None):
        raise ValueError(
            "give either learning_rate or epsilon, got "
            + ("neither" if epsilon is None else f"{learning_rate} and {epsilon}")
        )
    if epsilon is None:
        assert learning_rate is not None
        return epsilon_of_step_size(learning_rate, alpha)
    return epsilon
