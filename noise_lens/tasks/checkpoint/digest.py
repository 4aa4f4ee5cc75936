"""Which weights these were, for the record."""

from __future__ import annotations

import hashlib
from pathlib import Path

from noise_lens.tasks.checkpoint.files import open_checkpoint


def checkpoint_digest(path: str | Path) -> str:
    """Return the SHA-256 of a checkpoint.

    Parameters
    ----------
    path : str or Path
        A file or a folder that :func:`load_checkpoint` takes.

    Returns
    -------
    str
        Of a file, as ``sha256sum`` prints it; of a folder, that of the lines ``<digest>  <name>``
        of the files that weights come from, sorted by name.
    """
    path = Path(path)
    if path.is_file():
        return _of_file(path)
    files = sorted(open_checkpoint(path).files, key=lambda file: file.name)
    lines = "".join(f"{_of_file(file)}  {file.name}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
