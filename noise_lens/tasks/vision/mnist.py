"""The four files of MNIST, in the idx format.

A file begins with two zero bytes, the type of its numbers (8: bytes) and the count of its axes;
the length of each axis follows in four bytes, the highest first, and then the numbers.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noise_lens.errors import TaskError
from noise_lens.tasks.vision.folder import RawImages, check_labels, contents, data_folder

_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_KINDS = {1: "labels", 3: "images"}  # by their axes


def read_mnist(data: str | Path | None) -> tuple[RawImages, RawImages]:
    """Read the training and the test images of MNIST.

    Parameters
    ----------
    data : str or Path
        A folder with the four files, plain or ``.gz``, named ``train-images-idx3-ubyte`` or
        ``train-images.idx3-ubyte`` and so on; where both lie there, the plain one is read. The
        sub-folders ``MNIST/raw`` and ``raw`` are looked into.

    Returns
    -------
    train, test : RawImages
        Of one channel.

    Raises
    ------
    TaskError
        The folder is missing, incomplete or mixed, or a file is corrupt.
    """
    files = f"{', '.join(_NAMES[:-1])} and {_NAMES[-1]}, plain or .gz"
    folder = data_folder(data, what="MNIST", files=files, inside=("MNIST/raw", "raw"))
    paths = {name: path for name in _NAMES if (path := _find(folder, name)) is not None}
    missing = [name for name in _NAMES if name not in paths]
    if missing:
        raise TaskError(
            f"{folder} is no complete MNIST: without {' and '.join(missing)}, plain or .gz; "
            f"{contents(folder)}."
        )
    train, test = (_read_part(*(paths[name] for name in pair)) for pair in (_NAMES[:2], _NAMES[2:]))
    if train.images.shape[1:] != test.images.shape[1:]:
        raise TaskError(
            f"{folder} mixes two data sets: its training images have {_pixels(train)} pixels, its "
            f"test images {_pixels(test)}. Copy all four files from one place."
        )
    if np.array_equal(train.images, test.images):
        raise TaskError(
            f"{folder} holds the same {len(train.images)} images twice, as training and as test "
            "images. Copy all four files from one place."
        )
    return train, test


def _find(folder: Path, name: str) -> Path | None:
    spellings = (name, name.replace("-idx", ".idx"))
    candidates = (folder / f"{each}{ending}" for ending in ("", ".gz") for each in spellings)
    return next((path for path in candidates if path.is_file()), None)


def _read_part(images_path: Path, labels_path: Path) -> RawImages:
    images, labels = _read_idx(images_path, 3), _read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise TaskError(
            f"{images_path} has {len(images)} images, but {labels_path.name} has {len(labels)} "
            "labels: they are of two data sets. Copy all four files from one place."
        )
    check_labels(labels, labels_path, "MNIST")
    return RawImages(images[:, None], labels)


def _read_idx(path: Path, n_axes: int) -> NDArray[np.uint8]:
    content = _bytes_of(path)
    start = 4 + 4 * n_axes
    if content[:4] != bytes([0, 0, 8, n_axes]):
        raise TaskError(
            f"{path} should begin with 00 00 08 {n_axes:02x}, as MNIST's {_KINDS[n_axes]} do, and "
            f"begins with {content[:4].hex(' ') or 'nothing'}{_guess(content, n_axes)}. "
            "Copy the file again."
        )
    if len(content) < start:
        raise TaskError(
            f"{path} is cut off inside its header: it has {len(content)} bytes of {start} and "
            "more. Copy the file again."
        )
    shape = np.frombuffer(content[4:start], dtype=">u4").tolist()
    expected = math.prod(shape)
    if len(content) - start != expected:
        raise TaskError(
            f"{path} is cut off or corrupt: its header promises {' x '.join(map(str, shape))} "
            f"bytes, and {len(content) - start} follow. Copy the file again."
        )
    if expected == 0:
        raise TaskError(f"{path} is an idx file of shape {shape}: it holds nothing to train on")
    # A copy: torch wants memory that may be written.
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape).copy()


def _bytes_of(path: Path) -> bytes:
    try:
        if path.suffix != ".gz":
            return path.read_bytes()
        with gzip.open(path) as stream:
            return stream.read()
    except EOFError as error:
        raise TaskError(
            f"{path} is cut off: the end of the gzip stream is missing. Copy the file again."
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise TaskError(
            f"{path} is no sound gzip file ({error}). Copy the file again; if it was unpacked "
            "already, take .gz off its name."
        ) from error
    except OSError as error:
        raise TaskError(f"{path} cannot be read: {error.strerror or error}") from error


def _guess(content: bytes, n_axes: int) -> str:
    """Say what else a file may be."""
    if content[:2] == b"\x1f\x8b":
        return ": it is gzipped, so that .gz belongs at the end of its name"
    other = content[3] if content[:3] == bytes([0, 0, 8]) and len(content) > 3 else None
    if other in _KINDS:
        return f": these are {_KINDS[other]}, under the name of {_KINDS[n_axes]}"
    return ""


def _pixels(part: RawImages) -> str:
    return " x ".join(map(str, part.images.shape[2:]))
