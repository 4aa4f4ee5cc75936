"""The noise of a first moment while the weights move: Zhou's definition, exactly."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from noise_lens.capture.gradients import Loss, MinibatchGradients
from noise_lens.capture.layout import Layout
from noise_lens.capture.views.momentum import Momentum
from noise_lens.capture.views.shadow import Shadow
from noise_lens.capture.views.view import Vector, vector_dtype
from noise_lens.errors import CaptureError


class Trajectory:
    """``(m' - m) / (1 - beta**W)`` over W steps of training, with a full gradient at each.

    Every vector is a continuation of training on its own, by W steps from the same weights and
    the same state of the optimizer, on copies: at step k the weights have moved, the noise
    ``u_k`` is the minibatch gradient there minus the full gradient there, and the vector is the
    bias-corrected average of ``u_1 .. u_W`` (Zhou et al., 2020 [1]_, Sec. 3.2 and 4.2; what lies
    before the window is common to all continuations and left out). It is what ``momentum``
    stands for when the weights move little in W steps, at the price of W full gradients a row.

    Parameters
    ----------
    model : torch.nn.Module
        At the weights to begin from; is only read.
    loss : callable
        ``loss(model, batch)`` -> mean loss over the minibatch.
    layout : Layout
        Of the parameters.
    parameters : sequence of Parameter
        In the layout's order.
    optimizer : torch.optim.Optimizer
        With its state; is only read.
    beta : float
        Decay of the first moment.
    whole : callable
        Without arguments; yields the data set in parts, with their sizes.
    needs_state : bool
        As for :class:`~noise_lens.capture.views.update.Update`.

    Notes
    -----
    An optimizer that averages transformed gradients (AdaL) is stepped as it is; the noise that
    is averaged is that of the gradient, as Zhou et al. define it.

    References
    ----------
    .. [1] P. Zhou et al., arXiv:2010.05627, 2020.
    """

    name = "trajectory"

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        layout: Layout,
        parameters: Sequence[nn.Parameter],
        optimizer: torch.optim.Optimizer,
        beta: float,
        whole: Callable[[], Iterable[tuple[Any, int]]],
        *,
        needs_state: bool = False,
    ) -> None:
        self.beta, self.optimizer = beta, type(optimizer).__name__
        self._shadow = Shadow(optimizer, parameters, dtype=None)
        if needs_state:
            self._shadow.check_state(self.name)
        try:
            # The copy's parameters are those that the copied optimizer steps.
            moving = copy.deepcopy(model, self._shadow.copies())
        except Exception as error:
            raise CaptureError(
                f"the view 'trajectory' moves the weights of a copy, and {type(model).__name__} "
                f"cannot be copied ({type(error).__name__}: {error}). Leave the view out."
            ) from error
        self._gradients = MinibatchGradients(moving, loss, layout)
        self._dtype = vector_dtype(parameters)
        self._average = Momentum(beta, layout.shapes, parameters[0].device, self._dtype)
        self._parameters = parameters
        self._whole = whole
        self._n_examples = 0
        self.window = self._average.window

    @property
    def vector_bytes(self) -> int:
        """Those of an average."""
        return self._average.vector_bytes

    @property
    def state_bytes(self) -> int:
        """Copies of weights, gradient and state; part of a full gradient, noise, an average."""
        part = sum(p.numel() * p.element_size() for p in self._parameters)
        return self._shadow.n_bytes + part + 2 * self.vector_bytes

    def vectors(self, minibatches: Iterator[Any], n_vectors: int) -> Iterator[Vector]:
        """Yield vectors; each takes as many minibatches as the window is long.

        Parameters
        ----------
        minibatches : iterator
            At least ``n_vectors * window``.
        n_vectors : int
            How many.

        Yields
        ------
        sequence of torch.Tensor or None
            Noise: nothing is to be subtracted.
        """
        self._n_examples = self._n_examples or sum(size for _, size in self._whole())
        for _ in range(n_vectors):
            self._shadow.reset()
            self._average.reset()
            for _ in range(self.window):
                found = self._gradients.of(next(minibatches))[1]
                vector = self._average.update(self._without_mean(found))
                with torch.no_grad():
                    self._shadow.step(found)
                del found  # as large as the model, and the next is on its way
            if vector is not None:
                yield vector
            del vector

    def _without_mean(self, gradients: Vector) -> list[torch.Tensor]:
        # A minibatch may leave out what the data as a whole does not: zero is its gradient then.
        noise = [
            torch.zeros_like(p, dtype=self._dtype) if g is None else g.to(self._dtype, copy=True)
            for g, p in zip(gradients, self._parameters, strict=True)
        ]
        for batch, size in self._whole():
            _subtract(noise, self._gradients.of(batch)[1], size / self._n_examples)
        return noise


def _subtract(noise: Sequence[torch.Tensor], gradients: Vector, share: float) -> None:
    there = [
        (own, gradient)
        for own, gradient in zip(noise, gradients, strict=True)
        if gradient is not None
    ]
    if there:
        targets, found = map(list, zip(*there, strict=True))
        torch._foreach_sub_(targets, found, alpha=share)
