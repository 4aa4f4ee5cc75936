"""Folders of ``save_pretrained`` and of Hugging Face's Trainer; no transformers needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import torch

from noise_lens.errors import CheckpointError
from noise_lens.tasks.checkpoint.opened import COPY_AGAIN, OpenedCheckpoint, as_step, whole

_WEIGHTS = (  # in the order in which transformers looks for them
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
Opener = Callable[[Path], OpenedCheckpoint]


def find_weights(folder: Path) -> Path | None:
    """Return the file of weights, or the index of its shards.

    Parameters
    ----------
    folder : Path
        Any folder.

    Returns
    -------
    Path or None
        None where the folder is of another kind.
    """
    return next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)


def open_hugging_face(
    folder: Path, weights: Path, open_safetensors: Opener, open_torch: Opener
) -> OpenedCheckpoint:
    """Open a folder of ``save_pretrained``.

    Parameters
    ----------
    folder : Path
        With the weights in it; ``config.json`` is not needed, for the task builds the model.
    weights : Path
        What :func:`find_weights` returned.
    open_safetensors, open_torch : callable
        Open one file.

    Returns
    -------
    OpenedCheckpoint
        All shards together.

    Raises
    ------
    CheckpointError
        The index is damaged, or a shard is missing or damaged.
    """
    if weights.suffix == ".json":
        shards, indexed = _shards(weights)
    else:
        shards, indexed = [weights], frozenset[str]()
    parts = [open_safetensors(s) if s.suffix == ".safetensors" else open_torch(s) for s in shards]
    shapes = {name: shape for part in parts for name, shape in part.shapes.items()}
    absent = sorted(indexed - set(shapes))
    if absent:
        raise CheckpointError(
            f"the checkpoint {folder} is incomplete: {weights.name} names {absent[0]}, which is in "
            f"no shard. {COPY_AGAIN}"
        )

    def read(names: Collection[str]) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = {}
        for part in parts:
            found |= part.read([name for name in names if name in part.shapes])
        return found

    step = _trainer_step(folder)
    return OpenedCheckpoint(
        folder,
        shapes,
        read,
        [weights, *shards] if weights not in shards else shards,
        whole(shapes),
        part_of_more=True,
        step=step,
        step_source="its trainer_state.json",
    )


def _shards(index: Path) -> tuple[list[Path], frozenset[str]]:
    try:
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = sorted(set(places.values()))
        if not files:
            raise ValueError("it names no shard")  # noqa: TRY301 - told like the others
        if any(not isinstance(name, str) or Path(name).name != name for name in files):
            raise ValueError("a shard is no file beside it")  # noqa: TRY301
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"the checkpoint {index} cannot be read as an index of shards ({error}). {COPY_AGAIN}"
        ) from error
    missing = [name for name in files if not (index.parent / name).is_file()]
    if missing:
        raise CheckpointError(
            f"the checkpoint {index.parent} is incomplete: {len(missing)} of {len(files)} shards "
            f"are missing, {missing[0]} is the first. {COPY_AGAIN}"
        )
    return [index.parent / name for name in files], frozenset(places)


def _trainer_step(folder: Path) -> int | None:
    try:
        state: Any = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # weights are what was asked for; the step has other sources
    return as_step(state.get("global_step")) if isinstance(state, dict) else None
