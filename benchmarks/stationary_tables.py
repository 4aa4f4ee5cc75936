"""The tables of docs/theory/stationary.md from their result file, for document_tables.py."""

import json
from functools import cache
from pathlib import Path
from statistics import mean, stdev
from typing import Any

PATH = Path(__file__).parent / "results" / "stationary_tails.json"
Table = tuple[list[str], list[list[str]]]
READINGS = ("hill, iterates", "mohammadi_norm, iterates", "mohammadi_norm, averages")


@cache
def result(part: str) -> Any:
    return json.loads(PATH.read_text(encoding="utf-8"))[part]


def stationary_tails(_: str) -> Table:
    """Means over the seeds; the spread is that of one seed."""
    rows = []
    for cell in result("cells"):
        hill, iterates, averages = (cell["readings"][name] for name in READINGS)
        place = f"{cell['step_size']:.4g}, {cell['batch_size']}, {cell['dim']}"
        read = f"{mean(hill):.2f} ± {stdev(hill):.2f}"
        others = (f"{mean(values):.2f}" for values in (iterates, averages))
        steps, theory = f"{cell['n_steps']:,}", f"{cell['theory']:.3f}"
        rows.append([place, theory, read, *others, steps, cell["regime"]])
    header = ["η, b, d", "theory", "Hill at 1 %", "multiscale, iterates", "multiscale, averages"]
    return [*header, "steps", "the run is"], rows


def published_protocol(_: str) -> Table:
    rows = []
    for cell in result("protocol"):
        mixed = "stationary" if cell["mixed"] else "not mixed"
        theory = "none" if cell["theory"] is None else f"{cell['theory']:.3g}"
        if cell["regime"] == "light":
            theory = "light"
        rows.append(
            [
                f"{cell['batch_size']}, {cell['step_size']:g}",
                "none" if cell["alpha"] is None else f"{cell['alpha']:.2f}",
                theory,
                f"{cell['rho']:+.4f}",
                f"{cell['growth']:+.4f} ± {cell['growth_error']:.0e}",
                f"{cell['median_norm']:.2g}",
                "diverging" if cell["diverging"] else mixed,
            ]
        )
    header = ["b, η", "reading", "theory", "ρ, Gaussian inputs", "ρ, measured", "median norm"]
    return [*header, "the run is"], rows


KINDS = (stationary_tails, published_protocol)
