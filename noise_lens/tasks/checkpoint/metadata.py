"""The ``.metadata`` of a distributed checkpoint, which torch itself reads as a plain pickle.

A plain pickle runs whatever it names. Here every name is looked up in a short list and answered by
an inert stand-in, made anew for each file: no class of torch or of Python is reached, so there is
nothing to run and nothing to change.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from noise_lens.errors import CheckpointError
from noise_lens.tasks.checkpoint.opened import COPY_AGAIN

_PLANS = "torch.distributed.checkpoint.metadata"
_GENUINE = {
    (_PLANS, "BytesStorageMetadata"),
    (_PLANS, "ChunkStorageMetadata"),
    (_PLANS, "Metadata"),
    (_PLANS, "MetadataIndex"),
    (_PLANS, "StorageMeta"),
    (_PLANS, "TensorProperties"),
    (_PLANS, "TensorStorageMetadata"),
    (_PLANS, "_MEM_FORMAT_ENCODING"),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("torch.serialization", "_get_layout"),
    # Where it was saved; Python 3.13 moved the classes.
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
    ("pathlib._local", "PosixPath"),
    ("pathlib._local", "WindowsPath"),
}
"""What metadata names that torch wrote, beside ``torch.Size`` and dtypes."""


@dataclass(frozen=True)
class Chunk:
    """A block of a tensor, and where its bytes lie."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    slice: Slice


@dataclass(frozen=True)
class Slice:
    """A part of a ``.distcp`` file: a file of torch.save in itself."""

    file: str
    offset: int
    length: int


@dataclass(frozen=True)
class DistributedMetadata:
    """What a distributed checkpoint holds.

    Attributes
    ----------
    shapes : dict of str to tuple of int
        Of the tensors.
    chunks : dict of str to list of Chunk
        The blocks of each tensor.
    objects : dict of str to Slice
        What is no tensor, such as a step.
    paths : dict of str to tuple
        Name -> the keys that lead to it in the nested dict that was saved.
    """

    shapes: dict[str, tuple[int, ...]]
    chunks: dict[str, list[Chunk]]
    objects: dict[str, Slice]
    paths: dict[str, tuple[str | int, ...]]


class _RefusedError(Exception):
    """The metadata names something that metadata does not need."""


class _Inert:
    """Stands in for a class of the metadata: keeps what it is given."""

    def __init__(self, *_arguments: Any) -> None:
        self.fields: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.fields = state if isinstance(state, dict) else {}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self._made: dict[tuple[str, str], Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and isinstance(vars(torch).get(name), torch.dtype):
            return name
        key = (module, name)
        if key == ("torch", "Size"):
            return self._made.setdefault(key, type(name, (tuple,), {}))
        if key not in _GENUINE:
            raise _RefusedError(f"{module}.{name}")
        return self._made.setdefault(key, type(name, (_Inert,), {"__slots__": ()}))


def read_metadata(path: Path) -> DistributedMetadata:
    """Read the ``.metadata`` of a distributed checkpoint; nothing in it is run.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    DistributedMetadata
        Plain names, shapes and places.

    Raises
    ------
    CheckpointError
        It names something that could be run, is damaged, or is compressed.
    """
    try:
        with path.open("rb") as file:
            loaded = _Unpickler(file).load()
        return _plain(loaded, path)
    except _RefusedError as error:
        raise CheckpointError(
            f"the checkpoint {path} is a pickle that wants to run {error}, which no distributed "
            "checkpoint needs; it was not run. Save it anew with torch.distributed.checkpoint.save."
        ) from error
    except CheckpointError:
        raise
    except Exception as error:  # a damaged pickle raises anything
        raise CheckpointError(
            f"the checkpoint {path} is damaged, or is no metadata of a distributed checkpoint "
            f"({type(error).__name__}: {error}). {COPY_AGAIN}"
        ) from error


def _plain(metadata: Any, path: Path) -> DistributedMetadata:
    top = _fields(metadata)
    places: dict[tuple[str, tuple[int, ...] | None], Slice] = {}
    for index, info in _dict(top["storage_data"]).items():
        key, where = _fields(index), _fields(info)
        offset = key.get("offset")
        if where.get("transform_descriptors"):
            raise CheckpointError(
                f"the checkpoint {path.parent} is compressed or encrypted "
                f"({where['transform_descriptors']!r:.80}), and only plain ones are read. "
                "Save it without extensions."
            )
        places[_text(key["fqn"]), None if offset is None else _numbers(offset)] = Slice(
            _file_name(where["relative_path"]), *_numbers((where["offset"], where["length"]))
        )
    shapes: dict[str, tuple[int, ...]] = {}
    chunks: dict[str, list[Chunk]] = {}
    objects: dict[str, Slice] = {}
    for name, entry in _dict(top["state_dict_metadata"]).items():
        fields = _fields(entry)
        if "size" not in fields:
            objects[_text(name)] = places[name, None]
            continue
        shapes[_text(name)] = _numbers(fields["size"])
        blocks = [_fields(block) for block in fields["chunks"]]
        chunks[name] = [
            Chunk(offsets := _numbers(b["offsets"]), _numbers(b["sizes"]), places[name, offsets])
            for b in blocks
        ]
    paths = {
        _text(name): tuple(keys)
        for name, keys in _dict(top.get("planner_data") or {}).items()
        if all(isinstance(key, str | int) for key in keys)
    }
    return DistributedMetadata(shapes, chunks, objects, paths)


def _fields(value: Any) -> dict[str, Any]:
    if not isinstance(value, _Inert):
        raise TypeError(f"a {type(value).__name__} stands where a record should")
    return getattr(value, "fields", {})  # a record without fields was never given a state


def _dict(value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"a {type(value).__name__} stands where a dict should")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__} stands where a name should")
    return value


def _file_name(value: Any) -> str:
    if Path(_text(value)).name != value:
        raise ValueError(f"the shard {value!r} is no file beside it")
    return str(value)


def _numbers(value: Any) -> tuple[int, ...]:
    numbers = tuple(value)
    if any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in numbers):
        raise ValueError(f"{numbers!r:.80} are no sizes")
    return numbers
