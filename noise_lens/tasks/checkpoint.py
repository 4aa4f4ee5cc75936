"""Weights from a checkpoint, without running code that may hide in it."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from noise_lens.errors import CheckpointError

_STATE_KEYS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights")
_TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
_SAVE_INSTEAD = "Save model.state_dict() with torch.save or safetensors, and measure that file."


def load_checkpoint(model: nn.Module, path: str | Path) -> None:
    """Load the weights of a checkpoint file into `model`, all or nothing.

    Parameters
    ----------
    model : torch.nn.Module
        Receives the weights.
    path : str or Path
        ``.safetensors``; or ``.pt .pth .bin .ckpt``, read with ``weights_only=True``. The state
        dict may lie at the top or under one of the usual keys; the prefixes of DataParallel and
        torch.compile are taken off.

    Raises
    ------
    CheckpointError
        The file is not there, cannot be read safely, or does not fit the model.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise CheckpointError(
            f"the checkpoint {path} {what}. Name a .safetensors, .pt, .pth, .bin or .ckpt file."
        )
    state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    own = model.state_dict()
    state = _strip_prefixes(state, own)
    _check_fit(state, own, path, type(model).__name__)
    model.load_state_dict(state)


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"the checkpoint {path} is not a complete safetensors file ({error}). "
            "Copy it again, or save it anew."
        ) from error


def _read_torch(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix == ".pt2" or _is_exported(path):
        raise CheckpointError(
            f"the checkpoint {path} is a torch.export program, and loading one can run code. "
            + _SAVE_INSTEAD
        )
    if path.suffix not in _TORCH_SUFFIXES:
        raise CheckpointError(
            f"the checkpoint {path} ends in {path.suffix or 'no suffix'}; known are .safetensors, "
            ".pt, .pth, .bin and .ckpt"
        )
    if "constants.pkl" in _archive_names(path):
        raise CheckpointError(
            f"the checkpoint {path} is a TorchScript program, and loading one can run code. "
            + _SAVE_INSTEAD
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch warns of is in the error below
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal(path)) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        first = str(error).splitlines()[0] if str(error) else ""
        hint = f" ({first})" if " " in first else ""
        raise CheckpointError(
            f"the checkpoint {path} cannot be read, it may be truncated{hint}. "
            "Copy it again, or save it anew."
        ) from error
    return _find_state_dict(loaded, path)


def _archive_names(path: Path) -> set[str]:
    if not zipfile.is_zipfile(path):
        return set()
    with zipfile.ZipFile(path) as archive:
        return {name.rpartition("/")[2] for name in archive.namelist()}


def _is_exported(path: Path) -> bool:
    return bool({"serialized_exported_program.json", "archive_format"} & _archive_names(path))


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
            f"not run. {_SAVE_INSTEAD}"
        )
    return (
        f"the checkpoint {path} is a pickle that can run code, or is damaged; it was not run. "
        f"{_SAVE_INSTEAD}"
    )


def _find_state_dict(loaded: Any, path: Path) -> dict[str, torch.Tensor]:
    places = [loaded]
    if isinstance(loaded, Mapping):
        places += [loaded[key] for key in _STATE_KEYS if key in loaded]
    for place in places:
        if (
            isinstance(place, Mapping)
            and place
            and all(isinstance(value, torch.Tensor) for value in place.values())
        ):
            return {str(key): value for key, value in place.items()}
    found = f"a {type(loaded).__name__}"
    if isinstance(loaded, Mapping):
        found = f"the keys {', '.join(map(str, list(loaded)[:8]))}" if loaded else "nothing"
    raise CheckpointError(
        f"the checkpoint {path} holds no state dict, neither at the top nor under "
        f"{', '.join(_STATE_KEYS)}; it holds {found}. {_SAVE_INSTEAD}"
    )


def _strip_prefixes(
    state: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    own_compiled = any("_orig_mod." in name for name in own)
    stripped = {
        (name if own_compiled else name.replace("_orig_mod.", "")): value
        for name, value in state.items()
    }
    wrapped = all(name.startswith("module.") for name in stripped)
    if wrapped and not any(name.startswith("module.") for name in own):
        stripped = {name.removeprefix("module."): value for name, value in stripped.items()}
    return stripped


def _check_fit(
    state: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor], path: Path, model: str
) -> None:
    problems = []
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    shapes = [
        f"{name} {tuple(state[name].shape)} for {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    for label, names in (
        ("missing", missing),
        ("unexpected", unexpected),
        ("of another shape", shapes),
    ):
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            problems.append(f"{label}: {', '.join(names[:5])}{more}")
    if problems:
        raise CheckpointError(
            f"the checkpoint {path} does not fit the task's model {model}; {'; '.join(problems)}. "
            "Name the task that it was trained on, with its arguments."
        )
