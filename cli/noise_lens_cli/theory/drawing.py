"""Save what a figure function drew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


def save(ax: Any, path: Path) -> None:
    """Write the figure of some axes.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Of the figure.
    path : Path
        Its suffix says the format.

    Raises
    ------
    click.ClickException
        The format is unknown, or the file cannot be written.
    """
    try:
        ax.figure.savefig(path, bbox_inches="tight")
    except (OSError, ValueError) as error:
        raise click.ClickException(f"the figure {path} cannot be written: {error}") from error
    click.echo(f"Wrote {path}", err=True)
