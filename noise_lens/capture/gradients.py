"""The gradient of one minibatch, without touching ``.grad``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from noise_lens.capture.layout import Layout
from noise_lens.errors import CaptureError, DivergedError

Loss = Callable[[nn.Module, Any], torch.Tensor]


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that need a gradient, by name; tied ones once.

    Parameters
    ----------
    model : torch.nn.Module
        The model.

    Returns
    -------
    dict of str to Parameter
        In the model's order.

    Raises
    ------
    CaptureError
        There is none, one is complex, or they lie on several devices.
    """
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not parameters:
        raise CaptureError(
            f"the model {type(model).__name__} has no trainable parameter: noise needs gradients. "
            "Set requires_grad_(True) on what training updates."
        )
    for name, module in model.named_modules():
        if getattr(module, "max_norm", None) is not None:
            raise CaptureError(
                f"the embedding {name!r} has max_norm, so every forward pass rewrites its weights; "
                "a probe must not. Set max_norm=None and bound the norms after each step."
            )
    for name, parameter in parameters.items():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise CaptureError(
                f"the parameter {name} has no shape yet: run one minibatch through the model first"
            )
        if parameter.is_complex():
            raise CaptureError(
                f"the parameter {name} is complex ({parameter.dtype}); tail indices are of real "
                "noise. Hold its real and imaginary parts as two parameters."
            )
    devices = {str(parameter.device) for parameter in parameters.values()}
    if len(devices) > 1:
        raise CaptureError(
            f"the parameters lie on {len(devices)} devices ({', '.join(sorted(devices))}); "
            "a probe needs one. Measure the model on a single device."
        )
    return parameters


def to_device(batch: Any, device: torch.device) -> Any:
    """Return `batch` with every tensor in it on `device`; tuples, lists and mappings are walked.

    Parameters
    ----------
    batch : Any
        What the data gave.
    device : torch.device
        Where the model lies.

    Returns
    -------
    Any
        The same structure.
    """
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping) and not hasattr(batch, "to"):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields") and not hasattr(batch, "to"):
        return type(batch)(*(to_device(value, device) for value in batch))
    if isinstance(batch, list | tuple) and not hasattr(batch, "to"):
        return type(batch)(to_device(value, device) for value in batch)
    if hasattr(batch, "to"):
        return batch.to(device)  # packed sequences and the batches of tokenizers know how
    return batch


class MinibatchGradients:
    """Computes minibatch gradients; checks the loss once, so that the rest runs without a sync.

    Parameters
    ----------
    model : torch.nn.Module
        The model, in the mode to measure in.
    loss : callable
        ``loss(model, batch)`` -> mean loss over the minibatch, a scalar tensor.
    layout : Layout
        Of the model's trainable parameters.
    """

    def __init__(self, model: nn.Module, loss: Loss, layout: Layout) -> None:
        parameters = trainable_parameters(model)
        self._model, self._loss = model, loss
        self._parameters = [parameters[name] for name in layout.names]
        self._names = layout.names
        self._checked = False
        self.device = self._parameters[0].device

    def loss_of(self, batch: Any) -> torch.Tensor:
        """Return the loss of a minibatch with its graph.

        Parameters
        ----------
        batch : Any
            What the data gave, on any device.

        Returns
        -------
        torch.Tensor
            A scalar.

        Raises
        ------
        CaptureError
            The loss raises, is no scalar tensor, or does not depend on the parameters.
        DivergedError
            The loss of the first minibatch is not finite.
        """
        try:
            loss = self._loss(self._model, to_device(batch, self.device))
        except Exception as error:
            first = str(error).splitlines()[0] if str(error) else "no message"
            raise CaptureError(
                f"loss(model, batch) raised {type(error).__name__}: {first}. "
                "Call it by hand on one minibatch of the data."
            ) from error
        if not isinstance(loss, torch.Tensor):
            raise CaptureError(
                f"loss(model, batch) must return a scalar tensor, got {type(loss).__name__}. "
                "Return the mean loss over the minibatch, before .item()."
            )
        if loss.numel() != 1:
            raise CaptureError(
                f"loss(model, batch) must return a scalar, got shape {tuple(loss.shape)}. "
                "Return the mean over the minibatch (reduction='mean')."
            )
        if not loss.requires_grad:
            raise CaptureError(
                "the loss does not depend on the model's trainable parameters. "
                "Compute it from model(batch), without torch.no_grad() or .detach()."
            )
        if not self._checked and not bool(torch.isfinite(loss)):
            raise DivergedError(
                f"the loss is {float(loss.detach())} on the first minibatch. Noise of a diverged "
                "model has no tail index: measure an earlier checkpoint, or mend the data."
            )
        return loss

    def of(self, batch: Any) -> tuple[torch.Tensor, Sequence[torch.Tensor | None]]:
        """Return the loss and the gradients of a minibatch.

        Parameters
        ----------
        batch : Any
            A minibatch.

        Returns
        -------
        loss : torch.Tensor
            Detached, on the device.
        gradients : sequence of torch.Tensor or None
            One a parameter, in the layout's order, as autograd made them; None where the loss
            does not depend on it.

        Raises
        ------
        CaptureError
            As for `loss_of`; or no parameter, or a sparse one, receives a gradient.
        """
        loss = self.loss_of(batch)
        try:
            gradients = torch.autograd.grad(loss, self._parameters, allow_unused=True)
        except RuntimeError as error:  # out of memory, an operation without a derivative
            first = str(error).splitlines()[0]
            raise CaptureError(f"the backward pass of the loss raised: {first}") from error
        if not self._checked:
            self._check(gradients)
        return loss.detach(), gradients

    def _check(self, gradients: Sequence[torch.Tensor | None]) -> None:
        if all(gradient is None for gradient in gradients):
            raise CaptureError(
                "the loss does not depend on any of the model's "
                f"{len(gradients)} trainable parameters. Compute it from model(batch)."
            )
        for name, gradient in zip(self._names, gradients, strict=True):
            if gradient is not None and gradient.layout != torch.strided:
                raise CaptureError(
                    f"the gradient of {name} is sparse; a probe reads dense ones. "
                    "Build the embedding with sparse=False."
                )
        self._checked = True
