"""Hooks on a model under ``fully_shard``, on the whole parameters that it computes with.

Tensor hooks never fire on the shards: they are not in the graph. For a forward pass FSDP2
registers whole parameters in their place, plain tensors that it keeps for good and whose memory
it frees in between. A hook on one of those sees each micro-batch's own gradient on this rank,
whole and before the reduction, also where a loop accumulates without synchronising.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from noise_lens.capture.passive.shards import is_distributed
from noise_lens.capture.preserve import is_probing
from noise_lens.capture.sharded import fsdp_modules

Hook = Callable[[torch.Tensor], None]


class UnshardedHooks:
    """Waits for the first forward pass of each part of a model and hooks its whole parameters.

    Parameters
    ----------
    model : torch.nn.Module
        With modules under ``fully_shard``.
    hooks : sequence of (Parameter, callable)
        Sharded parameters, and what to call with the gradient of the whole one.

    Attributes
    ----------
    n_found : int
        Whole parameters that were found so far.
    looked : bool
        Whether a forward pass was there to look for them.
    """

    def __init__(self, model: nn.Module, hooks: Sequence[tuple[nn.Parameter, Hook]]) -> None:
        owners = {
            id(parameter): (module, key)
            for module in model.modules()
            for key, parameter in module._parameters.items()
            if parameter is not None
        }
        self._waiting = [(*owners[id(parameter)], hook) for parameter, hook in hooks]
        self._handles: list[Any] = []
        # Ours come after FSDP's own, which register the whole parameters.
        self._finders = [
            module.register_forward_pre_hook(self._find) for module in fsdp_modules(model)
        ]
        self.n_found = 0
        self.looked = False

    def remove(self) -> None:
        """Take all hooks away."""
        for handle in (*self._finders, *self._handles):
            handle.remove()
        self._finders, self._handles, self._waiting = [], [], []

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _find(self, *_: Any) -> None:
        if is_probing():
            return
        self.looked = True
        still = []
        for module, key, hook in self._waiting:
            parameter = module._parameters[key]
            if parameter is None or is_distributed(parameter):  # of a part that comes later
                still.append((module, key, hook))
                continue
            self._handles.append(parameter.register_hook(hook))  # type: ignore[no-untyped-call]
            self.n_found += 1
        self._waiting = still
        if not still:
            for finder in self._finders:
                finder.remove()
            self._finders = []
