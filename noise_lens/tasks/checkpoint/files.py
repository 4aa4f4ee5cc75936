"""From a path to an opened checkpoint."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch

from noise_lens.errors import CheckpointError
from noise_lens.tasks.checkpoint.distributed import open_distributed
from noise_lens.tasks.checkpoint.hugging_face import find_weights, open_hugging_face
from noise_lens.tasks.checkpoint.opened import (
    COPY_AGAIN,
    STEP_KEYS,
    OpenedCheckpoint,
    as_step,
    whole,
)
from noise_lens.tasks.checkpoint.torch_files import open_torch

_KNOWN = (
    "Name a .safetensors, .pt, .pth, .bin or .ckpt file, a Hugging Face folder (config.json beside "
    "model.safetensors) or a distributed checkpoint (.metadata beside .distcp files)."
)


def open_checkpoint(path: str | Path) -> OpenedCheckpoint:
    """Open a file or folder of weights: names and shapes are read, weights not yet.

    Parameters
    ----------
    path : str or Path
        A ``.safetensors``, ``.pt``, ``.pth``, ``.bin`` or ``.ckpt`` file, a Hugging Face folder
        or a distributed checkpoint.

    Returns
    -------
    OpenedCheckpoint
        What is in it.

    Raises
    ------
    CheckpointError
        It is not there, is of another kind, is damaged, or cannot be read safely.
    """
    path = Path(path)
    if path.is_dir():
        return _open_folder(path)
    if not path.is_file():
        raise CheckpointError(f"the checkpoint {path} does not exist. {_KNOWN}")
    return open_safetensors(path) if path.suffix == ".safetensors" else open_torch(path)


def open_safetensors(path: Path) -> OpenedCheckpoint:
    """Open one safetensors file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    OpenedCheckpoint
        What is in it.

    Raises
    ------
    CheckpointError
        It is damaged.
    """
    from safetensors import SafetensorError, safe_open

    def read(names: Collection[str]) -> dict[str, torch.Tensor]:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in names}

    try:
        with safe_open(path, framework="pt") as file:
            shapes = {
                name: tuple(file.get_slice(name).get_shape())
                for name in file.keys()  # noqa: SIM118 - not a dict
            }
            notes = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"the checkpoint {path} is not a complete safetensors file ({error}). {COPY_AGAIN}"
        ) from error
    key = next((key for key in STEP_KEYS if notes.get(key, "").isdecimal()), None)
    return OpenedCheckpoint(
        path,
        shapes,
        read,
        [path],
        whole(shapes),
        step=None if key is None else as_step(int(notes[key])),
        step_source=f"its metadata ({key})",
    )


def _open_folder(path: Path) -> OpenedCheckpoint:
    there = sorted(child.name for child in path.iterdir())
    weights = find_weights(path)
    if weights is not None:
        return open_hugging_face(path, weights, open_safetensors, open_torch)
    if ".metadata" in there:
        return open_distributed(path)
    if "adapter_config.json" in there:
        raise CheckpointError(
            f"the checkpoint {path} is a folder that holds an adapter, and noise belongs to the "
            "whole model. Merge the adapter (merge_and_unload) and save the model."
        )
    if any(name.endswith(".distcp") for name in there):
        raise CheckpointError(
            f"the checkpoint {path} is a distributed checkpoint without its .metadata, which is "
            f"written last: saving was interrupted, or the copy left out hidden files. {COPY_AGAIN}"
        )
    holds = f"holds {', '.join(there[:5])}" if there else "is empty"
    raise CheckpointError(f"the checkpoint {path} is a folder that {holds}. {_KNOWN}")
