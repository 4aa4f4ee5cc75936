"""What the length of a step does to a result: the same Levy paths at step h and h/2."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from noise_lens.theory.levy.simulate import blocks, check_steps, starting_states
from noise_lens.theory.levy.systems import LevySystem

FEW_LOST = 0.05
"""Share of paths that may diverge before a mean of the others says nothing of all."""


class Value(NamedTuple):
    """A mean over paths, and its standard error."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class StepHalving:
    """One quantity of the same paths, by steps of h and by steps of h/2.

    Attributes
    ----------
    step_size : float
        The longer of the two, h.
    coarse, fine : ndarray of shape (n,)
        The quantity of each path at h and at h/2; paths that diverged at either are left out.
    order : float
        How the bias is taken to shrink, ``h^order``, unless `extrapolated` is told otherwise.
    n_diverged : int
        Paths left out.
    unresolved : str
        Why the two steps are too long to extrapolate from; empty where they are not known to be.
    """

    step_size: float
    coarse: NDArray[np.float64] = field(repr=False)
    fine: NDArray[np.float64] = field(repr=False)
    order: float
    n_diverged: int = 0
    unresolved: str = ""

    @property
    def doubt(self) -> str:
        """Why there is no extrapolation, in words; empty where there is one."""
        n = len(self.fine) + self.n_diverged
        if self.n_diverged > FEW_LOST * n:
            return (
                f"{self.n_diverged} of {n} paths diverged at step {self.step_size:g} or half of "
                "it, and the others do not speak for them: take a smaller step"
            )
        return self.unresolved

    @property
    def difference(self) -> Value:
        """Mean of fine minus coarse, with its error: the paths are the same, so it is small."""
        return _mean(self.fine - self.coarse)

    def extrapolated(self, order: float | None = None) -> Value:
        """Return the mean at step size 0, by Richardson's extrapolation.

        ``fine + (fine - coarse) / (2^order - 1)``, path by path: removes a bias of exactly that
        order and leaves what is beyond.

        Parameters
        ----------
        order : float, optional
            Above 0; without it the order that goes with the quantity.

        Returns
        -------
        Value
            (value, standard_error).

        Raises
        ------
        ValueError
            The order is not positive, too many paths diverged, or the steps are too long.
        """
        order = self.order if order is None else order
        if not order > 0:
            raise ValueError(f"order must be positive, got {order}")
        if self.doubt:
            raise ValueError(f"no extrapolation to step size 0: {self.doubt}")
        return _mean(self.fine + (self.fine - self.coarse) / (2**order - 1))

    def __str__(self) -> str:
        if self.doubt and self.doubt != self.unresolved:
            return f"no extrapolation to step size 0: {self.doubt}"
        moved = self.difference
        left_out = f"; {self.n_diverged} paths that diverged are left out" * bool(self.n_diverged)
        if self.doubt:
            said = f"no extrapolation to step size 0: {self.doubt}"
        else:
            end = self.extrapolated()
            said = (
                f"extrapolated at order {self.order:.3g}: {end.value:.4g} ± "
                f"{end.standard_error:.2g}"
            )
        return (
            f"{_mean(self.coarse).value:.4g} at step {self.step_size:g}, "
            f"{_mean(self.fine).value:.4g} at half of it: moved by {moved.value:.2g} "
            f"± {moved.standard_error:.2g}; {said}{left_out}"
        )


def step_halving(
    system: LevySystem,
    start: float | ArrayLike | Tensor,
    functional: Callable[[Tensor], Tensor],
    *,
    n_steps: int,
    step_size: float,
    n_paths: int = 1000,
    order: float = 1.0,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> StepHalving:
    """Return what halving the step does to a functional of where the paths end.

    Both schemes run on the same Levy paths: the sum of two increments over h/2 is one over h.

    Parameters
    ----------
    system : LevySystem
        Of `gradient_system`, `sgd_system` or `adam_system`.
    start : float or array_like of shape (d,) or (n_paths, d)
        Where the paths begin.
    functional : callable
        Final positions, (n, d), to one number for each path, (n,). Choose one with a variance:
        stable positions have none.
    n_steps : int
        Steps of length h.
    step_size : float
        h, above 0.
    n_paths : int
        How many paths, at least 2.
    order : float
        Order of the scheme in this functional; 1 for a smooth functional of the end.
    seed : int
        Seed of the noise.
    device : torch.device or str
        Where to compute.

    Returns
    -------
    StepHalving
        The functional of every path at both steps.

    Raises
    ------
    ValueError
        A number is out of range, or the functional returns another shape.
    """
    check_steps(n_steps=n_steps, step_size=step_size, n_paths=n_paths)
    generator = torch.Generator(device=device).manual_seed(seed)
    half = step_size / 2
    coarse = starting_states(system, start, n_paths, step_size, device)
    fine = coarse.clone()
    dim = system.position(fine).shape[-1]
    for first, block in blocks(n_steps, 2 * n_paths * dim):
        noise = system.noise(
            2 * block, n_paths, dim, step_size=half, generator=generator, device=fine.device
        )
        time = first * step_size
        fine = system.walk(fine, noise, time=time, step_size=half)[-1].clone()
        coarse = system.walk(coarse, in_pairs(noise), time=time, step_size=step_size)[-1].clone()
    ends = [system.position(state) for state in (coarse, fine)]
    kept = ends[0].isfinite().all(-1) & ends[1].isfinite().all(-1)
    found = [functional(end[kept]) for end in ends]
    for values in found:
        if values.shape != (int(kept.sum()),):
            raise ValueError(
                f"the functional must return one number for each of {int(kept.sum())} paths, "
                f"got shape {tuple(values.shape)}"
            )
    return StepHalving(
        step_size=step_size,
        coarse=found[0].to(torch.float64).cpu().numpy(),
        fine=found[1].to(torch.float64).cpu().numpy(),
        order=order,
        n_diverged=int((~kept).sum()),
    )


def in_pairs(noise: Tensor) -> Tensor:
    """Return the noise of steps twice as long, on the same Levy paths."""
    return noise[0::2] + noise[1::2]


def _mean(values: NDArray[np.float64]) -> Value:
    n = len(values)
    if n < 2:
        raise ValueError(f"a mean with an error needs at least 2 paths, got {n}")
    return Value(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(n))
