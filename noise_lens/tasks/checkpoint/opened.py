"""What is known of a checkpoint before its weights are read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

STATE_KEYS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights")
"""Under which a state dict usually lies, the likeliest first."""
STEP_KEYS = ("global_step", "step", "iteration")
SAVE_INSTEAD = "Save model.state_dict() with torch.save or safetensors, and measure that file."
COPY_AGAIN = "Copy it again, or save it anew."

Names = Mapping[str, str]
"""A name without the prefix of its state dict -> the name as the file has it."""


@dataclass(frozen=True)
class OpenedCheckpoint:
    """A checkpoint whose names and shapes are known, and whose weights can be read.

    Attributes
    ----------
    path : Path
        As it was given.
    shapes : mapping of str to tuple of int
        Of every tensor, by its name in the file.
    read : callable
        Names in the file -> their tensors, on the CPU.
    files : sequence of Path
        All that the weights may come from.
    state_dicts : mapping of str to Names
        Prefix -> the state dict below it. A single file holds one, without a prefix.
    part_of_more : bool
        Whether a model may stand in it under one attribute, beside others that are not its own:
        the net in a LightningModule, the body beside a head.
    step : int or None
        Training step, where the checkpoint says so.
    step_source : str
        Where it says so.
    """

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    read: Callable[[Collection[str]], dict[str, torch.Tensor]]
    files: Sequence[Path]
    state_dicts: Mapping[str, Names] = field(default_factory=dict)
    part_of_more: bool = False
    step: int | None = None
    step_source: str = ""


def whole(names: Collection[str]) -> dict[str, Names]:
    """Return the state dicts of a file that is one state dict.

    Parameters
    ----------
    names : collection of str
        Of its tensors.

    Returns
    -------
    dict of str to Names
        One, without a prefix.
    """
    return {"": {name: name for name in names}}


def as_step(value: Any) -> int | None:
    """Return a training step, if `value` is one.

    Parameters
    ----------
    value : Any
        What stands under the key of a step.

    Returns
    -------
    int or None
        None for anything but a whole number from 0 on, also in a tensor of one element.
    """
    if isinstance(value, torch.Tensor) and value.numel() == 1 and not value.is_complex():
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < 2**63 and value == int(value) else None
