"""What all figures of a page share."""

from __future__ import annotations

from typing import Any

from noise_lens.figures import COLOURS, MARKERS


def plain(text: str) -> str:
    """Return text that matplotlib does not read as mathematics.

    Parameters
    ----------
    text : str
        A name of the user's.

    Returns
    -------
    str
        With dollars escaped.
    """
    return text.replace("$", r"\$")


def look(index: int) -> dict[str, Any]:
    """Return colour and marker of a series.

    Parameters
    ----------
    index : int
        Its number.

    Returns
    -------
    dict
        For a line.
    """
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}
