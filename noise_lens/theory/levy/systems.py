"""Levy-driven gradient systems, and what one Euler step does to a batch of them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from noise_lens.theory.levy.increments import (
    Jumps,
    check_alpha,
    check_jumps,
    stable_increments,
)

Field = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class LevySystem(ABC):
    """A stochastic differential equation driven by ``epsilon Sigma dL``, and its Euler step.

    The state of n paths is one tensor of shape (n, width), float64, whose first columns are the
    positions; what else a system remembers follows them.

    Parameters
    ----------
    alpha : float
        Index of stability of the noise, in (0, 2].
    epsilon : float
        Size of the noise, at least 0.
    noise_matrix : float or Tensor of shape (d,) or (d, d)
        Sigma: one scale, one scale per coordinate, or a full matrix.
    jumps : {"independent", "isotropic"}
        Which stable process L is.
    """

    alpha: float
    epsilon: float
    noise_matrix: float | Tensor = 1.0
    jumps: Jumps = "independent"

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        check_jumps(self.jumps)
        if not (self.epsilon >= 0 and math.isfinite(self.epsilon)):
            raise ValueError(f"epsilon must be finite and at least 0, got {self.epsilon}")
        object.__setattr__(self, "noise_matrix", _as_noise_matrix(self.noise_matrix))

    def initial_state(self, positions: Tensor) -> Tensor:
        """Return the state at time 0 of paths at `positions`, of shape (n, d)."""
        return positions

    def position(self, state: Tensor) -> Tensor:
        """Return where the paths are, of shape (..., d), from states of shape (..., width)."""
        return state

    def noise(
        self,
        n_steps: int,
        n_paths: int,
        dim: int,
        *,
        step_size: float,
        generator: torch.Generator,
        device: torch.device,
    ) -> Tensor:
        """Draw ``epsilon Sigma dL`` of several steps at once.

        Float32 below the float64 of the states from alpha = 1 on, where its range and its tails
        suffice (`stable_increments`).

        Parameters
        ----------
        n_steps, n_paths, dim : int
            The shape.
        step_size : float
            Time of one step.
        generator : torch.Generator
            Source of randomness.
        device : torch.device
            Where it is made.

        Returns
        -------
        Tensor of shape (n_steps, n_paths, dim)
            Float64.

        Raises
        ------
        ValueError
            The noise matrix is of another dimension.
        """
        size = (n_steps, n_paths, dim)
        if self.epsilon == 0:
            return torch.zeros(size, dtype=torch.float64, device=device)
        increments = stable_increments(
            self.alpha,
            size,
            jumps=self.jumps,
            duration=step_size,
            generator=generator,
            dtype=torch.float32 if self.alpha >= 1 else torch.float64,
            device=device,
        ).to(torch.float64)
        matrix = self.noise_matrix
        if not isinstance(matrix, Tensor):
            return increments.mul_(self.epsilon * matrix)
        matrix = matrix.to(device)
        if matrix.shape[-1] != dim:
            raise ValueError(
                f"noise_matrix is of {matrix.shape[-1]} coordinates, the paths of {dim}"
            )
        if matrix.ndim == 1:
            return increments.mul_(self.epsilon * matrix)
        return increments @ (self.epsilon * matrix).T

    @abstractmethod
    def step(self, state: Tensor, noise: Tensor, *, time: float, step_size: float) -> Tensor:
        """Return the states one step after `time`, without changing `state`."""

    def walk(self, state: Tensor, noise: Tensor, *, time: float, step_size: float) -> Tensor:
        """Return the states after each of several steps.

        Parameters
        ----------
        state : Tensor of shape (n, width)
            States at `time`.
        noise : Tensor of shape (n_steps, n, d)
            Of `noise`.
        time : float
            When the first step begins.
        step_size : float
            Time of one step.

        Returns
        -------
        Tensor of shape (n_steps, n, width)
            The states, the first of them one step after `time`.
        """
        out = torch.empty((len(noise), *state.shape), dtype=state.dtype, device=state.device)
        for k, (kept, kick) in enumerate(zip(out.unbind(), noise.unbind(), strict=True)):
            kept.copy_(self.step(state, kick, time=time + k * step_size, step_size=step_size))
            state = kept
        return out


@dataclass(frozen=True, eq=False)
class GradientSystem(LevySystem):
    """``dX = -gradient(X) dt + epsilon Sigma dL``, of `gradient_system` and `sgd_system`."""

    gradient: Field | None = None

    def step(self, state: Tensor, noise: Tensor, *, time: float, step_size: float) -> Tensor:
        """Return the states one step after `time`: an Euler step."""
        if self.gradient is None:
            return state + noise
        return torch.add(state, self.gradient(state), alpha=-step_size).add_(noise)

    def walk(self, state: Tensor, noise: Tensor, *, time: float, step_size: float) -> Tensor:
        """Return the states after each of several steps; see `LevySystem.walk`."""
        if self.gradient is None:
            return noise.cumsum(0).add_(state)
        out = torch.empty_like(noise)
        gradient = self.gradient
        for kept, kick in zip(out.unbind(), noise.unbind(), strict=True):
            torch.add(state, gradient(state), alpha=-step_size, out=kept).add_(kick)
            state = kept
        return out


def gradient_system(
    gradient: Field | None = None,
    *,
    potential: Field | None = None,
    epsilon: float,
    alpha: float,
    noise_matrix: float | ArrayLike | Tensor | None = None,
    jumps: Jumps = "independent",
) -> GradientSystem:
    """Return the system ``dX = -grad V(X) dt + epsilon Sigma dL``.

    One Euler step of length h is ``x - h grad V(x) + epsilon Sigma h^(1/alpha) xi`` with xi
    standard stable.

    Parameters
    ----------
    gradient : callable, optional
        grad V of a batch: a tensor of shape (n, d) to one of shape (n, d).
    potential : callable, optional
        V of a batch instead, (n, d) to (n,), one number for each path; its gradient is taken by
        autograd. With neither the process is driftless.
    epsilon : float
        Size of the noise, at least 0; 0 is the gradient flow.
    alpha : float
        Index of stability of the noise, in (0, 2].
    noise_matrix : float or array_like of shape (d,) or (d, d), optional
        Sigma: one scale, one per coordinate, or a full matrix; without it 1.
    jumps : {"independent", "isotropic"}
        Which stable process L is; see `stable_increments`.

    Returns
    -------
    GradientSystem
        For `simulate`, `step_halving` and `escape_times`.

    Raises
    ------
    ValueError
        A number is out of range, gradient and potential were both given, or what was given
        cannot be called.

    Examples
    --------
    >>> well = gradient_system(potential=lambda x: x.square().sum(-1) / 2, epsilon=0.1, alpha=1.5)
    >>> well.step(torch.ones(1, 1), torch.zeros(1, 1), time=0.0, step_size=0.25)  # 1 - h
    tensor([[0.7500]])
    """
    return GradientSystem(
        alpha=alpha,
        epsilon=epsilon,
        noise_matrix=1.0 if noise_matrix is None else noise_matrix,  # type: ignore[arg-type]
        jumps=jumps,
        gradient=gradient_of(gradient, potential),
    )


def gradient_of(gradient: Field | None, potential: Field | None) -> Field | None:
    """Return the gradient, given or by autograd of the potential; None where there is neither."""
    if gradient is not None and potential is not None:
        raise ValueError("give either the gradient or the potential, got both")
    for name, given in (("gradient", gradient), ("potential", potential)):
        if given is not None and not callable(given):
            raise ValueError(
                f"the {name} must be a function of positions, a tensor of shape (n, d), got "
                f"{given!r}"
            )
    if potential is None:
        return gradient

    def differentiated(positions: Tensor) -> Tensor:
        with torch.enable_grad():
            at = positions.detach().requires_grad_()
            heights = potential(at)
            if heights.shape != at.shape[:-1]:
                raise ValueError(
                    f"the potential of {len(at)} points of shape {tuple(at.shape)} must be of "
                    f"shape {tuple(at.shape[:-1])}, got {tuple(heights.shape)}; sum over the last "
                    "axis, or wrap a function of one point in torch.vmap"
                )
            return torch.autograd.grad(heights.sum(), at)[0]

    return differentiated


def _as_noise_matrix(given: float | ArrayLike | Tensor) -> float | Tensor:
    matrix = torch.as_tensor(given, dtype=torch.float64).detach()
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
    if matrix.ndim > 1 and not square:
        raise ValueError(
            "noise_matrix must be a number, one number per coordinate, or a square matrix, "
            f"got shape {tuple(matrix.shape)}"
        )
    if not matrix.isfinite().all():
        raise ValueError(f"noise_matrix must be finite, got {matrix.tolist()}")
    return float(matrix) if matrix.ndim == 0 else matrix
