"""The escaping set, and how much jump measure it has: the rate of escape in one jump.

A jump y of the noise moves the parameters by ``eps Q^-1 Sigma y`` and leaves the basin if y / eps
lies in ``W = {y : centre + Q^-1 Sigma y outside the basin}``. Jumps of such a size come at the
rate ``nu(W / eps) = eps^alpha nu(W)``, and to first order that is the rate of escape.

Two normalisations, and what was made of them here
--------------------------------------------------
:func:`escape_rate`
    The rate of the standard law, per unit of time of the SDE: the jump density on an axis is
    ``c / |y|^(1+alpha)`` with ``c = Gamma(1+alpha) sin(pi alpha/2) / pi``. With independent
    coordinates it is ``eps^alpha (c/alpha) sum_i (r_i+^-alpha + r_i-^-alpha)``, where a jump of
    noise coordinate i leaves beyond ``r_i+`` or ``-r_i-``.
:func:`radon_measure`
    Zhou's m(W), that goes with ``Theta = (2/alpha) eps^alpha``, in which c is 1: half the sum
    above. ``escape_rate = c * radon_measure * Theta``. For isotropic jumps, which Zhou does not
    treat, m is *defined* by the same identity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from noise_lens.theory.escape.basin import Basin
from noise_lens.theory.escape.basins import Ball, Ellipsoid, LevelSet
from noise_lens.theory.escape.jumps import (
    directions_on_sphere,
    isotropic_jump_rate,
    jump_density_constant,
    mean_quadratic_power,
)
from noise_lens.theory.levy.increments import Jumps, check_jumps

__all__ = ["EscapingSet", "JumpMeasure", "escape_rate", "radon_measure"]


@dataclass(frozen=True)
class JumpMeasure:
    """A measure of the escaping set; ``float()`` gives its value.

    Attributes
    ----------
    value : float
        0 where no jump leaves.
    standard_error : float
        Of Monte Carlo; of a quadrature its numerical error; 0 for a closed form.
    method : str
        "closed form", "quadrature" or "Monte Carlo".
    """

    value: float
    standard_error: float
    method: str

    def __float__(self) -> float:
        return self.value

    def times(self, factor: float) -> JumpMeasure:
        """Return the measure in another unit.

        Parameters
        ----------
        factor : float
            Positive.

        Returns
        -------
        JumpMeasure
            Value and error, multiplied.
        """
        return JumpMeasure(self.value * factor, self.standard_error * factor, self.method)


class EscapingSet:
    """``W = {y : centre + Q^-1 Sigma y outside the basin}``, the jumps of noise that leave.

    Parameters
    ----------
    basin : Basin
        What is left.
    noise_matrix : float or array_like of shape (dim,) or (dim, dim)
        Sigma: a multiple of the identity, a diagonal, or a full matrix.
    preconditioner : float or array_like of shape (dim,) or (dim, dim), optional
        Q, for Adam ``sqrt(omega v) + eps``; the identity, which is SGD, if not given.

    Raises
    ------
    ValueError
        A shape does not fit the basin, a number is not finite, or Q cannot be inverted.

    Examples
    --------
    >>> from noise_lens.theory.escape import Ball
    >>> escaping = EscapingSet(Ball(1.0, dim=2), [1.0, 2.0])
    >>> escaping.contains(torch.tensor([[0.9, 0.0], [0.0, 0.9]])).tolist()
    [False, True]
    """

    def __init__(
        self, basin: Basin, noise_matrix: ArrayLike = 1.0, preconditioner: ArrayLike | None = None
    ) -> None:
        self.basin = basin
        self.map = as_matrix("noise_matrix", noise_matrix, basin.dim)
        if preconditioner is not None:
            q = as_matrix("preconditioner", preconditioner, basin.dim)
            try:
                self.map = np.asarray(np.linalg.solve(q, self.map), dtype=np.float64)
            except np.linalg.LinAlgError as error:
                raise ValueError(
                    "the preconditioner cannot be inverted: every entry of sqrt(v) + eps must be "
                    "positive"
                ) from error

    def contains(self, jumps: Tensor) -> Tensor:
        """Return which jumps leave.

        Parameters
        ----------
        jumps : Tensor of shape (n, dim)
            In units of the noise.

        Returns
        -------
        Tensor of shape (n,)
            Boolean.
        """
        mapped = torch.as_tensor(self.map).to(jumps)
        return ~self.basin.contains(self.basin.centre.to(jumps) + jumps @ mapped.T)

    def distance(self, directions: Any) -> NDArray[np.float64]:
        """Return from how long on jumps in each direction leave.

        Parameters
        ----------
        directions : array_like of shape (k, dim)
            Need not have length 1: the answer is in multiples of them.

        Returns
        -------
        ndarray of shape (k,)
            inf where none leaves.
        """
        moved = np.asarray(directions, dtype=np.float64) @ self.map.T
        return np.asarray(self.basin.distance(torch.as_tensor(moved)).numpy())


def escape_rate(
    basin: Basin,
    noise_matrix: ArrayLike,
    alpha: float,
    epsilon: float,
    jumps: Jumps = "independent",
    *,
    preconditioner: ArrayLike | None = None,
    n_directions: int = 20_000,
    seed: int = 0,
) -> JumpMeasure:
    """Return the rate of jumps that leave, per unit of time of the SDE.

    ``eps^alpha nu(W)`` for the jump measure nu of the *standard* law of ``E exp(itL) =
    exp(-|t|^alpha)``: the rate that simulations with standard increments have.

    Parameters
    ----------
    basin : Basin
        What is left, from its centre.
    noise_matrix : float or array_like of shape (dim,) or (dim, dim)
        Sigma.
    alpha : float
        Index of stability, in (0, 2).
    epsilon : float
        Size of the noise, positive.
    jumps : str
        "independent" coordinates (Zhou's) or "isotropic".
    preconditioner : float or array_like of shape (dim,) or (dim, dim), optional
        Q of Adam; the identity if not given.
    n_directions : int
        For isotropic jumps out of a basin without a closed form: angles in two dimensions,
        random directions in more.
    seed : int
        Of those.

    Returns
    -------
    JumpMeasure
        Its error is 0 but for isotropic jumps out of a box or a predicate.

    Raises
    ------
    ValueError
        alpha or epsilon is out of range, or a shape does not fit. At alpha = 2 there are no jumps.

    Examples
    --------
    >>> from noise_lens.theory.escape import Interval
    >>> rate = escape_rate(Interval(-1, 1), 1.0, alpha=1.0, epsilon=0.1)
    >>> round(float(rate) * np.pi, 12)  # 2 c / alpha = 2 / pi, times epsilon
    0.2
    """
    check_jumps(jumps)
    c = jump_density_constant(alpha)
    if np.ndim(epsilon):
        raise ValueError(f"epsilon must be one number, got {epsilon}: ask once for each")
    if not 0 < epsilon < np.inf:
        raise ValueError(f"epsilon must be positive and finite, got {epsilon}")
    escaping = EscapingSet(basin, noise_matrix, preconditioner)
    size = epsilon**alpha
    if jumps == "independent" or basin.dim == 1:
        axes = np.eye(basin.dim)
        reach = escaping.distance(np.concatenate([axes, -axes]))
        return JumpMeasure(float(np.sum(reach**-alpha)), 0.0, "closed form").times(c / alpha * size)
    longer = isotropic_jump_rate(alpha, basin.dim)
    if isinstance(basin, (Ball, Ellipsoid, LevelSet)):
        return _ellipsoidal(basin, escaping, alpha, longer).times(size)
    return _by_directions(escaping, alpha, n_directions, seed).times(longer * size)


def radon_measure(
    basin: Basin,
    noise_matrix: ArrayLike,
    alpha: float,
    jumps: Jumps = "independent",
    *,
    preconditioner: ArrayLike | None = None,
    n_directions: int = 20_000,
    seed: int = 0,
) -> JumpMeasure:
    """Return Zhou's m(W), that goes with ``Theta = (2/alpha) eps^alpha`` and c = 1.

    With independent coordinates ``(1/2) sum_i (r_i+^-alpha + r_i-^-alpha)``: 1 for the interval
    (-1, 1) and unit noise. The rate of the standard law is ``c m Theta``.

    Parameters
    ----------
    basin : Basin
        What is left, from its centre.
    noise_matrix : float or array_like of shape (dim,) or (dim, dim)
        Sigma.
    alpha : float
        Index of stability, in (0, 2).
    jumps : str
        "independent" coordinates (Zhou's) or "isotropic", where m is defined by the identity.
    preconditioner : float or array_like of shape (dim,) or (dim, dim), optional
        Q of Adam; the identity if not given.
    n_directions : int
        As for :func:`escape_rate`.
    seed : int
        As for :func:`escape_rate`.

    Returns
    -------
    JumpMeasure
        0 where no jump leaves.

    Examples
    --------
    >>> from noise_lens.theory.escape import Ellipsoid
    >>> float(radon_measure(Ellipsoid([1, 2]), 1.0, alpha=1.0))  # 1 + 1/2
    1.5
    """
    rate = escape_rate(
        basin, noise_matrix, alpha, 1.0, jumps,
        preconditioner=preconditioner, n_directions=n_directions, seed=seed,
    )  # fmt: skip
    return rate.times(alpha / (2 * jump_density_constant(alpha)))


def _ellipsoidal(
    basin: Ball | Ellipsoid | LevelSet, escaping: EscapingSet, alpha: float, longer: float
) -> JumpMeasure:
    """Return nu(W) of isotropic jumps for ``W = {y : y' B y > 1}``."""
    form = basin.form.numpy()
    curved = escaping.map.T @ form @ escaping.map
    eigenvalues = np.linalg.eigvalsh((curved + curved.T) / 2).clip(min=0)
    if np.ptp(eigenvalues) <= 1e-14 * eigenvalues[-1]:
        return JumpMeasure(longer * float(eigenvalues[-1]) ** (alpha / 2), 0.0, "closed form")
    # The mean of (u'Bu)^(alpha/2) over the sphere is that of a Gaussian vector, divided by the
    # mean of its length^alpha; the constants collect to 2^(alpha/2) / Gamma(1 - alpha/2).
    value = 2 ** (alpha / 2) * mean_quadratic_power(eigenvalues, alpha / 2)
    value /= math.gamma(1 - alpha / 2)
    return JumpMeasure(value, 1e-12 * value, "quadrature")


def _by_directions(escaping: EscapingSet, alpha: float, n: int, seed: int) -> JumpMeasure:
    """Return the mean of r^-alpha over the sphere."""
    if n < 8:
        raise ValueError(f"n_directions must be at least 8, got {n}")
    if escaping.basin.dim == 2:
        angles = 2 * np.pi * (np.arange(2 * (n // 2)) + 0.5) / (2 * (n // 2))
        powers = escaping.distance(np.column_stack([np.cos(angles), np.sin(angles)])) ** -alpha
        # Every other angle is the same rule with half the nodes.
        return JumpMeasure(
            float(powers.mean()), abs(float(powers.mean() - powers[::2].mean())), "quadrature"
        )
    rows = directions_on_sphere(n, escaping.basin.dim, np.random.default_rng(seed))
    powers = escaping.distance(rows) ** -alpha
    return JumpMeasure(float(powers.mean()), float(powers.std(ddof=1) / np.sqrt(n)), "Monte Carlo")


def as_matrix(name: str, values: ArrayLike, dim: int) -> NDArray[np.float64]:
    """Return a number, a diagonal or a matrix as a matrix.

    Parameters
    ----------
    name : str
        For the message.
    values : float or array_like of shape (dim,) or (dim, dim)
        What was given.
    dim : int
        Number of coordinates.

    Returns
    -------
    ndarray of shape (dim, dim)
        float64.

    Raises
    ------
    ValueError
        The shape does not fit, or a number is not finite.
    """
    found = np.asarray(values, dtype=np.float64)
    if not np.isfinite(found).all():
        raise ValueError(f"{name} must be finite, got {found.tolist()}")
    if found.ndim == 0:
        return np.eye(dim) * found
    if found.shape == (dim,):
        return np.diag(found)
    if found.shape == (dim, dim):
        return found
    raise ValueError(
        f"{name} must be a number, or have shape ({dim},) or ({dim}, {dim}) as the basin has "
        f"{dim} dimensions, got shape {found.shape}"
    )
