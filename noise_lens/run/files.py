"""Files that are there whole or not at all."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from noise_lens.errors import RunFolderError


def in_words(error: OSError) -> str:
    """Return what the operating system objects to.

    Parameters
    ----------
    error : OSError
        Of a failed write.

    Returns
    -------
    str
        Part of a sentence.
    """
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "a file stands where a folder should be"
    return error.strerror or str(error)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn what the operating system says of a failed write into one error.

    Parameters
    ----------
    folder : Path
        The run folder, for the message.

    Yields
    ------
    None
        Write inside.

    Raises
    ------
    RunFolderError
        A file cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise RunFolderError(
            f"the run folder {folder} cannot be written: {in_words(error)}. "
            "Choose a folder that exists and has room. What was written before is kept."
        ) from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON, whole or not at all.

    Parameters
    ----------
    path : Path
        The file.
    content : mapping
        No NaN, no infinities.
    """
    with writing(path.parent):
        text = json.dumps(content, indent=2, allow_nan=False)
        write_bytes(path, (text + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict
        What it holds.

    Raises
    ------
    RunFolderError
        It cannot be read, or holds something else.
    """
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path} cannot be read: {error}") from error
    if not isinstance(loaded, dict):
        raise RunFolderError(f"{path} holds a {type(loaded).__name__}, not an object")
    return loaded


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a name that begins with a dot, sync it, and move it.

    Parameters
    ----------
    path : Path
        The file; folders above it are made.
    content : bytes
        All of it.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
