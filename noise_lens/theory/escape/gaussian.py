"""Escape from a quadratic well at alpha = 2: which answer there is, exact, asymptotic or none."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from noise_lens.theory.escape.basin import Basin
from noise_lens.theory.escape.basins import Ball, Ellipsoid, Interval, LevelSet
from noise_lens.theory.escape.diffusion import (
    Potential,
    ball_exit_time,
    kramers_exit_time,
    kramers_level_set_time,
    mean_exit_time,
)

__all__ = ["GaussianEscape", "gaussian_escape"]


@dataclass(frozen=True)
class GaussianEscape:
    """How long a diffusion stays in a quadratic well; ``str()`` says what kind of answer it is.

    Attributes
    ----------
    exact : float or None
        Mean exit time from the centre by quadrature or series; inf where it is beyond float64.
        None where this project knows none, and where Kramers' time is beyond float64 as well and
        the quadrature does not settle.
    asymptotic : float or None
        Kramers' time, right as epsilon goes to 0; None where this project knows none.
    exponent : float or None
        Lowest barrier over temperature: the logarithm of the time grows as it does. inf where no
        boundary can be reached, None where the basin is a predicate.
    """

    exact: float | None
    asymptotic: float | None
    exponent: float | None

    @property
    def mean_time(self) -> float | None:
        """The exact mean where there is one, else the asymptotic one, else None."""
        return self.asymptotic if self.exact is None else self.exact

    def __str__(self) -> str:
        if self.exponent is not None and math.isinf(self.exponent):
            return "predicted: never. The basin has no boundary within reach."
        said = []
        if self.exact is not None:
            said.append(f"exact mean escape time {_shown(self.exact, self.exponent)}")
        if self.asymptotic is not None:
            said.append(
                f"Kramers' formula, right for small epsilon, "
                f"{_shown(self.asymptotic, self.exponent)}"
            )
        if not said:
            said.append("no formula for the mean escape time of this basin and noise: simulate")
        if self.exponent is not None:
            said.append(
                f"barrier / epsilon^2 = {self.exponent:.4g}, the power of e at which it grows"
            )
            if self.exponent < 3:
                said.append("the barrier is low: Kramers' formula does not hold yet")
        return "\n".join(said)


def gaussian_escape(
    basin: Basin,
    *,
    epsilon: float,
    curvature: ArrayLike | None = None,
    noise_scales: ArrayLike = 1.0,
) -> GaussianEscape:
    """Return how long ``dX = -H X dt + epsilon Sigma dL`` stays in a basin at alpha = 2.

    Parameters
    ----------
    basin : Basin
        What is left; paths start at its centre, the minimum.
    epsilon : float
        Size of the noise, positive.
    curvature : float or array_like of shape (dim,), optional
        Diagonal of H, positive; that of a `LevelSet` with a diagonal Hessian, and 1 for others.
    noise_scales : float or array_like of shape (dim,)
        Diagonal of Sigma, positive.

    Returns
    -------
    GaussianEscape
        Exact in one dimension, and for a ball in which loss and noise are alike in all directions;
        Kramers' time for an interval and for a level set with equal noise; else the exponent.

    Raises
    ------
    ValueError
        A number is not positive, or a shape does not fit.

    Examples
    --------
    >>> found = gaussian_escape(Interval(-1, 1), epsilon=0.2)
    >>> round(found.exact), round(found.asymptotic), round(found.exponent, 1)
    (70369, 67262, 12.5)
    """
    if not 0 < epsilon < math.inf:
        raise ValueError(f"epsilon must be positive and finite, got {epsilon}")
    if epsilon**2 < 1e-300:
        raise ValueError(f"epsilon = {epsilon} is too small: epsilon^2 leaves the range of float64")
    if curvature is None and isinstance(basin, LevelSet):
        hessian = basin.hessian
        if not bool((hessian == torch.diag(hessian.diagonal())).all()):
            raise ValueError("a level set needs a diagonal Hessian here: rotate the coordinates")
        curvature = hessian.diagonal().numpy()
    pull = _positive("curvature", 1.0 if curvature is None else curvature, basin.dim)
    noise = _positive("noise_scales", noise_scales, basin.dim)
    exponent = _exponent(basin, pull, noise, epsilon)
    exact = asymptotic = None
    alike = bool(np.ptp(noise) == 0)
    size = epsilon * float(noise[0])
    if basin.dim == 1:
        ends = basin.distance([[-1.0], [1.0]])
        interval = Interval(-float(ends[0]), float(ends[1]))
        asymptotic = kramers_exit_time(_well(float(pull[0])), interval, epsilon=size)
        if bool(ends.isfinite().all()):
            try:
                exact = mean_exit_time(_well(float(pull[0])), interval, epsilon=size)
            except ValueError:
                # So high a barrier: Kramers' formula is right, and the answer a power of e.
                if not math.isinf(asymptotic):
                    raise
        return GaussianEscape(exact, asymptotic, exponent)
    if isinstance(basin, LevelSet) and alike and _same(basin, pull):
        asymptotic = kramers_level_set_time(basin, epsilon=size)
    radius = _radius(basin)
    if alike and np.ptp(pull) == 0 and radius is not None and math.isfinite(radius):
        exact = ball_exit_time(float(pull[0]), radius, basin.dim, epsilon=size)
    return GaussianEscape(exact, asymptotic, exponent)


def _well(curvature: float) -> Potential:
    def potential(x: Tensor) -> Tensor:
        return curvature * x[:, 0].square() / 2

    return potential


def _exponent(
    basin: Basin, pull: NDArray[np.float64], noise: NDArray[np.float64], epsilon: float
) -> float | None:
    """Return the lowest of ``sum H_i y_i^2 / (2 sigma_i^2 epsilon^2)`` on the boundary."""
    cost = pull / (2 * (noise * epsilon) ** 2)
    axes = np.eye(basin.dim)
    reach = np.minimum(basin.distance(axes).numpy(), basin.distance(-axes).numpy())
    if isinstance(basin, (Ball, Ellipsoid, LevelSet)):
        # Largest y' form y at unit cost: a generalised eigenvalue.
        form = basin.form.numpy() / np.sqrt(np.outer(cost, cost))
        largest = float(np.linalg.eigvalsh(form)[-1])
        return math.inf if largest <= 0 else 1 / largest
    if hasattr(basin, "low"):
        return float((cost * reach**2).min())
    return None


def _radius(basin: Basin) -> float | None:
    """Return the radius of a basin that is a ball, None where it is none."""
    if not isinstance(basin, (Ball, Ellipsoid, LevelSet)):
        return None
    first = float(basin.form[0, 0])
    same = torch.allclose(basin.form, torch.eye(basin.dim, dtype=torch.float64) * first, rtol=1e-12)
    return first**-0.5 if same and first > 0 else None


def _same(basin: LevelSet, pull: NDArray[np.float64]) -> bool:
    return bool(np.allclose(basin.hessian.numpy(), np.diag(pull), rtol=1e-12))


def _positive(name: str, values: ArrayLike, dim: int) -> NDArray[np.float64]:
    found = np.asarray(values, dtype=np.float64)
    found = np.full(dim, float(found)) if found.ndim == 0 else found
    if found.shape != (dim,) or not (np.isfinite(found) & (found > 0)).all():
        raise ValueError(f"{name} must be {dim} positive numbers, got {found.tolist()}")
    return found


def _shown(time: float, exponent: float | None) -> str:
    if math.isinf(time):
        return f"beyond 1e308, about e^{exponent:.6g}" if exponent else "beyond 1e308"
    return f"{time:.5g}"
