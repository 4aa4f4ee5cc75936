"""The gradient that an optimizer's moments see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

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
        transformed = _transformed(optimizer)
        if transformed is None:
            raise CaptureError(
                f"the view 'transformed' is of optimizers that change gradients before their "
                f"moments, such as AdaL; {type(optimizer).__name__} does not. "
                "Ask for the view 'gradient'."
            )
        self._transformed, self._parameters = transformed, parameters
        self._held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if not any(id(p) in self._held for p in parameters):
            raise CaptureError(
                f"none of the model's parameters is in the {type(optimizer).__name__}: it was made "
                "for another model, or for a copy. Give the optimizer of this model."
            )

    @property
    def n_bytes(self) -> int:
        """Bytes of what it returns."""
        return sum(p.numel() * p.element_size() for p in self._parameters if id(p) in self._held)

    def __call__(self, gradients: Vector) -> Vector:
        """Return the transformed gradients; None where there is none, or no moment of it."""
        given = {
            parameter: gradient
            for parameter, gradient in zip(self._parameters, gradients, strict=True)
            if gradient is not None and id(parameter) in self._held
        }
        found = self._transformed(given)
        return [found.get(parameter) for parameter in self._parameters]


def transforms(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether an optimizer changes gradients before its moments, and can show it."""
    return _transformed(optimizer) is not None


def _transformed(optimizer: Any) -> Callable[[dict[Any, torch.Tensor]], Any] | None:
    # A wrapper holds the optimizer that it wraps.
    while isinstance(optimizer, torch.optim.Optimizer):
        own = getattr(optimizer, "transformed", None)
        if callable(own):
            return cast("Callable[[dict[Any, torch.Tensor]], Any]", own)
        optimizer = getattr(optimizer, "optimizer", None)
    return None


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

    def __init__(self, transform: Transform, optimizer: str) -> None:
        self._transform, self.optimizer = transform, optimizer

    @property
    def vector_bytes(self) -> int:
        """Those of a transformed gradient."""
        return self._transform.n_bytes

    @property
    def state_bytes(self) -> int:
        """The transformed gradient that is being made."""
        return self._transform.n_bytes

    def reset(self) -> None:
        """Nothing waits."""

    def update(self, gradients: Vector) -> Vector:
        """Return what the moments would see."""
        return self._transform(gradients)
