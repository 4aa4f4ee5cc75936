"""From what the loop trains to what is measured: wrappers, shards, and what is not supported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from noise_lens.errors import CaptureError

_REFUSED = {
    "DeepSpeedEngine": "DeepSpeed partitions gradients where no hook of ours sees them",
    "FullyShardedDataParallel": "FSDP1 flattens parameters; FSDP2 (fully_shard) is supported",
    "PipelineStage": "a pipeline stage holds part of the model and never sees the loss",
    "Pipe": "a pipeline stage holds part of the model and never sees the loss",
}


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the module inside ``torch.compile`` and ``DistributedDataParallel``.

    Parameters
    ----------
    model : torch.nn.Module
        What the loop calls.

    Returns
    -------
    torch.nn.Module
        With the parameters' own names.

    Raises
    ------
    CaptureError
        It is a wrapper whose gradients cannot be seen: DeepSpeed, FSDP1, pipelines.
    """
    while True:
        for kind in type(model).__mro__:
            if kind.__name__ in _REFUSED:
                raise CaptureError(
                    f"NoiseLens does not support {kind.__name__}: {_REFUSED[kind.__name__]}. Save "
                    "checkpoints and run `noise-lens measure` on them."
                )
        wraps = isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel)
        inner = getattr(model, "module" if wraps else "_orig_mod", None)
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def optimizers_of(optimizer: Any) -> tuple[torch.optim.Optimizer, ...]:
    """Return the torch optimizers in `optimizer`.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer or sequence or mapping
        One; several, as where each parameter is stepped inside the backward pass; or a wrapper
        that holds one as ``.optimizer``, as Accelerate's does.

    Returns
    -------
    tuple of torch.optim.Optimizer
        A step of training is over when each has stepped.

    Raises
    ------
    CaptureError
        There is none.
    """
    if isinstance(optimizer, dict):
        optimizer = list(optimizer.values())
    if isinstance(optimizer, Sequence) and not isinstance(optimizer, str):
        found = [one for part in optimizer for one in optimizers_of(part)]
        if found:
            return tuple(dict.fromkeys(found))  # one that is given twice steps once
    # A wrapper's own hooks need not fire: the innermost optimizer is the one that steps.
    inner = getattr(optimizer, "optimizer", None)
    if isinstance(inner, torch.optim.Optimizer):
        return optimizers_of(inner)
    if isinstance(optimizer, torch.optim.Optimizer):
        return (optimizer,)
    raise CaptureError(
        f"optimizer must be a torch.optim.Optimizer, a wrapper of one, or several; got "
        f"{type(optimizer).__name__}"
    )


def check_trains(optimizers: Sequence[torch.optim.Optimizer], model: nn.Module) -> None:
    """Raise unless the optimizers step parameters of the model.

    Parameters
    ----------
    optimizers : sequence of torch.optim.Optimizer
        That were given.
    model : torch.nn.Module
        Unwrapped.

    Raises
    ------
    CaptureError
        None of them has one of its parameters: its steps would be those of another model.
    """
    own = {id(parameter) for parameter in model.parameters()}
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    if not any(id(parameter) in own for group in groups for parameter in group["params"]):
        raise CaptureError(
            f"the optimizer steps no parameter of the model {type(model).__name__}. Give the one "
            "that trains it."
        )


def clean_name(name: str) -> str:
    """Return a parameter's name without the prefixes of wrappers inside the model."""
    return name.replace("_orig_mod.", "").replace("_checkpoint_wrapped_module.", "")
