"""How often the verdict is right: the tables of docs/verdict.md, and the bars they are held to.

    python benchmarks/verdict_rates.py [size] [labels] [stable-cells] [coverage] [--resume]

Each part is seeded and keeps its counts in benchmarks/results/verdict_<part>.json; without a name
all parts run, about an hour on two cores. ``--resume`` keeps the cells that are in the file.
"""

import argparse
import json
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from noise_families import (
    ALL,
    CORRELATED_STABLE,
    FINITE_VARIANCE,
    GAUSSIAN,
    INFINITE_VARIANCE,
    SPARSE,
    STABLE,
)
from stable_rows import stable_rows

import noise_lens as nl
from noise_lens.inference.rotation import N_ROTATIONS, Rotations

RESULTS = Path(__file__).parent / "results"
LABELS = ("gaussian", "gaussianising", "drifting", "point-mass", "stable", "inconclusive")
BARS_OF_POWER = (
    *(f"independent {alpha}" for alpha in (1.5, 1.8, 1.9)),
    *(f"elliptical {alpha}" for alpha in (1.5, 1.8)),
)
BARS_OF_GAUSSIAN = ("i.i.d.", "log-scales sd 1", "spectrum 1/k")
_CHUNK = 25
Cell = tuple[Any, ...]


def generator(*words: str | int) -> np.random.Generator:
    return np.random.default_rng([20261121, *b"/".join(str(w).encode() for w in words)])


def size_chunk(family: str, n: int, d: int, first: int, last: int) -> Counter[str]:
    """Rejections at 5 %: a test is decided once ten rotations reach the statistic."""
    found: Counter[str] = Counter()
    for repeat in range(first, last):
        rng = generator("size", family, n, d, repeat)
        rotations = Rotations(GAUSSIAN[family](rng, n, d), rng)
        rotations.extend(N_ROTATIONS, stop_at=10)
        found["rejected" if rotations.exceedances < 10 else "not"] += 1
    return found


def label_chunk(family: str, n: int, d: int, first: int, last: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for repeat in range(first, last):
        rng = generator("labels", family, n, d, repeat)
        found[nl.judge(ALL[family](rng, n, d), rng=rng).label] += 1
    return found


def coverage_chunk(law: str, alpha: float, n: int, d: int, first: int, last: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for repeat in range(first, last):
        rng = generator("coverage", law, round(100 * alpha), n, d, repeat)
        curve = nl.aggregation_curve(stable_rows(law, alpha, (n, d), rng), rng)
        found["largest" if curve.low[-1] <= alpha <= curve.high[-1] else "missed"] += 1
        found["single" if curve.low[0] <= alpha <= curve.high[0] else "single missed"] += 1
        low, high = curve.drift_limits
        found["drift" if low <= curve.drift <= high else "drift missed"] += 1
        rises = curve.uncut - curve.uncut[0] > curve.drift_high
        found["risen" if rises.any() else "not risen"] += 1
    return found


def size_cells() -> dict[Cell, int]:
    """All nulls at d = 10; elsewhere without log-scales, which no standardised column can see."""
    cells: dict[Cell, int] = {}
    for family in GAUSSIAN:
        columns = (10,) if "log-scales" in family else (1, 10, 100, 192)
        cells |= {(family, n, d): 1000 for n in (100, 200, 1000) for d in columns}
    return cells


def label_cells() -> dict[Cell, int]:
    """Labels by family at M = 1000 (d = 10, 128), and non-Gaussianity at M = 200 (d = 50)."""
    families = (*FINITE_VARIANCE, *INFINITE_VARIANCE)
    cells: dict[Cell, int] = {(f, 1000, 128): 100 for f in families}
    cells |= {(f, 1000, 128): 50 for f in STABLE}
    cells |= {(f, 1000, 128): 100 for f in BARS_OF_POWER}
    cells |= {(f, 1000, 10): 100 for f in families}
    cells |= {(f, 1000, 10): 300 for f in BARS_OF_GAUSSIAN}
    cells |= {(f, 1000, 128): 100 for f in BARS_OF_GAUSSIAN}
    cells |= {(f, 200, 50): 200 for f in ("Laplace", "t(3)", "t(5)", "independent 1.8")}
    cells |= {(f, n, d): 100 for f in INFINITE_VARIANCE for n in (100, 200) for d in (1, 10)}
    cells |= {(f, 1000, d): 100 for f in SPARSE for d in (10, 128)}
    return cells


def stable_cells() -> dict[Cell, int]:
    """Stable rows of index 1.8: how often they are called lighter than they are."""
    shapes = [(n, d) for n in (50, 100, 200, 1000) for d in (1, 10, 100)]
    laws = ("independent 1.8", "elliptical 1.8")
    cells = {(law, n, d): 400 for law in laws for n, d in shapes}
    return cells | {(f, n, 10): 400 for f in CORRELATED_STABLE for n in (200, 1000)}


def coverage_cells() -> dict[Cell, int]:
    shapes, laws = ((200, 10), (200, 100), (1000, 10)), ("independent", "elliptical")
    return {(law, alpha, n, d): 1000 for law in laws for alpha in (1.5, 1.8) for n, d in shapes}


PARTS = {
    "size": (size_chunk, size_cells),
    "labels": (label_chunk, label_cells),
    "stable-cells": (label_chunk, stable_cells),
    "coverage": (coverage_chunk, coverage_cells),
}


def run(part: str, resume: bool, pool: ProcessPoolExecutor) -> None:
    chunk, cells = PARTS[part]
    path = RESULTS / f"verdict_{part.replace('-', '_')}.json"
    there = json.loads(path.read_text(encoding="utf-8"))["rows"] if resume and path.exists() else []
    kept = {tuple(row["cell"]): row["counts"] for row in there}
    tasks = {
        cell: [
            pool.submit(chunk, *cell, i, min(i + _CHUNK, repeats))
            for i in range(0, repeats, _CHUNK)
        ]
        for cell, repeats in cells().items()
        if cell not in kept
    }
    rows = []
    for cell in cells():
        counts = kept.get(cell) or dict(sum((t.result() for t in tasks[cell]), Counter()))
        rows.append({"cell": cell, "counts": counts})
        print(part, *cell, counts, flush=True)
        lines = json.dumps({"part": part, "rows": rows}).replace('{"cell"', '\n{"cell"')
        path.write_text(lines + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    with ProcessPoolExecutor(options.processes) as pool:
        for part in options.parts or PARTS:
            run(part, options.resume, pool)


if __name__ == "__main__":
    main()
