"""Copy the weights of a checkpoint into a model."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from noise_lens.errors import CheckpointError
from noise_lens.tasks.checkpoint.files import open_checkpoint
from noise_lens.tasks.checkpoint.fit import fit
from noise_lens.tasks.checkpoint.opened import OpenedCheckpoint


def load_checkpoint(model: nn.Module, path: str | Path) -> None:
    """Load the weights of a checkpoint into `model`, all or nothing.

    Parameters
    ----------
    model : torch.nn.Module
        Receives the weights.
    path : str or Path
        ``.safetensors``; ``.pt .pth .bin .ckpt``, read with ``weights_only=True``, the state
        dict at the top or under one of the usual keys; a Hugging Face folder; or a folder of
        torch.distributed.checkpoint. Nothing in it is run. Only the model's tensors are read.
        Prefixes of wrappers are taken off where that makes it fit.

    Raises
    ------
    CheckpointError
        It is not there, cannot be read safely, or does not fit the model.
    """
    opened = open_checkpoint(path)
    found = fit(opened, model)
    tensors = opened.read(sorted(set(found.names.values())))
    for tie in found.ties:
        first, *others = tie
        for other in others:
            one, two = tensors[found.names[first]], tensors[found.names[other]]
            if one is not two and not torch.equal(one, two):
                raise CheckpointError(
                    f"the checkpoint {path} does not fit the task's model {type(model).__name__}; "
                    f"{first} and {other} are one tensor in the model and differ in the file. "
                    "Name the task that it was trained on, with its arguments."
                )
    model.load_state_dict({own: tensors[name] for own, name in found.names.items()})


def check_checkpoint(model: nn.Module, path: str | Path) -> OpenedCheckpoint:
    """Raise unless the weights of a checkpoint could be loaded into `model`, by names and shapes.

    Parameters
    ----------
    model : torch.nn.Module
        Is not changed.
    path : str or Path
        As for :func:`load_checkpoint`.

    Returns
    -------
    OpenedCheckpoint
        With the step, where it says one.

    Raises
    ------
    CheckpointError
        It is not there, cannot be read safely, or does not fit the model.
    """
    opened = open_checkpoint(path)
    fit(opened, model)
    return opened
