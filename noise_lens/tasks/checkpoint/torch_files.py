"""Files of torch.save, read with ``weights_only=True``."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from noise_lens.errors import CheckpointError
from noise_lens.tasks.checkpoint.opened import (
    COPY_AGAIN,
    SAVE_INSTEAD,
    STATE_KEYS,
    STEP_KEYS,
    OpenedCheckpoint,
    as_step,
    whole,
)

_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")


def open_torch(path: Path) -> OpenedCheckpoint:
    """Open a file of torch.save; a Lightning checkpoint is one.

    Parameters
    ----------
    path : Path
        ``.pt``, ``.pth``, ``.bin`` or ``.ckpt``.

    Returns
    -------
    OpenedCheckpoint
        With the state dict that stands at the top or under one of the usual keys.

    Raises
    ------
    CheckpointError
        It is a program or a pickle that can run code, is damaged, or holds no state dict.
    """
    loaded = load_safely(path)
    state = _find_state_dict(loaded, path)
    notes = loaded if state is not loaded and isinstance(loaded, Mapping) else {}
    key = next((key for key in STEP_KEYS if as_step(notes.get(key)) is not None), None)

    def read(names: Collection[str]) -> dict[str, torch.Tensor]:
        return {name: state[name] for name in names}

    return OpenedCheckpoint(
        path,
        {name: tuple(value.shape) for name, value in state.items()},
        read,
        [path],
        whole(state),
        part_of_more="pytorch-lightning_version" in notes,
        step=None if key is None else as_step(notes[key]),
        step_source=f"its key {key}",
    )


def load_safely(path: Path) -> Any:
    """Return what a file of torch.save holds; nothing in it is run.

    Parameters
    ----------
    path : Path
        ``.pt``, ``.pth``, ``.bin`` or ``.ckpt``.

    Returns
    -------
    Any
        Tensors and plain containers. Tensors are mapped from the file where its format allows
        it, so that an optimizer's state beside the weights costs no memory.

    Raises
    ------
    CheckpointError
        It is a program or a pickle that can run code, or is damaged.
    """
    names = _archive_names(path)
    if path.suffix == ".pt2" or {"serialized_exported_program.json", "archive_format"} & names:
        raise CheckpointError(
            f"the checkpoint {path} is a torch.export program, and loading one can run code. "
            + SAVE_INSTEAD
        )
    if path.suffix not in _SUFFIXES:
        raise CheckpointError(
            f"the checkpoint {path} ends in {path.suffix or 'no suffix'}; known are .safetensors, "
            ".pt, .pth, .bin and .ckpt"
        )
    if "constants.pkl" in names:
        raise CheckpointError(
            f"the checkpoint {path} is a TorchScript program, and loading one can run code. "
            + SAVE_INSTEAD
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch warns of is in the error below
            return torch.load(path, map_location="cpu", weights_only=True, mmap=bool(names) or None)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal(path)) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        first = str(error).splitlines()[0] if str(error) else ""
        hint = f" ({first})" if " " in first else ""
        raise CheckpointError(
            f"the checkpoint {path} cannot be read, it may be truncated{hint}. {COPY_AGAIN}"
        ) from error


def _archive_names(path: Path) -> set[str]:
    if not zipfile.is_zipfile(path):
        return set()
    with zipfile.ZipFile(path) as archive:
        return {name.rpartition("/")[2] for name in archive.namelist()}


def _refusal(path: Path) -> str:
    names: list[str] = []
    if zipfile.is_zipfile(path):
        try:
            names = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
        except Exception:
            names = []
    if names:
        return (
            f"the checkpoint {path} is a pickle that wants to run {', '.join(names[:5])}; it was "
            f"not run. {SAVE_INSTEAD}"
        )
    return (
        f"the checkpoint {path} is a pickle that can run code, or is damaged; it was not run. "
        f"{SAVE_INSTEAD}"
    )


def _find_state_dict(loaded: Any, path: Path) -> Mapping[str, torch.Tensor]:
    places = [loaded]
    if isinstance(loaded, Mapping):
        places += [loaded[key] for key in STATE_KEYS if key in loaded]
    for place in places:
        if (
            isinstance(place, Mapping)
            and place
            and all(isinstance(name, str) for name in place)
            and all(isinstance(value, torch.Tensor) for value in place.values())
        ):
            return place
    found = f"a {type(loaded).__name__}"
    if isinstance(loaded, Mapping):
        found = f"the keys {', '.join(map(str, list(loaded)[:8]))}" if loaded else "nothing"
    raise CheckpointError(
        f"the checkpoint {path} holds no state dict, neither at the top nor under "
        f"{', '.join(STATE_KEYS)}; it holds {found}. {SAVE_INSTEAD}"
    )
