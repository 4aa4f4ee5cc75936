"""The tail that SGD on linear regression has from Gaussian inputs, by quadrature.

With step size eta and minibatches of b fresh inputs a_i ~ N(0, sigma^2 I) in d dimensions SGD
moves by ``x_k = (I - eta/b sum a_i a_i^T) x_{k-1} + noise``. In a step a direction's length is
multiplied by the square root of ``(1 - aX)^2 + a^2 X Y`` with a = eta sigma^2 / b, X ~ chi2(b)
and Y ~ chi2(d - 1), whatever the direction. Its s-th moment is h(s). Iterates have a stationary
law where the mean of its logarithm is negative, and the tail index is the alpha > 0 of
h(alpha) = 1 [1]_ [2]_.

References
----------
.. [1] H. Kesten, Acta Math. 131, 1973. doi:10.1007/BF02392040
.. [2] M. Gurbuzbalaban, U. Simsekli, L. Zhu, ICML 2021. arXiv:2006.04740
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_lens.theory.kesten import arguments, cell
from noise_lens.theory.kesten.tail import KestenTail, regime_of


def kesten_tail_index(
    step_size: ArrayLike, batch_size: ArrayLike, dim: ArrayLike, sigma: ArrayLike = 1.0
) -> KestenTail:
    """Return the tail index of SGD's stationary iterates on Gaussian linear regression.

    The root alpha > 0 of h(alpha) = 1, to 1e-6 up to 1000 dimensions (1e-4 at 10,000, where the
    step sizes of alpha = 2 and of divergence agree to eight digits). It is 2 at a step size of
    ``2 b / (sigma^2 (d + b + 1))``, larger below and smaller above. For alpha >= 1 it falls with
    the step size and the dimension and rises with the batch size.

    Parameters
    ----------
    step_size : float or array_like
        Above 0. This and the others broadcast.
    batch_size : int or array_like
        Inputs a minibatch, drawn anew in each step.
    dim : int or array_like
        Dimension of the inputs.
    sigma : float or array_like, default 1
        Standard deviation of each coordinate of an input. Only ``step_size * sigma**2`` counts.

    Returns
    -------
    KestenTail
        A number in arithmetic. "no stationary law" where the Lyapunov exponent is not negative;
        "light" where alpha is beyond `LARGEST_INDEX`, 1000.

    Raises
    ------
    ValueError
        A step size or sigma that is not above 0, a batch size or dimension that is not a whole
        number of at least 1.

    Examples
    --------
    >>> round(kesten_tail_index(2 / 3, batch_size=1, dim=1), 6)  # 2 b / (d + b + 1)
    2.0
    >>> print(kesten_tail_index(3.0, batch_size=1, dim=1))
    no stationary law: iterates diverge, Lyapunov exponent 0.1439 a step
    """
    cells = _cells(step_size, batch_size, dim, sigma)
    exponents = _each(cell.lyapunov_exponent, *cells)
    alphas = _each(cell.tail_index, exponents, *cells)
    regimes = np.vectorize(regime_of, otypes=["U17"])(alphas, exponents)
    if alphas.ndim == 0:
        return KestenTail(float(alphas), float(exponents), str(regimes))
    return KestenTail(alphas, exponents, regimes)


def lyapunov_exponent(
    step_size: ArrayLike, batch_size: ArrayLike, dim: ArrayLike, sigma: ArrayLike = 1.0
) -> Any:
    """Return the growth rate rho of the distance between two runs on the same minibatches.

    ``rho = E log||M e||`` a step, for M = I - eta/b sum a_i a_i^T and any unit vector e. Below 0
    a stationary law exists and is approached as ``exp(rho k)``; above, iterates diverge.

    Parameters
    ----------
    step_size, batch_size, dim, sigma : float or array_like
        As in :func:`kesten_tail_index`.

    Returns
    -------
    float or ndarray
        An array where an argument is one.

    Raises
    ------
    ValueError
        As in :func:`kesten_tail_index`.

    Examples
    --------
    >>> round(lyapunov_exponent(0.8, batch_size=1, dim=1), 3)
    -0.466
    """
    return _plain(_each(cell.lyapunov_exponent, *_cells(step_size, batch_size, dim, sigma)))


def moment_growth(
    s: ArrayLike,
    step_size: ArrayLike,
    batch_size: ArrayLike,
    dim: ArrayLike,
    sigma: ArrayLike = 1.0,
) -> Any:
    """Return h(s), by which the s-th moment of a distance grows in a step.

    ``h(s) = E||M e||^s``; ``h(2) = 1 - 2 r + r^2 (d + b + 1) / b`` for r = eta sigma^2.

    Parameters
    ----------
    s : float or array_like
        Order of the moment, from 0 to 1000.
    step_size, batch_size, dim, sigma : float or array_like
        As in :func:`kesten_tail_index`.

    Returns
    -------
    float or ndarray
        inf where the moment exceeds every float.

    Raises
    ------
    ValueError
        An order out of range, else as in :func:`kesten_tail_index`.

    Examples
    --------
    >>> round(moment_growth(2, 0.5, batch_size=1, dim=1), 6)  # 1 - 1 + 3/4
    0.75
    """
    cells = _cells(step_size, batch_size, dim, sigma)
    orders = arguments.order("s", s, zero=True)
    logs = orders * _each(cell.growth_rate, orders, *cells)
    with np.errstate(over="ignore"):
        return _plain(np.exp(logs))


def critical_step_size(
    batch_size: ArrayLike, dim: ArrayLike, sigma: ArrayLike = 1.0, alpha: ArrayLike = 2.0
) -> Any:
    """Return the step size at which the tail index is alpha.

    For alpha = 2, where the stationary variance ceases to be finite,
    ``2 b / (sigma^2 (d + b + 1))``; else by a root.

    Parameters
    ----------
    batch_size, dim, sigma : float or array_like
        As in :func:`kesten_tail_index`.
    alpha : float or array_like, default 2
        Tail index, above 0 and at most 1000.

    Returns
    -------
    float or ndarray
        An array where an argument is one.

    Raises
    ------
    ValueError
        A tail index out of range, else as in :func:`kesten_tail_index`.

    Examples
    --------
    >>> critical_step_size(batch_size=5, dim=10)  # 10 / 16
    0.625
    >>> round(critical_step_size(batch_size=1, dim=2, alpha=4), 6)
    0.333333
    """
    variance, batches, dims = arguments.cells(1.0, batch_size, dim, sigma)
    alphas = arguments.order("alpha", alpha)
    return _plain(_each(cell.critical, alphas, batches, dims) * batches / variance)


def largest_step_size(batch_size: ArrayLike, dim: ArrayLike, sigma: ArrayLike = 1.0) -> Any:
    """Return the step size beyond which iterates diverge: its Lyapunov exponent is 0.

    Parameters
    ----------
    batch_size, dim, sigma : float or array_like
        As in :func:`kesten_tail_index`.

    Returns
    -------
    float or ndarray
        An array where an argument is one.

    Raises
    ------
    ValueError
        As in :func:`kesten_tail_index`.

    Examples
    --------
    >>> round(largest_step_size(batch_size=1, dim=1), 4)
    2.4212
    """
    variance, batches, dims = arguments.cells(1.0, batch_size, dim, sigma)
    return _plain(_each(cell.largest, batches, dims) * batches / variance)


def _cells(
    step_size: ArrayLike, batch_size: ArrayLike, dim: ArrayLike, sigma: ArrayLike
) -> tuple[NDArray[np.float64], ...]:
    """Return a = step size * sigma^2 / batch size, batch size and dimension."""
    rates, batches, dims = arguments.cells(step_size, batch_size, dim, sigma)
    return rates / batches, batches, dims


def _each(function: Callable[..., float], *arrays: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the function of every cell; orders come first, then a, batch size, dimension."""
    broadcast = np.broadcast_arrays(*arrays)
    values = [
        function(*(float(x) for x in one)) for one in zip(*(x.flat for x in broadcast), strict=True)
    ]
    return np.array(values).reshape(broadcast[0].shape)


def _plain(values: NDArray[np.float64]) -> Any:
    """Return a float where nothing that was asked is an array."""
    return float(values) if np.ndim(values) == 0 else values
