"""The folder that a user names, and what the readers of its files return."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noise_lens.errors import TaskError

N_CLASSES = 10
"""Of MNIST and of CIFAR-10."""


class RawImages(NamedTuple):
    """Images as they lie in files.

    Attributes
    ----------
    images : ndarray of shape (n, channels, height, width)
        Bytes.
    labels : ndarray of shape (n,)
        Bytes, 0 to 9.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def data_folder(data: Any, *, what: str, files: str, inside: Sequence[str] = ()) -> Path:
    """Return the folder that holds the files of a data set.

    Parameters
    ----------
    data : Any
        What the user gave.
    what : str
        Name of the data set.
    files : str
        The files it should hold, in words.
    inside : sequence of str
        Sub-folders in which unpacking or another library puts them.

    Returns
    -------
    Path
        `data`, or one of those sub-folders where it exists.

    Raises
    ------
    TaskError
        Nothing was given, or it is no folder.
    """
    if data is None:
        raise TaskError(
            f"{what} is read from a folder of yours, and none was given: data=FOLDER in Python, "
            f"--task-arg data=FOLDER on the command line. It holds {files}. Nothing is downloaded."
        )
    if not isinstance(data, str | Path):
        raise TaskError(
            f"data must be the path of a folder, got {type(data).__name__} {data!r}; a name that "
            f"reads as a number is written ./{data}"
        )
    folder = Path(data).expanduser()
    if folder.is_file():
        remedy = (
            "Unpack it, and give" if folder.suffix in (".gz", ".tgz", ".tar", ".zip") else "Give"
        )
        raise TaskError(
            f"data={folder} is a file; {what} is read from a folder. {remedy} the folder that "
            f"holds {files}."
        )
    if not folder.is_dir():
        raise TaskError(f"there is no folder {folder}. Give one that holds {files}.")
    return next((folder / name for name in inside if (folder / name).is_dir()), folder)


def contents(folder: Path) -> str:
    """Return what lies in a folder, in words for a message.

    Parameters
    ----------
    folder : Path
        A folder.

    Returns
    -------
    str
        The first names.
    """
    names = sorted(path.name for path in folder.iterdir())
    if not names:
        return "it is empty"
    return f"it holds {', '.join(names[:8])}{' and others' if len(names) > 8 else ''}"


def check_labels(labels: NDArray[np.uint8], path: Path, what: str) -> None:
    """Raise unless all labels are classes.

    Parameters
    ----------
    labels : ndarray of uint8
        As read.
    path : Path
        Where from.
    what : str
        Name of the data set.

    Raises
    ------
    TaskError
        One is not.
    """
    bad = np.flatnonzero(labels >= N_CLASSES)
    if len(bad):
        raise TaskError(
            f"{path} is corrupt or of another data set: {len(bad)} of its {len(labels)} labels are "
            f"not among the {N_CLASSES} classes of {what}, first label {labels[bad[0]]} of example "
            f"{bad[0]}. Copy the file again."
        )
