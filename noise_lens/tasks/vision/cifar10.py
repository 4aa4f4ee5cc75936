"""The six files of CIFAR-10's binary version.

A record is one byte, the label, and 3072 bytes, the red, green and blue 32 x 32 pixels; a file is
records and nothing else.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noise_lens.errors import TaskError
from noise_lens.tasks.vision.folder import RawImages, check_labels, contents, data_folder

_SHAPE = (3, 32, 32)
_RECORD = 1 + 3 * 32 * 32
_TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
_TEST = "test_batch.bin"
_BINARY = (
    "the binary version: cifar-10-binary.tar.gz at https://www.cs.toronto.edu/~kriz/cifar.html, "
    "which unpacks to cifar-10-batches-bin"
)


def read_cifar10(data: str | Path | None) -> tuple[RawImages, RawImages]:
    """Read the training and the test images of CIFAR-10, binary version.

    Parameters
    ----------
    data : str or Path
        A folder with ``data_batch_1.bin`` to ``data_batch_5.bin`` and ``test_batch.bin``. The
        sub-folder ``cifar-10-batches-bin`` is looked into.

    Returns
    -------
    train, test : RawImages
        Of three channels.

    Raises
    ------
    TaskError
        The folder is missing, incomplete or mixed, a file is corrupt, or it is the Python version,
        whose files are pickles: they are never read.
    """
    files = f"data_batch_1.bin to data_batch_5.bin and {_TEST}"
    folder = data_folder(data, what="CIFAR-10", files=files, inside=("cifar-10-batches-bin",))
    missing = [name for name in (*_TRAIN, _TEST) if not (folder / name).is_file()]
    if missing:
        raise TaskError(
            f"{folder} is no complete CIFAR-10, binary version: without {', '.join(missing)}; "
            f"{contents(folder)}.{_guess(folder)}"
        )
    parts = [_read(folder / name) for name in _TRAIN]
    test = _read(folder / _TEST)
    counts = [len(part.labels) for part in parts]
    if len(set(counts)) > 1:
        raise TaskError(
            f"{folder} is corrupt or mixed: its five training files should hold equally many "
            f"examples, and hold {', '.join(map(str, counts))}. Copy them again."
        )
    for (one, first), (other, second) in combinations(
        zip((*_TRAIN, _TEST), (*parts, test), strict=True), 2
    ):
        if np.array_equal(first.images, second.images):
            raise TaskError(
                f"{folder} holds the same {len(first.images)} images as {one} and as {other}. "
                "Copy them again."
            )
    return RawImages(*map(np.concatenate, zip(*parts, strict=True))), test


def _read(path: Path) -> RawImages:
    try:
        content: NDArray[np.uint8] = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise TaskError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) == 0 or len(content) % _RECORD:
        pickled = f" It looks like a pickle, which is never read: give {_BINARY}."
        raise TaskError(
            f"{path} is cut off or corrupt: it should be one or more records of {_RECORD} bytes, "
            f"and has {len(content)} bytes."
            + (pickled if content[:1].tobytes() == b"\x80" else " Copy the file again.")
        )
    records = content.reshape(-1, _RECORD)
    labels = records[:, 0].copy()
    check_labels(labels, path, "CIFAR-10")
    return RawImages(records[:, 1:].reshape(-1, *_SHAPE), labels)


def _guess(folder: Path) -> str:
    """Say what else a folder may be, and what to do."""
    names = {path.name for path in folder.iterdir()}
    if names & {"batches.meta", "data_batch_1", "test_batch", "cifar-10-batches-py"}:
        return (
            " This is the Python version, whose files are pickles: reading one can run code, so "
            f"they are never read. Give {_BINARY}."
        )
    if names & {"train.bin", "test.bin", "cifar-100-binary"}:
        return f" This looks like CIFAR-100. Give CIFAR-10, {_BINARY}."
    packed = sorted(name for name in names if name.startswith("cifar-10-binary.tar"))
    if packed:
        return f" Unpack {packed[0]} first."
    return f" It should hold {_BINARY}."
