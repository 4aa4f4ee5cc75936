"""CPU time of the verdict on one thread: benchmarks/results/verdict_cost.json.

    python benchmarks/verdict_cost.py

`judge` on 1000 x 128 rows (median of seven, after one that loads the tables), and a model of 60
groups, 128 coordinates and 64 projections each, judged as two families: ten groups a kind of noise.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import json
import statistics
import time
from pathlib import Path

import numpy as np
from noise_families import ALL

import noise_lens as nl

KINDS = ("i.i.d.", "Laplace", "common norm 1", "t(3)", "independent 1.5", "elliptical 1.8")
TARGET = Path(__file__).parent / "results" / "verdict_cost.json"


def seconds(rows: np.ndarray) -> float:
    start = time.process_time()
    nl.judge(rows, rng=np.random.default_rng(0))
    return time.process_time() - start


def main() -> None:
    rng = np.random.default_rng(20261121)
    found: dict[str, float] = {}
    for kind in ("i.i.d.", "independent 1.5"):
        rows = ALL[kind](rng, 1000, 128)
        seconds(rows)
        found[f"judge, 1000 x 128, {kind}"] = statistics.median(seconds(rows) for _ in range(7))
    start = time.process_time()
    for of, d in (("coordinates", 128), ("projections", 64)):
        groups = {f"{kind}-{i}": ALL[kind](rng, 1000, d) for kind in KINDS for i in range(10)}
        nl.judge_groups(groups, of, rng)
    found["60 groups, both kinds"] = time.process_time() - start
    rounded = {name: round(value, 2) for name, value in found.items()}
    print(*(f"{name}: {value} s" for name, value in rounded.items()), sep="\n")
    TARGET.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
