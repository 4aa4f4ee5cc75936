"""Figures as inline SVG that follows the page: its text colour, its fonts, light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

_STYLE: dict[Any, Any] = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "sans-serif",
    "font.size": 9.0,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "savefig.transparent": True,
    "svg.fonttype": "none",
}


@contextmanager
def drawing(salt: str) -> Iterator[None]:
    """Draw inside this block: the report's style, and ids that no other figure has.

    Parameters
    ----------
    salt : str
        Different for every figure of a page; the same figure has the same bytes.

    Yields
    ------
    None
        With matplotlib's settings changed for the block alone.
    """
    with mpl.rc_context({**_STYLE, "svg.hashsalt": salt}):
        yield


def inline_svg(figure: Figure, name: str, title: str, description: str) -> str:
    """Return a figure as an ``<svg>`` element. Call it inside :func:`drawing`.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    name : str
        Prefix of ids on the page.
    title, description : str
        For readers who do not see it.

    Returns
    -------
    str
        With ``role="img"``, a title and a description; black became the page's text colour.
    """
    FigureCanvasSVG(figure)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = text.replace("#000000", "currentColor").replace("#b0b0b0", "currentColor")
    text = re.sub(r'(id="|xlink:href="#|url\(#)', rf"\g<1>{name}-", text)
    head = (
        f'<svg role="img" aria-labelledby="{name}-title {name}-desc" '
        f'preserveAspectRatio="xMidYMid meet" '
    )
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    labels = (
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(description)}</desc>'
    )
    end = text.index(">") + 1
    return head + text[len("<svg ") : end] + labels + text[end:]


def write_svg(figure: Figure, path: Path) -> None:
    """Write a figure as an SVG file of its own. Call it inside :func:`drawing`.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    path : pathlib.Path
        Where to; written whole or not at all. The background is white.
    """
    FigureCanvasSVG(figure)
    buffer = io.StringIO()
    figure.savefig(
        buffer, format="svg", facecolor="white", transparent=False, metadata={"Date": None}
    )
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(buffer.getvalue(), encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
