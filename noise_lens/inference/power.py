"""How surely the rotation test would see heavy tails, from a shipped table."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

REFERENCE_ALPHA = 1.8
"""The stable index that a `gaussian` verdict must exclude."""

REQUIRED_POWER = 0.96
"""Of the table, whose entries have a standard error of up to .01: .95 is meant."""


def rotation_power(n_rows: int, n_columns: float, law: str = "elliptical 1.8") -> float:
    """Return the power of the rotation test at level 5 %.

    Parameters
    ----------
    n_rows : int
        M; below 50 there is no table and the power is given as 0.
    n_columns : float
        Coordinates, or what they are worth where they are correlated
        (:func:`~noise_lens.inference.dependence.effective_columns`); at least 1.
    law : {"elliptical 1.8", "independent 1.8", "laplace"}
        The alternative: stable rows of index 1.8 with one radius a row, the same with
        independent coordinates, or independent Laplace coordinates.

    Returns
    -------
    float
        In [0, 1], interpolated in the logarithms of both.
    """
    table = _table()
    if n_rows < table["n_rows"][0]:
        return 0.0
    rows, columns = np.log2(table["n_rows"]), np.log2(table["n_columns"])
    along_rows = [np.interp(np.log2(n_rows), rows, one) for one in table["power"][law]]
    return float(np.interp(np.log2(n_columns), columns, along_rows))


def rows_for_power(n_columns: float) -> int:
    """Return the rows that give the rotation test the power a `gaussian` verdict asks for.

    Parameters
    ----------
    n_columns : float
        As for :func:`rotation_power`.

    Returns
    -------
    int
        At least 50.
    """
    low, high = 50, 1_000_000
    while low < high:
        middle = (low + high) // 2
        if rotation_power(middle, n_columns) >= REQUIRED_POWER:
            high = middle
        else:
            low = middle + 1
    return low


@cache
def _table() -> dict[str, Any]:
    text = (
        resources.files("noise_lens.inference").joinpath("rotation_power.json").read_text("utf-8")
    )
    loaded: dict[str, Any] = json.loads(text)
    return loaded
