"""Probes of a model under ``fully_shard``: rows are shards of the mean gradient of all ranks.

Sharded parameters are not in the graph, so ``torch.autograd.grad`` cannot be asked for them. A
minibatch gradient is taken as training takes its own: by ``backward()``, which leaves this rank's
shard of the mean over ranks in ``.grad``. All that training has there is put aside before.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import distributed, nn

from noise_lens.capture.gradients import trainable_parameters
from noise_lens.capture.ranks import Ranks
from noise_lens.errors import CaptureError

_REMEDY = "Save checkpoints and run `noise-lens measure` on them; passive capture goes on."
_OF_A_GROUP = {"reduce_grads": True, "all_reduce_grads": True, "reshard_after_backward": True}
_IF_THERE = {"gradient_divide_factor": None, "_partial_reduce_output": None}


SHARDED_FACTS = {
    "split": "shards",
    "capture_point": "backward() at frozen weights, with training's .grad put aside: shards of the "
    "mean gradient over ranks, not clipped, scaled or accumulated",
}
"""What a run folder says where rows are of shards."""


class Shards(NamedTuple):
    """What of each parameter lies here, by name; as for ``build_layout``."""

    shapes: dict[str, torch.Size]
    first: dict[str, int]
    whole: dict[str, int]
    ranks: Ranks


def fsdp_modules(model: nn.Module) -> list[nn.Module]:
    """Return the modules of a model that ``fully_shard`` was applied to.

    Parameters
    ----------
    model : torch.nn.Module
        Any.

    Returns
    -------
    list of torch.nn.Module
        Empty where FSDP2 was never imported: then there can be none.
    """
    kind = getattr(sys.modules.get("torch.distributed.fsdp"), "FSDPModule", None)
    return [] if kind is None else [m for m in model.modules() if isinstance(m, kind)]


def obstacle_to_probes(model: nn.Module) -> CaptureError | None:
    """Return why minibatch gradients at frozen weights cannot be taken, if so.

    Parameters
    ----------
    model : torch.nn.Module
        As training has it.

    Returns
    -------
    CaptureError or None
        With the remedy. None for a model without DTensors, and for one that is sharded over all
        ranks by ``fully_shard`` alone.
    """
    try:
        shards_of(model)
    except CaptureError as error:
        return error
    return None


def shards_of(model: nn.Module) -> Shards | None:
    """Return what of a model lies on this rank.

    Parameters
    ----------
    model : torch.nn.Module
        As training has it; whole parameters that a forward pass left behind are freed.

    Returns
    -------
    Shards or None
        None for a model without DTensors.

    Raises
    ------
    CaptureError
        It is distributed in a way that probes cannot read.
    """
    modules: list[Any] = fsdp_modules(model)
    for module in modules:
        module.reshard()
    parameters = trainable_parameters(model)
    if not modules and not any(map(_is_distributed, parameters.values())):
        return None
    obstacle = (
        "tensor-parallel parameters are sharded by columns, or their gradients are partial sums"
        if not modules
        else _obstacle_in_groups(model) or _obstacle_in(parameters)
    )
    if obstacle is not None:
        raise CaptureError(f"a probe cannot read this model: {obstacle}. {_REMEDY}")
    shapes, first = {}, {}
    for name, parameter in parameters.items():
        shapes[name], first[name] = _shard_of(parameter)
    mesh = next(iter(parameters.values())).device_mesh  # type: ignore[attr-defined]
    return Shards(
        shapes,
        first,
        {name: parameter.numel() for name, parameter in parameters.items()},
        Ranks(_rank_in(mesh), mesh.size()),
    )


def _is_distributed(parameter: torch.Tensor) -> bool:
    return hasattr(parameter, "device_mesh")


def _obstacle_in(parameters: dict[str, nn.Parameter]) -> str | None:
    for name, parameter in parameters.items():
        if not _is_distributed(parameter):
            return f"{name} is left out of fully_shard, so that its gradient is not reduced"
        mesh: Any = parameter.device_mesh  # type: ignore[attr-defined]
        placements: Any = parameter.placements  # type: ignore[attr-defined]
        *outer, inner = placements
        rows = type(inner).__name__ == "Shard" and inner.dim == 0
        if not rows or not all(placement.is_replicate() for placement in outer):
            return f"{name} is placed by {', '.join(map(str, placements))}, not sharded by rows"
        if mesh.size() != distributed.get_world_size():
            return f"{name} is sharded over {mesh.size()} of {distributed.get_world_size()} ranks"
        if mesh.device_type != parameter.device.type:
            return f"{name} is offloaded to {parameter.device}"
    return None


def _obstacle_in_groups(model: nn.Module) -> str | None:
    for group in _groups(model):
        missing = [name for name in _OF_A_GROUP if not hasattr(group, name)]
        if missing or not hasattr(group, "fsdp_params"):
            return f"fully_shard of torch {torch.__version__} is not known to this version"
        if getattr(group, "_all_reduce_hook", None) is not None:
            return "a hook of yours reduces gradients further, over ranks that are not known"
    return None


def shard_shape(parameter: nn.Parameter) -> torch.Size:
    """Return the shape of what a probe reads of a parameter on this rank."""
    return _shard_of(parameter)[0] if _is_distributed(parameter) else parameter.shape


def _shard_of(parameter: nn.Parameter) -> tuple[torch.Size, int]:
    """Return the shape of a shard of rows, and the index of its first element in the whole."""
    mesh: Any = parameter.device_mesh  # type: ignore[attr-defined]
    *outer, inner = mesh.get_coordinate()
    if any(outer):  # a copy: the first replica keeps the rows
        return torch.Size([0]), 0
    n_rows, a_row = parameter.shape[0], parameter.shape[1:].numel()
    length = -(-n_rows // mesh.size(mesh.ndim - 1))
    start = min(inner * length, n_rows)
    shape = torch.Size([min(length, n_rows - start), *parameter.shape[1:]])
    return shape, start * a_row


def _rank_in(mesh: Any) -> int:
    return int(np.ravel_multi_index(tuple(mesh.get_coordinate()), tuple(mesh.mesh.shape)))


def _groups(model: nn.Module) -> list[Any]:
    """Return what FSDP2 keeps of each set of parameters that it reduces together."""
    found: dict[int, Any] = {}
    modules: list[Any] = fsdp_modules(model)
    for module in modules:
        state = module._get_fsdp_state()
        several = getattr(state, "_fsdp_param_groups", None)
        for group in [state._fsdp_param_group] if several is None else several:
            if group is not None:
                found[id(group)] = group
    return list(found.values())


@contextmanager
def training_put_aside(model: nn.Module, shards: Shards | None) -> Iterator[None]:
    """Run a block in which ``backward()`` leaves no trace in training.

    ``.grad`` of shards and what micro-batches without synchronisation have left of whole
    gradients, hooks of parameters (an optimizer inside the backward pass is one), and the
    switches of gradient accumulation are afterwards the same objects again.

    Parameters
    ----------
    model : torch.nn.Module
        Under ``fully_shard``, or any.
    shards : Shards or None
        Of it; None does nothing.

    Yields
    ------
    None
        With no gradient anywhere, and reduction in every backward pass.
    """
    if shards is None:
        yield
        return
    modules: list[Any] = fsdp_modules(model)
    groups = _groups(model)
    saved: list[tuple[Any, str, Any]] = []
    hooks: list[tuple[dict[Any, Any], dict[Any, Any]]] = []

    def put_aside(owner: Any, name: str, value: Any) -> None:
        if hasattr(owner, name):
            saved.append((owner, name, getattr(owner, name)))
            setattr(owner, name, value)

    for group in groups:
        for name, value in (_OF_A_GROUP | _IF_THERE).items():
            put_aside(group, name, value)
        for one in group.fsdp_params:
            put_aside(one, "unsharded_accumulated_grad", None)
            for parameter in (one.sharded_param, getattr(one, "_unsharded_param", None)):
                if parameter is None:
                    continue
                put_aside(parameter, "grad", None)
                for own in (parameter._backward_hooks, parameter._post_accumulate_grad_hooks):
                    if own:
                        hooks.append((own, dict(own)))
                        own.clear()
    for module in modules:
        put_aside(module._get_fsdp_state()._state_ctx, "is_last_backward", True)
    finished = False
    try:
        yield
        finished = True
    finally:
        for module in modules:
            root = getattr(module._get_fsdp_state(), "_is_root", False)
            if not finished and root and hasattr(module, "reset_iter_state"):
                module.reset_iter_state()  # an error may have come in the middle of a pass
            module.reshard()
        for owner, name, value in reversed(saved):
            setattr(owner, name, value)
        for own, kept in hooks:
            own.update(kept)
