"""The Levy equation of Adam (Zhou et al., 2020, equation 5)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from noise_lens.theory.levy.increments import Jumps
from noise_lens.theory.levy.sgd import chosen_epsilon
from noise_lens.theory.levy.systems import Field, LevySystem, gradient_of

SquaredGradient = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class AdamSystem(LevySystem):
    """The equation of `adam_system`, which makes it. A state is (theta, m, v)."""

    gradient: Field | None = None
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    bias_correction: bool = True
    squared_gradient: SquaredGradient | None = None
    noise_variance: float | Tensor = 0.0

    def initial_state(self, positions: Tensor) -> Tensor:
        """Return the state at time 0: both averages empty, as Adam starts."""
        return torch.cat([positions, torch.zeros_like(positions).repeat(1, 2)], dim=-1)

    def position(self, state: Tensor) -> Tensor:
        """Return theta of states (theta, m, v)."""
        return state[..., : state.shape[-1] // 3]

    def step(self, state: Tensor, noise: Tensor, *, time: float, step_size: float) -> Tensor:
        """Return the states one step after `time`: the averages first, then theta, as Adam does."""
        assert self.gradient is not None
        theta, m, v = state.chunk(3, dim=-1)
        gradient = self.gradient(theta)
        # -expm1: 1 - exp(-beta h) is the share of an average that one step renews, exactly.
        m = m.lerp(gradient, -math.expm1(-self.beta1 * step_size))
        v = v.lerp(self._squared(theta, gradient), -math.expm1(-self.beta2 * step_size))
        mu = omega = 1.0
        if self.bias_correction:
            mu = -1 / math.expm1(-self.beta1 * (time + step_size))
            omega = -1 / math.expm1(-self.beta2 * (time + step_size))
        q = (omega * v).sqrt_().add_(self.eps)
        theta = theta + (noise - step_size * mu * m) / q
        return torch.cat([theta, m, v], dim=-1)

    def preconditioner(self, state: Tensor, *, time: float) -> Tensor:
        """Return the diagonal of Q, ``sqrt(omega v) + eps``.

        Parameters
        ----------
        state : Tensor of shape (n, 3 d)
            States at `time`.
        time : float
            Above 0 where averages are corrected for their empty start.

        Returns
        -------
        Tensor of shape (n, d)
            Positive.
        """
        v = state.chunk(3, dim=-1)[2]
        omega = -1 / math.expm1(-self.beta2 * time) if self.bias_correction else 1.0
        return (omega * v).sqrt() + self.eps

    def _squared(self, theta: Tensor, gradient: Tensor) -> Tensor:
        if self.squared_gradient is not None:
            return self.squared_gradient(theta, gradient)
        variance = self.noise_variance
        return gradient.square() + (
            variance.to(gradient.device) if isinstance(variance, Tensor) else variance
        )


def adam_system(
    gradient: Field | None = None,
    *,
    potential: Field | None = None,
    learning_rate: float | None = None,
    epsilon: float | None = None,
    alpha: float,
    noise_matrix: float | ArrayLike | Tensor | None = None,
    jumps: Jumps = "independent",
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    bias_correction: bool = True,
    squared_gradient: SquaredGradient | None = None,
    noise_variance: float | ArrayLike | Tensor | None = None,
) -> AdamSystem:
    """Return the Levy equation of Adam [1]_.

    ::

        d theta = -mu_t Q_t^-1 m dt + epsilon Q_t^-1 Sigma dL
        d m     = beta1 (grad F - m) dt
        d v     = beta2 ((grad f_S)^2 - v) dt
        Q_t     = diag(sqrt(omega_t v) + eps)
        mu_t    = 1 / (1 - exp(-beta1 t)),   omega_t = 1 / (1 - exp(-beta2 t))

    A step of length h renews the averages by their exact share, 1 - exp(-beta h), and then moves
    theta: an Adam step whose decay rates are exp(-beta1 h) and exp(-beta2 h), with noise.

    The square of a *minibatch* gradient is random, and of infinite mean under stable noise: the
    equation is closed only by a model of it. Here ``grad F^2 + noise_variance``, the mean square
    of a minibatch gradient whose noise has that variance, or any function of the position.

    Parameters
    ----------
    gradient, potential : callable
        Of F, one of them; see `gradient_system`.
    learning_rate, epsilon : float, optional
        One of them; see `sgd_system`.
    alpha : float
        Index of stability of the noise, in (0, 2].
    noise_matrix : float or array_like of shape (d,) or (d, d), optional
        Sigma; without it 1. The noise is divided by Q after it was multiplied by Sigma.
    jumps : {"independent", "isotropic"}
        The paper has "independent".
    beta1, beta2 : float
        Rates of the averages per unit of time, above 0. They are *not* torch's decays: to run
        torch's betas at learning rate eta, give ``-log(beta)/eta``. The paper writes .9 and .999.
    eps : float
        Added to the root of v, at least 0.
    bias_correction : bool
        Without it mu and omega are 1.
    squared_gradient : callable, optional
        (positions, gradient), both (n, d), to what stands for (grad f_S)^2, (n, d).
    noise_variance : float or array_like of shape (d,), optional
        Variance of the minibatch noise per coordinate, in the default for (grad f_S)^2. Without
        it the diagonal of Sigma, which in the paper is the noise's covariance. At 0 a minimum has
        Q = eps there and its noise is divided by eps.

    Returns
    -------
    AdamSystem
        For `simulate`, `step_halving` and `escape_times`.

    Raises
    ------
    ValueError
        A number is out of range; no gradient; or what excludes each other was given together.

    References
    ----------
    .. [1] P. Zhou et al., NeurIPS 2020, equation 5. arXiv:2010.05627
    """
    if gradient is None and potential is None:
        raise ValueError("Adam needs a gradient or a potential, got neither")
    for name, rate in (("beta1", beta1), ("beta2", beta2)):
        if not (rate > 0 and math.isfinite(rate)):
            raise ValueError(f"{name} is a rate per unit of time, above 0 and finite, got {rate}")
    if not eps >= 0:
        raise ValueError(f"eps must be at least 0, got {eps}")
    if squared_gradient is not None and noise_variance is not None:
        raise ValueError("give either squared_gradient or noise_variance, got both")
    sigma = torch.as_tensor(1.0 if noise_matrix is None else noise_matrix, dtype=torch.float64)
    if noise_variance is None:
        noise_variance = sigma.diagonal() if sigma.ndim == 2 else sigma
    variance = torch.as_tensor(noise_variance, dtype=torch.float64).detach().clone()
    if squared_gradient is None and not (variance >= 0).all():
        raise ValueError(
            f"noise_variance must be at least 0 in each coordinate, got {variance.tolist()}; "
            "without it the diagonal of noise_matrix stands for it"
        )
    return AdamSystem(
        alpha=alpha,
        epsilon=chosen_epsilon(learning_rate, epsilon, alpha),
        noise_matrix=1.0 if noise_matrix is None else noise_matrix,  # type: ignore[arg-type]
        jumps=jumps,
        gradient=gradient_of(gradient, potential),
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        bias_correction=bias_correction,
        squared_gradient=squared_gradient,
        noise_variance=float(variance) if variance.ndim == 0 else variance,
    )
