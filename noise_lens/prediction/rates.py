"""Rates of escape in one jump, from sampled coordinates extrapolated to all.

With ``d theta = -grad F dt + eps Sigma dL`` and a quadratic basin of height Delta, a jump along
coordinate i leaves beyond ``r_i = sqrt(2 Delta / H_ii)``. Noise of the standard law has the jump
density ``c / |y|^(1+alpha)``, so the rate is ``eps^alpha (c/alpha) sum_i 2 (sigma_i / r_i)^alpha``
where coordinates jump one by one. Where one radius moves them all, the noise is elliptical, and
the rate ``eps^alpha 2^(alpha/2) / Gamma(1-alpha/2) E (g'Bg)^(alpha/2)`` with ``B_ii =
(sigma_i / r_i)^2``, which does not depend on the dimension.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noise_lens.theory.escape.jumps import (
    isotropic_jump_rate,
    jump_density_constant,
    mean_quadratic_power,
)


@dataclass(frozen=True)
class Coordinates:
    """What is known of the sampled coordinates, d of them.

    Attributes
    ----------
    log_magnitudes : ndarray of shape (d,)
        Mean of ``log|noise|`` over the rows where it is not 0; -inf where it always is.
    filled : ndarray of shape (d,)
        Share of such rows.
    curvature : ndarray of shape (d,)
        Diagonal entries of the Hessian.
    preconditioner : ndarray of shape (d,)
        Q of Adam; ones for SGD.
    strata : ndarray of shape (d,)
        Number of the tensor that each is from.
    totals : ndarray of shape (T,)
        Elements of each tensor.
    differences : bool
        Whether rows are differences of two minibatches, whose scale is ``2^(1/alpha)`` larger.
    """

    log_magnitudes: NDArray[np.float64]
    filled: NDArray[np.float64]
    curvature: NDArray[np.float64]
    preconditioner: NDArray[np.float64]
    strata: NDArray[np.int64]
    totals: NDArray[np.int64]
    differences: bool

    def scales(self, alpha: float) -> NDArray[np.float64]:
        """Return sigma of each coordinate under a stable law of this index.

        From ``E log|X| = log sigma + gamma (1/alpha - 1)``, which every stable law obeys.

        Parameters
        ----------
        alpha : float
            In (0, 2].

        Returns
        -------
        ndarray of shape (d,)
            Of the noise of one minibatch, where it is not 0.
        """
        shift = np.euler_gamma * (1 / alpha - 1) + (np.log(2) / alpha if self.differences else 0)
        return np.asarray(np.exp(self.log_magnitudes - shift))

    def radii(self, barrier: float) -> NDArray[np.float64]:
        """Return how far along each coordinate the loss rises by the barrier.

        Parameters
        ----------
        barrier : float
            Positive.

        Returns
        -------
        ndarray of shape (d,)
            inf where curvature is not positive: the quadratic is never left that way.
        """
        positive = np.where(self.curvature > 0, self.curvature, np.nan)
        return np.nan_to_num(np.sqrt(2 * barrier / positive), nan=np.inf)

    def reach(self, alpha: float, barrier: float) -> NDArray[np.float64]:
        """Return the noise's scale as a share of the way out, ``sigma_i / (Q_i r_i)``."""
        return self.scales(alpha) / (self.preconditioner * self.radii(barrier))


@dataclass(frozen=True)
class Rate:
    """Escapes per unit of time of the SDE.

    Attributes
    ----------
    value : float
        0 where no jump leaves.
    standard_error : float
        Of extrapolating from the sampled coordinates to all.
    """

    value: float
    standard_error: float


def independent_rate(of: Coordinates, alpha: float, barrier: float, epsilon: float) -> Rate:
    """Return the rate where coordinates jump one by one.

    Parameters
    ----------
    of : Coordinates
        Sampled.
    alpha : float
        In (0, 2].
    barrier : float
        Height of the basin.
    epsilon : float
        Size of the noise.

    Returns
    -------
    Rate
        0 at alpha = 2, which has no jumps.
    """
    if alpha >= 2:
        return Rate(0.0, 0.0)
    each = of.filled * of.reach(alpha, barrier) ** alpha
    total, error = extrapolated(each, of.strata, of.totals)
    factor = epsilon**alpha * 2 * jump_density_constant(alpha) / alpha
    return Rate(factor * total, factor * error)


def shared_rate(of: Coordinates, alpha: float, barrier: float, epsilon: float) -> Rate:
    """Return the rate where one radius moves all coordinates of a minibatch.

    Parameters
    ----------
    of, alpha, barrier, epsilon
        As for :func:`independent_rate`.

    Returns
    -------
    Rate
        With all coordinates sampled, exact for a diagonal Hessian. Otherwise that of many
        coordinates, none of which dominates: ``E (g'Bg)^(alpha/2)`` is then ``tr(B)^(alpha/2)``.
    """
    if alpha >= 2:
        return Rate(0.0, 0.0)
    # Rows in which a coordinate is 0 add nothing to the form.
    squares = of.filled * of.reach(alpha, barrier) ** 2
    trace, error = extrapolated(squares, of.strata, of.totals)
    # In one dimension E|g|^alpha turns the rate per radius into the factor of any dimension.
    factor = epsilon**alpha * isotropic_jump_rate(alpha, 1)
    factor /= mean_quadratic_power([1.0], alpha / 2)
    if trace == 0:
        return Rate(0.0, 0.0)
    if len(squares) == of.totals.sum():
        return Rate(factor * mean_quadratic_power(squares, alpha / 2), 0.0)
    value = factor * trace ** (alpha / 2)
    return Rate(value, value * alpha / 2 * error / trace)


def extrapolated(
    values: NDArray[np.float64], strata: NDArray[np.int64], totals: NDArray[np.int64]
) -> tuple[float, float]:
    """Return a sum over all elements from a sample of some of each tensor.

    Parameters
    ----------
    values : ndarray of shape (d,)
        At the sampled elements.
    strata : ndarray of shape (d,)
        Number of the tensor of each.
    totals : ndarray of shape (T,)
        Elements of each tensor.

    Returns
    -------
    total, standard_error : float
        Stratified by tensor, without replacement. Tensors with one sampled element of several
        lend each other their spread.

    Examples
    --------
    >>> extrapolated(np.array([1.0, 3.0]), np.array([0, 0]), np.array([10]))[0]
    20.0
    """
    total = variance = 0.0
    alone: list[tuple[float, int]] = []
    for stratum, size in enumerate(totals.tolist()):
        own = values[strata == stratum]
        n = len(own)
        if n == 0:
            continue
        total += size * float(own.mean())
        if n == 1 and size > 1:
            alone.append((float(own[0]), size))
        elif n < size:
            variance += size**2 * (1 - n / size) * float(own.var(ddof=1)) / n
    if alone:
        # Collapsed strata: too large where tensors differ, never nothing.
        sums = np.array([value * size for value, size in alone])
        spread = float(sums.var(ddof=1)) if len(sums) > 1 else float(sums[0]) ** 2
        variance += len(sums) * spread
    return total, float(np.sqrt(variance))
