"""What an exponential moving average does to independent noise, under two laws.

Adaptive optimizers move along a bias-corrected average of minibatch gradients. With weights w of
sum 1 and independent, identically distributed noise u,

* if u is symmetric alpha-stable, ``sum w u`` is stable with the *same* alpha, and its scale is
  ``(sum w^alpha)^(1/alpha)`` times that of u, since the characteristic functions
  ``exp(-|w sigma t|^alpha)`` multiply;
* if u has four moments, cumulants add: variance times ``sum w^2``, excess kurtosis times
  ``sum w^4 / (sum w^2)^2``.

So averaging never lightens a stable law, and makes every other law lighter.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def ema_weights(beta: float, window: int) -> NDArray[np.float64]:
    """Return the weights of a bias-corrected exponential moving average, the newest first.

    ``(1 - beta) beta^k / (1 - beta^window)`` for the gradient that is k steps old. With the
    window as the number of steps taken this is Adam's first moment [1]_, and weighs noise as
    the noise of that moment does [2]_.

    Parameters
    ----------
    beta : float
        Decay a step, in [0, 1).
    window : int
        How many gradients are averaged, at least 1.

    Returns
    -------
    ndarray of shape (window,)
        Positive for beta > 0; the sum is 1.

    Raises
    ------
    ValueError
        beta or window is out of range.

    References
    ----------
    .. [1] D. P. Kingma and J. Ba, ICLR 2015, algorithm 1. arXiv:1412.6980
    .. [2] P. Zhou et al., NeurIPS 2020, section 3.2. arXiv:2010.05627

    Examples
    --------
    >>> ema_weights(0.5, 2)  # 1/2 and 1/4, divided by 3/4
    array([0.66666667, 0.33333333])
    """
    _check(beta, window)
    weights = (1 - beta) * float(beta) ** np.arange(window)
    return np.asarray(weights / _lost(beta, window))


def stable_scale_ratio(alpha: float, beta: float, window: int | None = None) -> float:
    """Return the scale of averaged stable noise, divided by the scale of the noise.

    ``(sum w^alpha)^(1/alpha)``, a geometric series:
    ``(1-b)/(1-b^W) * ((1-b^(alpha W)) / (1-b^alpha))^(1/alpha)``. The index alpha itself is
    unchanged. At alpha = 2 it is the ratio of standard deviations; at alpha = 1 it is 1: an
    average of Cauchy noise is as wide as the noise.

    Parameters
    ----------
    alpha : float
        Index of stability, in (0, 2].
    beta : float
        Decay a step, in [0, 1).
    window : int, optional
        How many gradients are averaged; without it all of an endless past.

    Returns
    -------
    float
        Below 1 for alpha > 1, above 1 for alpha < 1; inf where it is beyond float64.

    Raises
    ------
    ValueError
        alpha, beta or window is out of range.

    Examples
    --------
    >>> round(stable_scale_ratio(2, 0.5) ** 2, 12)  # 1/4 + 1/16 + 1/64 + ... = 1/3
    0.333333333333
    >>> round(stable_scale_ratio(0.5, 0.25, window=2), 12)  # (sqrt(4/5) + sqrt(1/5))^2 = 9/5
    1.8
    """
    _check(beta, window)
    if not 0 < alpha <= 2:
        raise ValueError(f"alpha must lie in (0, 2], got {alpha}")
    # In logarithms: the power 1/alpha of a small alpha overflows before the ratio does.
    series = math.log(_lost(beta, window, alpha) / _lost(beta, 1, alpha))
    found = math.log((1 - beta) / _lost(beta, window)) + series / alpha
    return math.exp(found) if found < 709 else math.inf


def variance_factor(beta: float, window: int | None = None) -> float:
    """Return the variance of averaged noise, divided by the variance of the noise.

    ``sum w^2 = (1-b)/(1+b) * (1+b^W)/(1-b^W)``: the plain mean of its inverse many minibatches,
    19 at beta = 0.9, has this variance.

    Parameters
    ----------
    beta : float
        Decay a step, in [0, 1).
    window : int, optional
        How many gradients are averaged; without it all of an endless past.

    Returns
    -------
    float
        In (0, 1].

    Raises
    ------
    ValueError
        beta or window is out of range.

    Examples
    --------
    >>> round(variance_factor(0.5, window=2), 12)  # 4/9 + 1/9
    0.555555555556
    """
    _check(beta, window)
    return (1 - beta) / (1 + beta) * (2 - _lost(beta, window)) / _lost(beta, window)


def excess_kurtosis_factor(beta: float, window: int | None = None) -> float:
    """Return the excess kurtosis of averaged noise, divided by that of the noise.

    ``sum w^4 / (sum w^2)^2 = (1-b^2)/(1+b^2) * (1+b^(2W))/(1-b^(2W))``, the limit being
    ``(1-b^2)/(1+b^2)``: the variance's law with beta squared.

    Parameters
    ----------
    beta : float
        Decay a step, in [0, 1).
    window : int, optional
        How many gradients are averaged; without it all of an endless past.

    Returns
    -------
    float
        In (0, 1].

    Raises
    ------
    ValueError
        beta or window is out of range.

    Examples
    --------
    >>> excess_kurtosis_factor(0.5)  # (3/4) / (5/4)
    0.6
    >>> round(excess_kurtosis_factor(0.5, window=2), 12)  # (16 + 1) / (4 + 1)^2
    0.68
    """
    _check(beta, window)
    # Not variance_factor(beta**2): 1 - beta**2 loses digits near 1 that expm1 keeps.
    left = 2 * math.log(beta) if beta else -math.inf
    lost = _lost(beta, window, 2)
    return -math.expm1(left) / (1 + beta**2) * (2 - lost) / lost


def equivalent_minibatches(beta: float, window: int | None = None) -> float:
    """Return of how many minibatches a plain mean has the excess kurtosis of the average.

    The inverse of :func:`excess_kurtosis_factor`, since a plain mean of n divides the excess
    kurtosis by n; ``(1+b^2)/(1-b^2)`` for an endless past.

    Parameters
    ----------
    beta : float
        Decay a step, in [0, 1).
    window : int, optional
        How many gradients are averaged; without it all of an endless past.

    Returns
    -------
    float
        In [1, window].

    Raises
    ------
    ValueError
        beta or window is out of range.

    Examples
    --------
    >>> round(equivalent_minibatches(0.9), 2)  # 1.81 / 0.19
    9.53
    """
    return 1 / excess_kurtosis_factor(beta, window)


def _lost(beta: float, window: int | None, power: float = 1) -> float:
    """Return ``1 - beta**(power * window)``, to full precision also near beta = 1."""
    if window is None or beta == 0:
        return 1.0
    return -math.expm1(power * window * math.log(beta))


def _check(beta: float, window: int | None) -> None:
    if not 0 <= beta < 1:
        raise ValueError(f"beta must lie in [0, 1), got {beta}")
    if window is not None and (window < 1 or window != int(window)):
        raise ValueError(f"window must be a whole number of at least 1, got {window}")
