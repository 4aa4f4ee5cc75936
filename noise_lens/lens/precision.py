"""Mixed precision: the loss scale to divide out, and the autocast mode of training's forward."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn


def scale_of(scaler: Any) -> Callable[[], torch.Tensor | None] | None:
    """Return a function that gives the present loss scale as a tensor on the device.

    Parameters
    ----------
    scaler : torch.amp.GradScaler or None
        The loop's own.

    Returns
    -------
    callable or None
        None without a scaler, or with one that is switched off. ``get_scale()`` is not used: it
        waits for the device.
    """
    if scaler is None or not scaler.is_enabled():
        return None
    return lambda: getattr(scaler, "_scale", None)


def scaler_of(optimizers: Sequence[torch.optim.Optimizer]) -> torch.amp.GradScaler | None:
    """Return the GradScaler that steps one of `optimizers`, if there is one.

    A scaler knows its optimizers; nothing else knows the scaler. All objects of the process are
    looked through, once a run: some milliseconds.

    Parameters
    ----------
    optimizers : sequence of torch.optim.Optimizer
        In their first step.

    Returns
    -------
    GradScaler or None
        An enabled one.
    """
    ids = {id(optimizer) for optimizer in optimizers}
    for one in gc.get_objects():
        # By its type's own line of ancestors: isinstance() asks proxies, which may compute.
        if torch.amp.GradScaler in type(one).__mro__ and one.is_enabled():
            known = getattr(one, "_per_optimizer_states", None) or {}
            if ids & set(known):
                return one  # type: ignore[no-any-return]
    return None


class ForwardPrecision:
    """Notes the autocast mode of training's first forward pass; a probe repeats it."""

    def __init__(self) -> None:
        self._device = "cpu"
        self._dtype: torch.dtype | None = None
        self._handle: Any = None

    @property
    def name(self) -> str:
        """The type that forward passes compute in, or "off"."""
        return "off" if self._dtype is None else str(self._dtype).removeprefix("torch.")

    def watch(self, model: nn.Module) -> None:
        """Look at the next forward pass in training mode.

        Parameters
        ----------
        model : torch.nn.Module
            What the loop calls.
        """
        parameter = next(model.parameters())
        self._device = parameter.device.type
        self._handle = model.register_forward_pre_hook(self._see)

    def forget(self) -> None:
        """Take the hook away if it did not fire."""
        if self._handle is not None:
            self._handle.remove()
        self._handle = None

    def repeated(self) -> contextlib.AbstractContextManager[Any]:
        """Return a context in which forward passes compute as training's do.

        Returns
        -------
        context manager
            Without the cache of cast weights: training's own must not see a probe's.
        """
        dtype = self._dtype
        return torch.autocast(
            self._device, dtype=dtype, enabled=dtype is not None, cache_enabled=False
        )

    def _see(self, module: nn.Module, _: Any) -> None:
        if not (torch.is_grad_enabled() and module.training):
            return
        if torch.is_autocast_enabled(self._device):
            self._dtype = torch.get_autocast_dtype(self._device)
        self.forget()
