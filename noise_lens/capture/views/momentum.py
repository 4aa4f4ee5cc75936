"""The noise of an optimizer's first moment, at frozen weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from noise_lens.capture.views.transformed import Transform
from noise_lens.capture.views.view import Vector

_LEFT_OUT = 0.1


def window_of(beta: float) -> int:
    """Return how many minibatches one value of a first moment is made of.

    Parameters
    ----------
    beta : float
        Decay, in [0, 1).

    Returns
    -------
    int
        The smallest W with beta**W <= 0.1: the last W gradients have at least nine tenths of the
        weight in the moment that training holds, and the bias correction makes it all. 1 for
        beta = 0, 4 for 0.5, 22 for 0.9, 230 for 0.99.

    Raises
    ------
    ValueError
        `beta` is out of range.

    Examples
    --------
    >>> window_of(0.9)
    22
    """
    if not 0 <= beta < 1:
        raise ValueError(f"beta must lie in [0, 1), got {beta}")
    return 1 if beta == 0 else max(1, math.ceil(math.log(_LEFT_OUT) / math.log(beta) - 1e-9))


class Momentum:
    """Bias-corrected exponential moving averages of disjoint windows of minibatch gradients.

    A vector is ``sum_k w_k g_k`` with ``w_k = (1 - beta) beta**(W - k) / (1 - beta**W)``,
    k = 1..W: what Zhou et al. (2020) [1]_ call exponential gradient noise,
    ``(m' - m) / (1 - beta**t)``, with t = W and all gradients at the same weights. Windows are
    disjoint, so vectors are independent; consecutive values of one average are not.

    Parameters
    ----------
    beta : float
        Decay, in [0, 1).
    shapes : sequence of torch.Size
        Of the parameters, in the layout's order.
    device : torch.device
        Where they lie.
    dtype : torch.dtype
        In which is averaged: float32, or float64 for a model of that type.
    optimizer : str, optional
        Class of the optimizer that `beta` is from.
    transform : Transform, optional
        What the optimizer makes of a gradient before it averages.

    References
    ----------
    .. [1] P. Zhou et al., arXiv:2010.05627, 2020, Sec. 3.2 and 4.2.
    """

    name = "momentum"

    def __init__(
        self,
        beta: float,
        shapes: Sequence[torch.Size],
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        *,
        optimizer: str | None = None,
        transform: Transform | None = None,
    ) -> None:
        self.beta, self.window, self.optimizer = beta, window_of(beta), optimizer
        self.linear = transform is None
        self._transform = transform
        self._shapes, self._device, self._dtype = shapes, device, dtype
        self._average: list[torch.Tensor] = []
        self._n_seen = 0

    @property
    def vector_bytes(self) -> int:
        """Those of an average, as large as the model."""
        return sum(math.prod(shape) for shape in self._shapes) * self._dtype.itemsize

    @property
    def state_bytes(self) -> int:
        """One average, and the transformed gradient that is being added to it."""
        return self.vector_bytes + (0 if self._transform is None else self._transform.n_bytes)

    def reset(self) -> None:
        """Drop the window that is open."""
        self._n_seen, self._average = 0, []

    def update(self, gradients: Vector) -> Vector | None:
        """Add a minibatch to the window that is open; see :class:`View`."""
        if self._transform is not None:
            gradients = self._transform(gradients)
        if not self._n_seen:  # anew: the last vector is someone else's now
            self._average = [
                torch.zeros(shape, dtype=self._dtype, device=self._device) for shape in self._shapes
            ]
        self._n_seen += 1
        age = self.window - self._n_seen
        weight = (1 - self.beta) * self.beta**age / (1 - self.beta**self.window)
        there = [
            (own, gradient)
            for own, gradient in zip(self._average, gradients, strict=True)
            if gradient is not None
        ]
        if there:
            own, found = map(list, zip(*there, strict=True))
            torch._foreach_add_(own, found, alpha=weight)
        if age:
            return None
        self._n_seen = 0
        full, self._average = self._average, []
        return full
