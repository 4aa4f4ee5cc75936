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

    Two saved groups are told apart as training scripts make them: parameters of two or more axes
    first, those of one axis second, if the shapes of the state agree.

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
    order = _order(saved, parameters, state)
    if order is None:
        kinds = ", ".join(str(len(group)) for group in saved)
        raise CheckpointError(
            f"the saved {type(optimizer).__name__} has {len(saved)} parameter groups of {kinds} "
            f"tensors, which cannot be matched with the {len(parameters)} of "
            f"{type(model).__name__} by number and shape. Give optimizer= a function that takes "
            "the model and returns the optimizer as training built it."
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
    try:
        optimizer.load_state_dict(dict(state))
    except (ValueError, KeyError, RuntimeError, TypeError) as error:
        raise CheckpointError(
            f"the saved optimizer state does not fit {type(optimizer).__name__}: {error}. Name the "
            "optimizer of training, with its parameter groups."
        ) from error
    for parameter, own in optimizer.state.items():
        for key, value in own.items():
            wrong = isinstance(value, torch.Tensor) and value.dim() == parameter.dim() != 0
            if wrong and key.startswith(("exp_avg", "momentum")) and value.shape != parameter.shape:
                raise CheckpointError(
                    f"the saved {key} has the shape {tuple(value.shape)} for a parameter of shape "
                    f"{tuple(parameter.shape)}: the state is of another model, or of parameters "
                    "in another order."
                )


def _order(
    saved: list[list[int]], parameters: list[torch.Tensor], state: Mapping[str, Any]
) -> dict[int, torch.Tensor] | None:
    numbers = [number for group in saved for number in group]
    wide = [p for p in parameters if p.dim() >= 2]
    narrow = [p for p in parameters if p.dim() < 2]
    trainable = [p for p in parameters if p.requires_grad]
    ways = [parameters, trainable]
    if len(saved) == 2:
        ways = [wide + narrow, narrow + wide, [p for p in wide + narrow if p.requires_grad]]
    for way in ways:
        if len(way) != len(numbers):
            continue
        found = dict(zip(numbers, way, strict=True))
        if all(_fits(state["state"].get(number, {}), p) for number, p in found.items()):
            return found
    return None


def _fits(own: Mapping[str, Any], parameter: torch.Tensor) -> bool:
    moments = [own[k] for k in ("exp_avg", "momentum_buffer") if own.get(k) is not None]
    return all(tuple(moment.shape) == tuple(parameter.shape) for moment in moments)


def _is_state(found: Any) -> bool:
    return isinstance(found, Mapping) and {"state", "param_groups"} <= set(found)
