"""The optimizer's own step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from noise_lens.capture.views.shadow import Shadow
from noise_lens.capture.views.view import Vector, vector_dtype


class Update:
    """What the optimizer's next step would be with each minibatch gradient.

    Every step begins at the same weights and the same state, on copies in float64; what the
    optimizer does not change by the gradient (decoupled weight decay, the part of old momentum)
    is in all of them, and cancels with the mean.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        With the state that its step is to begin from; is only read.
    parameters : sequence of Parameter
        In the layout's order.
    needs_state : bool
        Refuse an optimizer whose step uses a state and that has none: it was not saved.

    Raises
    ------
    CaptureError
        The optimizer has no state, is of another model, or cannot be copied.
    """

    name = "update"
    beta = None
    window = 1
    linear = False

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        parameters: Sequence[nn.Parameter],
        *,
        needs_state: bool = False,
    ) -> None:
        self.optimizer = type(optimizer).__name__
        self._shadow = Shadow(optimizer, parameters)
        self._parameters = parameters
        if needs_state:
            self._shadow.check_state(self.name)

    @property
    def vector_bytes(self) -> int:
        """Those of a step."""
        pairs = zip(self._shadow.parameters, self._parameters, strict=True)
        return sum(p.numel() * vector_dtype([p]).itemsize for own, p in pairs if own is not None)

    @property
    def state_bytes(self) -> int:
        """Copies of weights and state, and of a gradient, in whose place comes the step."""
        return self._shadow.n_bytes

    def reset(self) -> None:
        """Nothing waits: every step begins anew."""

    def update(self, gradients: Vector) -> Vector:
        """Return the step with these gradients; what the optimizer does not hold is None."""
        self._shadow.reset()
        self._shadow.step(gradients)
        # In the copies, which are made anew before the next step; a copy of them is given away.
        return [
            None
            if copied is None
            else copied.detach().sub_(own.detach()).to(vector_dtype([own]), copy=True)
            for copied, own in zip(self._shadow.parameters, self._parameters, strict=True)
        ]
