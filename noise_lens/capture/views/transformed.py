"""The gradient that an optimizer's moments see."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from noise_lens.capture.views.view import Vector
from noise_lens.errors import CaptureError


class Transform:
    """Applies an optimizer's own transformation of gradients, without touching its state.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        With a method ``transformed(gradients)``, a dict by parameter to a dict by parameter, as
        :class:`noise_lens.optim.AdaL` has it.
    parameters : sequence of Parameter
        In the layout's order.

    Raises
    ------
    CaptureError
        The optimizer transforms nothing.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]
    ) -> None:
        if not transforms(optimizer):
            raise CaptureError(
                f"the view 'transformed' is of optimizers that change gradients before their "
                f"moments, such as AdaL; {type(optimizer).__name__} does not. "
                "Ask for the view 'gradient'."
            )
        self._optimizer, self._parameters = optimizer, parameters

    def __call__(self, gradients: Vector) -> Vector:
        """Return the transformed gradients; None stays None."""
        given = {
            parameter: gradient
            for parameter, gradient in zip(self._parameters, gradients, strict=True)
            if gradient is not None
        }
        found = self._optimizer.transformed(given)  # type: ignore[attr-defined]
        return [found.get(parameter) for parameter in self._parameters]


def transforms(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether an optimizer changes gradients before its moments, and can show it."""
    return callable(getattr(optimizer, "transformed", None))


class Transformed:
    """Minibatch gradients as the optimizer's moments see them: AdaL's ``||g||_1 g``.

    Their mean is not the transformed mean, so a full gradient is no reference.

    Parameters
    ----------
    transform : Transform
        Of the optimizer.
    optimizer : str
        Its class.
    """

    name = "transformed"
    beta = None
    window = 1
    linear = False
    state_bytes = 0

    def __init__(self, transform: Transform, optimizer: str) -> None:
        self._transform, self.optimizer = transform, optimizer

    def update(self, gradients: Vector) -> Vector:
        """Return what the moments would see."""
        return self._transform(gradients)
