"""What ``noise-lens estimate`` prints: rows of estimates and Hill's path."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from noise_lens_cli.printing import echo_table, interval, number

if TYPE_CHECKING:
    from noise_lens import HillPath, TailIndexEstimate

_SHOWN_POINTS = 6


def path_remark(path: HillPath) -> str:
    """Say what the path supports."""
    flat = path.flat_k()
    if flat is None:
        return "It is flat nowhere: this sample does not identify a tail index."
    if path.choose_k() is None:
        return (
            f"It is flat up to k = {flat:,}, but moment does not rule out a tail lighter than any "
            "power there: this sample does not identify a tail index."
        )
    alpha = float(path.alpha[path.k == flat][0])
    return (
        f"It is flat up to k = {flat:,}: alpha {alpha:.2f} there, not counting the choice, nor the "
        "bias that a slowly reached tail leaves."
    )


def entries(one: TailIndexEstimate, remark: str, array: Any) -> list[dict[str, Any]]:
    """Return the rows of one method's estimates, one a column."""
    import numpy as np

    low, high = one.confidence_interval()
    scalar = np.ndim(one.alpha) == 0
    fields = {
        "alpha": one.alpha,
        "low": low,
        "high": high,
        "standard_error": one.standard_error,
        "sigma": np.nan if one.sigma is None else one.sigma,
        "n": one.n,
        "n_zero": one.n_zero,
    }
    size = 1 if scalar else len(np.asarray(one.alpha))
    wide = {name: np.broadcast_to(np.asarray(value), (size,)) for name, value in fields.items()}
    entries = []
    for column in range(size):
        entry: dict[str, Any] = {name: value[column].item() for name, value in wide.items()}
        said = one.reasons.get(column, remark)
        if np.isinf(entry["alpha"]):
            said = "no power tail" + (f"; {said}" if said else "")
        entries.append(
            {
                "method": one.method,
                "column": ("pooled" if array.ndim == 2 else "-") if scalar else str(column),
                **entry,
                "remark": said,
            }
        )
    return entries


def no_entry(name: str, array: Any, reason: str) -> dict[str, Any]:
    """Return the row of a method that could not be used."""
    missing = ("alpha", "low", "high", "standard_error", "sigma")
    return {
        "method": name,
        "column": "pooled" if array.ndim == 2 else "-",
        **dict.fromkeys(missing, math.nan),
        "n": 0,
        "n_zero": 0,
        "remark": reason,
    }


def echo_entries(entries: list[dict[str, Any]]) -> None:
    """Print rows as a table, without the column's number where there is one only."""
    header = ["method", "column", "alpha [95 %]", "n", "zeros dropped", "remark"]
    rows = [
        [
            entry["method"],
            entry["column"],
            interval(entry, "alpha", "low", "high"),
            f"{entry['n']:,}",
            f"{entry['n_zero']:,}",
            entry["remark"],
        ]
        for entry in entries
    ]
    if len({entry["column"] for entry in entries}) == 1:
        header, rows = header[:1] + header[2:], [row[:1] + row[2:] for row in rows]
    echo_table(header, rows)


def echo_path(path: HillPath | None, remark: str) -> None:
    """Print Hill's path at six thresholds, and what it supports."""
    if path is None:
        if remark:
            click.echo(f"\nHill's path: {remark}")
        return
    shown = {round(i * (len(path.k) - 1) / (_SHOWN_POINTS - 1)) for i in range(_SHOWN_POINTS)}
    click.echo("\nHill's path, alpha at the k largest values:")
    echo_table(
        ["k", *(f"{path.k[i]:,}" for i in sorted(shown))],
        [["alpha", *(number(float(path.alpha[i])) for i in sorted(shown))]],
    )
    click.echo(remark)


def path_document(path: HillPath | None, remark: str) -> dict[str, Any]:
    """Return Hill's path for JSON; lists are empty where there is none."""
    if path is None:
        return {"k": [], "alpha": [], "low": [], "high": [], "chosen_k": None, "remark": remark}
    return {
        "k": path.k.tolist(),
        "alpha": path.alpha.tolist(),
        "low": path.low.tolist(),
        "high": path.high.tolist(),
        "chosen_k": path.choose_k(),
        "remark": remark,
    }
