"""Save what a figure function drew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def check_target(path: Path | None) -> None:
    """Raise where a figure cannot be written, before the work that it is of.

    Parameters
    ----------
    path : Path or None
        Where to; None draws nothing.

    Raises
    ------
    click.UsageError
        It is no .svg file.
    click.ClickException
        Its folder does not exist.
    """
    if path is None:
        return
    if path.suffix != ".svg":
        raise click.UsageError(f"--plot writes an .svg file, got {path}: name it so")
    if not path.absolute().parent.is_dir():
        raise click.ClickException(f"{path} cannot be written: there is no folder {path.parent}")


def save(draw: Callable[[], Any], path: Path) -> None:
    """Draw in the report's style, and write the figure.

    Parameters
    ----------
    draw : callable
        Returns the figure's axes.
    path : Path
        Of an .svg file.

    Raises
    ------
    click.ClickException
        The file cannot be written.
    """
    from noise_lens.report.svg import drawing, write_svg

    with drawing(path.name):
        ax = draw()
        ax.legend()
        try:
            write_svg(ax.figure, path)
        except OSError as error:
            raise click.ClickException(f"{path} cannot be written: {error.strerror}") from error
    click.echo(f"wrote {path}", err=True)
