"""The state of an optimizer, found beside weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from noise_lens.errors import CheckpointError
from noise_lens.tasks.checkpoint.torch_files import load_safely

_KEYS = ("optimizer", "optimizer_state_dict", "optimizer_states", "optimizer_state", "optim")
_FILES = ("optimizer.pt", "optimizer.bin")
_MOMENTS = (
    "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "exp_inf", "momentum_buffer", "square_avg",
    "grad_avg", "acc_delta", "sum", "ax", "prev", "step_size",
)  # fmt: skip
"""As large as their parameter, in torch's optimizers and ours."""

_OF_OTHERS = frozenset(
    (
        "param_names", "initial_lr", "min_lr", "max_lr", "base_momentum", "max_momentum",
        "swa_lr", "step",
    )
)  # fmt: skip
"""What schedules and torch itself write into a group."""

_TORCH = (".pt", ".pth", ".bin", ".ckpt")


def optimizer_state(checkpoint: str | Path) -> dict[str, Any] | None:
    """Return the state dict of the optimizer that a checkpoint holds.

    Parameters
    ----------
    checkpoint : str or Path
        A file of torch.save, with the state under ``optimizer``, ``optimizer_state_dict`` or the
        first of ``optimizer_states`` (Lightning); or a folder, or a file in one, with an
        ``optimizer.pt`` or ``optimizer.bin`` (Hugging Face, Accelerate). Read with
        ``weights_only=True``.

    Returns
    -------
    dict or None
        With ``state`` and ``param_groups``; None where there is none.

    Raises
    ------
    CheckpointError
        A file cannot be read safely, or several optimizers were saved.
    """
    path = Path(checkpoint)
    if path.is_file() and path.suffix in _TORCH:
        loaded = load_safely(path)
        for key in _KEYS if isinstance(loaded, Mapping) else ():
            found = loaded.get(key)
            if isinstance(found, list):
                if len(found) > 1:
                    raise CheckpointError(
                        f"the checkpoint {path} holds the states of {len(found)} optimizers under "
                        f"{key}, and a view is of one. Save the one to look at as optimizer."
                    )
                found = found[0] if found else None
            if _is_state(found):
                return dict(found)
    folder = path if path.is_dir() else path.parent
    for name in _FILES:
        if (folder / name).is_file():
            found = load_safely(folder / name)
            if _is_state(found):
                return dict(found)
    return None


def load_optimizer_state(
    optimizer: torch.optim.Optimizer, model: nn.Module, state: Mapping[str, Any]
) -> None:
    """Load a saved state into an optimizer over all of a model's parameters.

    Groups are matched by the names of their parameters where those were saved. Else one group is
    taken in the model's order, and two are known as most scripts make them, for weight decay:
    parameters of two or more axes in one, those of fewer in the other. Any other split is refused.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        New, with one group; its groups are those of `state` afterwards.
    model : torch.nn.Module
        Whose parameters it has.
    state : mapping
        From :func:`optimizer_state`.

    Raises
    ------
    CheckpointError
        The groups or the shapes do not fit.
    """
    saved = [list(group["params"]) for group in state["param_groups"]]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    order = _by_name(model, state) or _order(saved, parameters, state)
    if order is None:
        kinds = ", ".join(str(len(group)) for group in saved)
        raise CheckpointError(
            f"the saved {type(optimizer).__name__} has {len(saved)} parameter groups of {kinds} "
            f"tensors, which cannot be matched with the {len(parameters)} of "
            f"{type(model).__name__} by number and shape, or in several ways. Give optimizer= a "
            "function that takes the model and returns the optimizer as training built it. (For "
            "the view 'momentum' beta= is enough.)"
        )
    first = {k: v for k, v in optimizer.param_groups[0].items() if k != "params"}
    optimizer.param_groups[:] = [
        {**first, "params": [order[number] for number in group]} for group in saved
    ]
    fill_optimizer(optimizer, state)


