"""Arrays from files, without running what may hide in them."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from noise_lens import SamplesError

SUFFIXES = (".npy", ".npz", ".csv", ".parquet", ".safetensors")


def read_array(file: str, key: str | None) -> NDArray[Any]:
    """Return the array in a file.

    Parameters
    ----------
    file : str
        A path with one of `SUFFIXES`, or "-" for stdin.
    key : str or None
        Which array of a file that holds several.

    Returns
    -------
    ndarray
        Of any shape and type; the estimators check it.

    Raises
    ------
    SamplesError
        The file is not there, is of another kind, or cannot be read.
    """
    if file == "-":
        return _read_stdin(sys.stdin.buffer.read())
    path = Path(file)
    if not path.is_file():
        raise SamplesError(f"there is no file {file}. Name an array: {', '.join(SUFFIXES)} or -.")
    readers = {
        ".npy": _read_numpy,
        ".npz": _read_numpy,
        ".csv": _read_csv,
        ".parquet": _read_parquet,
        ".safetensors": _read_safetensors,
    }
    if path.suffix not in readers:
        raise SamplesError(
            f"{file} ends in {path.suffix or 'no suffix'}; known are {', '.join(SUFFIXES)}, "
            "and - for stdin"
        )
    try:
        return readers[path.suffix](path, key)
    except SamplesError:
        raise
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SamplesError(f"{file} cannot be read as {path.suffix}: {first}") from error


def _read_stdin(content: bytes) -> NDArray[Any]:
    if content.startswith(b"\x93NUMPY"):
        loaded: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
        return loaded
    try:
        text = content.decode("utf-8").replace(",", " ")
    except UnicodeDecodeError as error:
        raise SamplesError(
            "stdin gave bytes that are neither numbers as text nor a .npy file"
        ) from error
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if not lines:
        raise SamplesError("stdin gave no numbers. Pipe numbers, or the bytes of a .npy file.")
    try:
        rows = [[float(word) for word in line] for line in lines]
    except ValueError as error:
        raise SamplesError(f"stdin gave text where numbers were expected: {error}") from error
    widths = {len(row) for row in rows}
    if len(rows) == 1 or widths == {1}:
        return np.array([value for row in rows for value in row])
    if len(widths) > 1:
        raise SamplesError(
            f"lines of stdin hold {min(widths)} to {max(widths)} numbers; give one width"
        )
    return np.array(rows)


def _read_numpy(path: Path, key: str | None) -> NDArray[Any]:
    with path.open("rb") as file:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        return np.asarray(loaded[_chosen(path, loaded.files, key)])


def _read_csv(path: Path, key: str | None) -> NDArray[Any]:
    # utf-8-sig: a spreadsheet's byte order mark is no part of the first number.
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    header = [name.strip().strip('"') for name in lines[0].split(",")] if lines else []
    if not lines or not any(line.strip() for line in lines):
        raise SamplesError(f"{path} is an empty array: it holds no numbers")
    try:
        [float(name) for name in header if name]
        # pandas writes column numbers as a header: 0,1,2
        skip = int(len(header) > 1 and header == [str(number) for number in range(len(header))])
    except ValueError:
        skip = 1
    if not any(line.strip() for line in lines[skip:]):
        raise SamplesError(f"{path} is an empty array: it holds a header and no numbers")
    columns = [header.index(_chosen(path, header, key))] if key else None
    if skip and not key and len(header) > 1 and not header[0]:
        columns = list(range(1, len(header)))
        click.echo(f"{path.name}: the first column has no name, an index: left out", err=True)
    return np.loadtxt(lines[skip:], delimiter=",", usecols=columns, ndmin=2)


def _read_parquet(path: Path, key: str | None) -> NDArray[Any]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    names = [_chosen(path, table.column_names, key)] if key else table.column_names
    return np.column_stack([table.column(name).to_numpy() for name in names])


def _read_safetensors(path: Path, key: str | None) -> NDArray[Any]:
    import safetensors

    with safetensors.safe_open(path, framework="numpy") as file:
        return np.asarray(file.get_tensor(_chosen(path, list(file.keys()), key)))


def _chosen(path: Path, names: list[str], key: str | None) -> str:
    if key is None and len(names) == 1:
        return names[0]
    if key not in names:
        asked = "none was named" if key is None else f"there is no {key!r}"
        raise SamplesError(f"{path} holds {', '.join(names[:8])}; {asked}. Choose one with --key.")
    return str(key)
