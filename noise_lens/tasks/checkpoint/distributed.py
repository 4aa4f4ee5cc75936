"""Folders of torch.distributed.checkpoint, read in one process and without its loader."""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from noise_lens.errors import CheckpointError
from noise_lens.tasks.checkpoint.metadata import Chunk, DistributedMetadata, Slice, read_metadata
from noise_lens.tasks.checkpoint.opened import (
    COPY_AGAIN,
    STATE_KEYS,
    STEP_KEYS,
    Names,
    OpenedCheckpoint,
    as_step,
)
from noise_lens.tasks.checkpoint.torch_files import load_safely

_LIGHTNING = "meta.pt"
"""What Lightning and Fabric put beside the shards: all that is no tensor of model or optimizer."""


def open_distributed(folder: Path) -> OpenedCheckpoint:
    """Open a folder of torch.distributed.checkpoint.

    Parameters
    ----------
    folder : Path
        With a ``.metadata``.

    Returns
    -------
    OpenedCheckpoint
        Its tensors, whole: blocks of several ranks are put together as they are read.

    Raises
    ------
    CheckpointError
        The metadata or a shard is damaged, missing, or names something that could be run.
    """
    metadata = read_metadata(folder / ".metadata")
    slices = [*metadata.objects.values(), *(c.slice for cs in metadata.chunks.values() for c in cs)]
    files = {piece.file: 0 for piece in slices}
    for piece in slices:
        files[piece.file] = max(files[piece.file], piece.offset + piece.length)
    _check_shards(folder, files)

    def read(names: Collection[str]) -> dict[str, torch.Tensor]:
        return {
            name: _assembled(folder, name, metadata.shapes[name], metadata.chunks[name])
            for name in names
        }

    step, source = _step(folder, metadata)
    return OpenedCheckpoint(
        folder,
        metadata.shapes,
        read,
        [folder / ".metadata", *(folder / name for name in files)],
        _state_dicts(metadata),
        part_of_more=(folder / _LIGHTNING).is_file(),
        step=step,
        step_source=source,
    )


def _check_shards(folder: Path, ends: dict[str, int]) -> None:
    missing = [name for name in sorted(ends) if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"the checkpoint {folder} is incomplete: {len(missing)} of {len(ends)} shards are "
            f"missing, {missing[0]} is the first. Copy the files of all ranks into one folder."
        )
    for name, end in ends.items():
        size = (folder / name).stat().st_size
        if size < end:
            raise CheckpointError(
                f"the checkpoint {folder} is incomplete: {name} has {size:,} bytes, its metadata "
                f"speaks of {end:,}. {COPY_AGAIN}"
            )


def _state_dicts(metadata: DistributedMetadata) -> dict[str, Names]:
    """Return every dict of the nested one that was saved, by the prefix of its names."""
    found: dict[str, dict[str, str]] = {"": {name: name for name in metadata.shapes}}
    for name in metadata.shapes:
        prefix = ""
        for key in metadata.paths.get(name, ())[:-1]:
            prefix += f"{key}."
            found.setdefault(prefix, {})[name.removeprefix(prefix)] = name
    usual = [prefix for prefix in found if prefix[:-1].rpartition(".")[2] in STATE_KEYS]
    return {prefix: found[prefix] for prefix in (*usual, *found)}


def _assembled(
    folder: Path, name: str, shape: tuple[int, ...], chunks: list[Chunk]
) -> torch.Tensor:
    where = f"{name} in the checkpoint {folder}"
    whole: torch.Tensor | None = None
    covered = torch.zeros(shape, dtype=torch.bool)
    for chunk in chunks:
        block = _load_slice(folder, chunk.slice)
        if not isinstance(block, torch.Tensor) or tuple(block.shape) != chunk.sizes:
            found = tuple(block.shape) if isinstance(block, torch.Tensor) else type(block).__name__
            raise CheckpointError(
                f"{where} is damaged: {chunk.slice.file} holds {found} for a block of "
                f"{chunk.sizes}. {COPY_AGAIN}"
            )
        place = tuple(
            slice(offset, offset + size)
            for offset, size in zip(chunk.offsets, chunk.sizes, strict=True)
        )
        if covered[place].shape != block.shape:
            raise CheckpointError(
                f"{where} is damaged: a block of {chunk.sizes} at {chunk.offsets} does not lie in "
                f"{shape}. {COPY_AGAIN}"
            )
        if whole is None:
            whole = torch.empty(shape, dtype=block.dtype)
        whole[place] = block
        covered[place] = True
    if whole is None or not covered.all():
        known = int(covered.sum())
        raise CheckpointError(
            f"{where} is incomplete: its shards hold {known:,} of {math.prod(shape):,} numbers. "
            f"{COPY_AGAIN}"
        )
    return whole


def _load_slice(folder: Path, piece: Slice) -> Any:
    path = folder / piece.file
    try:
        with path.open("rb") as file:
            file.seek(piece.offset)
            content = file.read(piece.length)
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"the checkpoint {path} holds a pickle that can run code, or is damaged; it was not "
            "run. Save it anew with torch.distributed.checkpoint.save."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"the checkpoint {path} cannot be read at byte {piece.offset:,} "
            f"({type(error).__name__}). {COPY_AGAIN}"
        ) from error


def _step(folder: Path, metadata: DistributedMetadata) -> tuple[int | None, str]:
    """Look for a step at the top, or one level below it but not in an optimizer's state."""
    lightning = folder / _LIGHTNING
    if lightning.is_file():
        try:
            notes = load_safely(lightning)
        except CheckpointError:  # hyperparameters may be pickles; the step has other sources
            notes = {}
        for key in STEP_KEYS:
            step = as_step(notes.get(key)) if isinstance(notes, dict) else None
            if step is not None:
                return step, f"its meta.pt ({key})"
    for depth in (1, 2):
        for key in STEP_KEYS:
            for name, path in metadata.paths.items():
                if len(path) != depth or path[-1] != key or _is_of_optimizer(path):
                    continue
                step = as_step(_value(folder, name, metadata))
                if step is not None:
                    return step, f"its key {name}"
    return None, ""


def _is_of_optimizer(path: tuple[str | int, ...]) -> bool:
    return len(path) > 1 and str(path[0]).lower().startswith(("optim", "sched", "lr_"))


def _value(folder: Path, name: str, metadata: DistributedMetadata) -> Any:
    if name in metadata.objects:
        try:
            return _load_slice(folder, metadata.objects[name])
        except CheckpointError:  # an object that is no step need not be readable
            return None
    if name in metadata.chunks and math.prod(metadata.shapes[name]) == 1:
        return _assembled(folder, name, metadata.shapes[name], metadata.chunks[name])
    return None
