"""Tables for people, strict JSON for programs, progress for the patient."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import click


def echo_json(content: Any) -> None:
    """Print exactly one strict JSON document: NaN and infinities become null.

    Parameters
    ----------
    content : Any
        Mappings, sequences, numbers, text.
    """
    click.echo(json.dumps(_strict(content), allow_nan=False))


def echo_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print an aligned table: the first column to the left, others to the right.

    Parameters
    ----------
    header : sequence of str
        Names of the columns.
    rows : sequence of sequence of str
        Cells.
    """
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        first = row[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        click.echo("  ".join([first, *rest]).rstrip())


def number(value: Any, digits: int = 2) -> str:
    """Return a number as a person reads it.

    Parameters
    ----------
    value : float or None
        NaN and None print as a dash.
    digits : int
        After the point.

    Returns
    -------
    str
        Short.
    """
    if value is None or math.isnan(value):
        return "-"
    return "inf" if math.isinf(value) else f"{value:.{digits}f}"


def interval(row: Mapping[str, Any], value: str, low: str, high: str) -> str:
    """Return ``value [low, high]`` of a row.

    Parameters
    ----------
    row : mapping
        A table row.
    value, low, high : str
        Its keys.

    Returns
    -------
    str
        A dash where there is no estimate.
    """
    if row[value] is None or math.isnan(row[value]):
        return "-"
    return f"{number(row[value])} [{number(row[low])}, {number(row[high])}]"


class Progress:
    """Shows one bar at a time on stderr, none where stderr is no terminal."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._what = ""
        self.finished: dict[str, int] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        """Move the bar of `what` to `done` of `total`."""
        from tqdm import tqdm

        self.finished[what] = done
        if what != self._what:
            self.close()
            self._what = what
            self._bar = tqdm(total=total, desc=what, leave=False, disable=None)
        self._bar.n = done
        self._bar.update(0)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
        self._bar, self._what = None, ""


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if hasattr(value, "tolist"):
        return _strict(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
