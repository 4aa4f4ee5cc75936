"""The tables of docs/theory/kesten.md from their result file, for document_tables.py."""

import json
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

PATH = Path(__file__).parent / "results" / "kesten_anchors.json"
Table = tuple[list[str], list[list[str]]]


@cache
def result(part: str) -> Any:
    return json.loads(PATH.read_text(encoding="utf-8"))[part]


def kesten_anchors(_: str) -> Table:
    rows = []
    for (b, d), cells in groupby(result("anchors"), lambda cell: (cell["batch_size"], cell["dim"])):
        found = list(cells)
        step_sizes = (f"{cell['step_size']:.6f}" for cell in found[:3])
        error = max(abs(cell["error"]) for cell in found)
        rows.append([f"{b}, {d}", *step_sizes, f"{error:.0e}"])
    return ["b, d", "η of α = 2", "η of α = 4", "η of α = 10", "largest error, α = 2 to 100"], rows


def kesten_monte_carlo(_: str) -> Table:
    rows = [
        [
            cell["inputs"],
            f"{cell['alpha']:g}",
            f"{cell['step_size']:.4f}",
            f"{cell['standard_error']:.3f}",
            f"{cell['mean_z']:+.2f}",
            f"{cell['spread_z']:.2f}",
        ]
        for cell in result("monte_carlo")
    ]
    return ["inputs", "α, exact", "η", "standard error", "mean z", "spread of z"], rows


KINDS = (kesten_anchors, kesten_monte_carlo)