def fill_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Load a saved state into an optimizer with the groups of training.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        As training built it.
    state : mapping
        From :func:`optimizer_state`.

    Raises
    ------
    CheckpointError
        It does not fit.
    """
    options = [dict(group) for group in optimizer.param_groups]
    try:
        optimizer.load_state_dict(dict(state))
    except (ValueError, KeyError, RuntimeError, TypeError) as error:
        raise CheckpointError(
            f"the saved optimizer state does not fit {type(optimizer).__name__}: {error}. Name the "
            "optimizer of training, with its parameter groups."
        ) from error
    for group, before in zip(optimizer.param_groups, options, strict=True):
        lacking, others = set(before) - set(group), set(group) - set(before) - _OF_OTHERS
        if lacking and others:
            raise CheckpointError(
                f"the saved state is not of {type(optimizer).__name__}: its groups have "
                f"{', '.join(sorted(others)[:5])} and lack {', '.join(sorted(lacking)[:5])}. Name "
                "the optimizer of training. (The view 'momentum' with the beta of another one "
                "needs no state: give beta=.)"
            )
        for key in lacking:  # an option that is newer than the checkpoint
            group[key] = before[key]
    if type(optimizer).__module__.partition(".")[0] not in ("torch", "noise_lens"):
        return  # moments of others may have fewer axes than their weights
    for parameter, own in optimizer.state.items():
        for key in _MOMENTS:
            if not _alike(own.get(key), parameter):
                raise CheckpointError(
                    f"the saved {key} has the shape {tuple(own[key].shape)} for a parameter of "
                    f"shape {tuple(parameter.shape)}: the state is of another model, or of "
                    "parameters in another order. Give optimizer= a function that takes the model "
                    "and returns the optimizer as training built it."
                )


def _by_name(model: nn.Module, state: Mapping[str, Any]) -> dict[int, torch.Tensor] | None:
    """Match by names, where an optimizer was given named parameters and saved them."""
    own = dict(model.named_parameters())
    order: dict[int, torch.Tensor] = {}
    for group in state["param_groups"]:
        names = group.get("param_names") or ()
        if len(names) != len(group["params"]) or not set(names) <= set(own):
            return None
        order |= {number: own[name] for number, name in zip(group["params"], names, strict=True)}
    return order


def _order(
    saved: list[list[int]], parameters: list[torch.Tensor], state: Mapping[str, Any]
) -> dict[int, torch.Tensor] | None:
    numbers = [number for group in saved for number in group]
    has_shapes = any(key in own for own in state["state"].values() for key in _MOMENTS)
    if len(saved) > 1 and not has_shapes and not _same_options(state["param_groups"]):
        return None
    ways: list[list[torch.Tensor]] = []
    for pool in (parameters, [p for p in parameters if p.requires_grad]):
        if len(saved) == 1 or not has_shapes:
            ways.append(pool)
        # Of several groups only the usual two are known: any other split may fit by its shapes
        # and give each state to another tensor of the same shape.
        wide = [p for p in pool if p.dim() >= 2]
        narrow = [p for p in pool if p.dim() < 2]
        ways += [
            [*first, *second]
            for first, second in ((wide, narrow), (narrow, wide))
            if [len(first), len(second)] == [len(group) for group in saved]
        ]
    found: dict[tuple[int, ...], dict[int, torch.Tensor]] = {}
    for way in ways:
        if len(way) != len(numbers):
            continue
        order = dict(zip(numbers, way, strict=True))
        own = [(state["state"].get(number, {}), p) for number, p in order.items()]
        if all(_alike(part.get(key), p) for part, p in own for key in _MOMENTS):
            found[tuple(map(id, way))] = order
    if len(found) > 1 and has_shapes:
        return None
    return next(iter(found.values()), None)


def _same_options(groups: list[dict[str, Any]]) -> bool:
    options = [
        {key: value for key, value in group.items() if key not in ("params", "weight_decay")}
        for group in groups
    ]
    return all(own == options[0] for own in options)


def _alike(moment: Any, parameter: torch.Tensor) -> bool:
    return not isinstance(moment, torch.Tensor) or moment.shape == parameter.shape


def _is_state(found: Any) -> bool:
    return isinstance(found, Mapping) and {"state", "param_groups"} <= set(found)
