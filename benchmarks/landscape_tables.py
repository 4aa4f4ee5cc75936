"""The tables of docs/theory/landscape.md from their result file, for document_tables.py."""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from noise_lens.inference.seeds import over_seeds
from noise_lens.landscape import weight_tails

PATH = Path(__file__).parent / "results" / "weight_tails.json"
Table = tuple[list[str], list[list[str]]]
READINGS = {
    "published": "published",
    "shuffled": "shuffled",
    "alpha": "stable fit",
    "hill": "Hill",
}


@cache
def result(part: str) -> Any:
    return json.loads(PATH.read_text(encoding="utf-8"))[part]


@cache
def cells() -> dict[tuple[float, int], dict[str, list[Any]]]:
    """Rows by step size and batch size, in order of their ratio, then by tensor."""

    def order(row: dict[str, Any]) -> tuple[float, float]:
        # Rounded, or 0.003 / 1 and 0.03 / 10 would be two ratios.
        return round(row["step_size"] / row["batch_size"], 9), row["step_size"]

    found: dict[tuple[float, int], dict[str, list[Any]]] = {}
    for row in sorted(result("rows"), key=order):
        own = found.setdefault((row["step_size"], row["batch_size"]), {})
        own.setdefault(row["tensor"], []).append(row)
    return found


def layers() -> list[str]:
    return list(next(iter(cells().values())))


def trained_weights(_: str) -> Table:
    """The published number: means over seeds with 95 % intervals."""
    rows = []
    for (step_size, batch_size), by_layer in cells().items():
        own = next(iter(by_layer.values()))
        losses = [row["loss"] for row in own]
        there = dict.fromkeys(row["status"] for row in own)
        rows.append(
            [
                f"{step_size:g} / {batch_size}" if step_size else "initial weights",
                f"{step_size / batch_size:.2g}" if step_size else "",
                ", ".join(there) if step_size else "",
                "-" if None in losses else f"{mean(losses):.2g}",
                *(read(row["tail"]["published"] for row in rows) for rows in by_layer.values()),
            ]
        )
    header = ["step size / batch size", "ratio", "status", "loss"]
    return [*header, *(f"layer {place}" for place, _ in enumerate(layers(), start=1))], rows


def read(values: Iterable[float]) -> str:
    own = list(values)
    found = over_seeds(own, own, own)
    return f"{found.mean:.2f} [{found.low:.2f}, {found.high:.2f}]"


def weight_correlations(_: str) -> Table:
    """Over the cells that trained; a cell of the table has one number a layer."""
    found = result("rank_correlations")
    abscissae = list(next(iter(found["published"].values())))
    rows = [
        [name, *(", ".join(f"{found[key][of][at][0]:.2f}" for of in layers()) for at in abscissae)]
        for key, name in READINGS.items()
    ]
    return ["reading", *abscissae], rows


@cache
def untrained_weights(_: str) -> Table:
    """What weights that say nothing read, by layer: means over the seeds."""
    initial = cells()[0.0, 1]
    rows = []
    for place, rows_of in enumerate(initial.values(), start=1):
        n = rows_of[0]["tail"]["n_weights"]
        gaussian = [
            weight_tails({"w": np.random.default_rng(row["seed"]).normal(size=(n, 1))})[0]
            for row in rows_of
        ]
        whose = {
            "initial": [[row["tail"][key] for row in rows_of] for key in READINGS],
            "Gaussian": [[getattr(tail, key) for tail in gaussian] for key in READINGS],
        }
        rows += [
            [f"layer {place}, {name}", f"{n:,}", *(f"{mean(values):.2f}" for values in readings)]
            for name, readings in whose.items()
        ]
    return ["weights", "how many", *READINGS.values()], rows


KINDS = (trained_weights, weight_correlations, untrained_weights)
