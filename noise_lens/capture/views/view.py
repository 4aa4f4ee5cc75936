"""What every view is, and the plainest one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

Vector = Sequence[torch.Tensor | None]
"""One tensor a parameter, in the layout's order; None where there is no gradient."""


class View(Protocol):
    """Makes vectors of minibatch gradients; their differences from a reference are noise."""

    @property
    def name(self) -> str:
        """As users write it."""

    @property
    def optimizer(self) -> str | None:
        """Class of the optimizer that the vectors belong to; None where they belong to none."""

    @property
    def beta(self) -> float | None:
        """Decay of the average; None where nothing is averaged."""

    @property
    def window(self) -> int:
        """Minibatch gradients a vector."""

    @property
    def linear(self) -> bool:
        """Whether the expectation of a vector is the full gradient."""

    @property
    def state_bytes(self) -> int:
        """What it holds beside the model, a gradient and the vectors it gave away, in bytes."""

    @property
    def vector_bytes(self) -> int | None:
        """Bytes of a vector; None where it is the gradient itself."""

    def reset(self) -> None:
        """Forget the minibatches of a window that is not full."""

    def update(self, gradients: Vector) -> Vector | None:
        """Take the gradients of one minibatch.

        Parameters
        ----------
        gradients : sequence of torch.Tensor or None
            Are not changed.

        Returns
        -------
        sequence of torch.Tensor or None, or None
            A vector when its window is full; its tensors are not written to again.
        """


def vector_dtype(parameters: Sequence[torch.Tensor]) -> torch.dtype:
    """Return the type to do arithmetic on gradients in: float32, or float64 if any has it."""
    found = torch.float32
    for parameter in parameters:
        found = torch.promote_types(found, parameter.dtype)
    return found


class Gradient:
    """Minibatch gradients as they are."""

    name = "gradient"
    optimizer = None
    beta = None
    window = 1
    linear = True
    state_bytes = 0
    vector_bytes = None

    def reset(self) -> None:
        """Nothing waits."""

    def update(self, gradients: Vector) -> Vector:
        """Return `gradients`."""
        return gradients
