"""Build noise_lens/inference/stable_errors.json: a quarter of an hour on two cores.

    python benchmarks/calibrate_stable_errors.py [--repeats 1000] [--processes 2]

Draws rows of stable laws, with independent coordinates and with one radius a row, and reads the
aggregation curve of each. The table keeps quantiles of estimate minus truth for every level, and of
the drift from the first level to the last, by block size, number of blocks, coordinates and alpha.
Blocks are counted in units of ``max(50, 400 / d)``, the fewest that a level may have. Seeded: the
same file comes out on every run, on any number of processes.
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from stable_rows import stable_rows

from noise_lens.estimators.stable_fit import FREQUENCIES, fit_stable
from noise_lens.inference.aggregation import n_orders
from noise_lens.inference.jackknife import group_labels
from noise_lens.inference.stable_errors import QUANTILES
from noise_lens.inference.standardise import calibrate, standardise

ALPHAS = (0.7, 1.0, 1.3, 1.5, 1.7, 1.8, 1.9, 1.95, 2.0)
COLUMNS = (1, 4, 16, 64)
RATIOS = (0.125, 0.25, 0.5, 1.0, 2.0, 8.0)
BLOCK_SIZES = (1, 2, 4, 8, 16)
LAWS = ("independent", "elliptical")
TARGET = Path(__file__).parent.parent / "noise_lens/inference/stable_errors.json"


def defects(rows: np.ndarray) -> np.ndarray:
    """Return one minus the characteristic function of pooled standardised rows, shape (11,)."""
    values = standardise(rows)[0].ravel()
    half = (values / (2 * np.median(np.abs(values)))).clip(-1e15, 1e15).astype(np.float32)
    return np.array(
        [2 * np.square(np.sin(half * np.float32(t))).mean(dtype=np.float64) for t in FREQUENCIES]
    )


def level(rows: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return the defects of sums of `size` rows, in all orders that a curve averages over."""
    n_blocks, labels, found = len(rows) // size, group_labels(len(rows)), []
    for index in range(n_orders(size)):
        order = np.lexsort((rng.random(len(rows)), labels)) if index else slice(None)
        blocks = rows[order][: n_blocks * size].reshape(n_blocks, size, -1).sum(axis=1)
        found.append(defects(blocks))
    return np.array(found)


def fitted(found: list[np.ndarray], n_rows: int) -> np.ndarray:
    """Return the calibrated alpha of each repeat, averaged over its orders."""
    flat = np.concatenate(found)
    alphas = calibrate(fit_stable(flat.T)[0], n_rows=n_rows)
    return alphas.reshape(len(found), -1).mean(axis=1)


def cell(law: str, alpha: float, d: int, repeats: int) -> tuple[np.ndarray, np.ndarray]:
    """Return quantiles of level errors (m, r, q) and of drifts (m - 1, r, q); NaN if not needed."""
    fewest = max(50, 400 // d)
    levels = np.full((len(BLOCK_SIZES), len(RATIOS), len(QUANTILES)), np.nan)
    drifts = np.full((len(BLOCK_SIZES) - 1, len(RATIOS), len(QUANTILES)), np.nan)
    first: dict[int, list[np.ndarray]] = {}
    sums: dict[tuple[int, int], list[np.ndarray]] = {}
    blocks = {r: round(fewest * ratio) for r, ratio in enumerate(RATIOS)}
    alone = [r for r, n in blocks.items() if n >= 50]
    summed = [r for r, ratio in enumerate(RATIOS) if 1 <= ratio <= 2]
    for repeat in range(repeats):
        rng = np.random.default_rng([20261121, d, round(100 * alpha), LAWS.index(law), repeat])
        rows = stable_rows(law, alpha, (fewest * 32, d), rng)
        lengths = {blocks[r] for r in alone}
        lengths |= {blocks[r] * m for r in summed for m in BLOCK_SIZES[1:]}
        for n in sorted(lengths):
            first.setdefault(n, []).append(defects(rows[:n])[None])
        for r in summed:
            for m in BLOCK_SIZES[1:]:
                found = level(rows[: blocks[r] * m], m, rng)
                sums.setdefault((m, r), []).append(found)
    at_first = {n: fitted(found, n) for n, found in first.items()}
    for r in alone:
        levels[0, r] = np.quantile(at_first[blocks[r]] - alpha, QUANTILES)
    for (m, r), found in sums.items():
        here, place = fitted(found, blocks[r]), BLOCK_SIZES.index(m)
        levels[place, r] = np.quantile(here - alpha, QUANTILES)
        drifts[place - 1, r] = np.quantile(here - at_first[blocks[r] * m], QUANTILES)
    return levels, drifts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    # One coordinate, or alpha = 2, and the two laws are one.
    jobs = [
        (law, alpha, d)
        for d in sorted(COLUMNS, reverse=True)
        for alpha in ALPHAS
        for law in (LAWS if d > 1 and alpha < 2 else LAWS[:1])
    ]
    with ProcessPoolExecutor(options.processes) as pool:
        tasks = {job: pool.submit(cell, *job, options.repeats) for job in jobs}
        found = {}
        for job, task in tasks.items():
            found[job] = task.result()
            print(*job, found[job][0][-1, 3].round(3), flush=True)
    parts = []
    for part in (0, 1):
        grid = [
            [[found.get((law, a, d), found["independent", a, d])[part] for a in ALPHAS]
             for law in LAWS]
            for d in COLUMNS
        ]  # fmt: skip
        # (d, law, alpha, m, r, q) -> (m, r, d, law, alpha, q)
        ordered = np.array(grid).transpose(3, 4, 0, 1, 2, 5)
        parts.append([[[_rounded(x) for x in row] for row in size] for size in ordered])
    table = {
        "block_sizes": BLOCK_SIZES,
        "ratios": RATIOS,
        "n_columns": COLUMNS,
        "laws": LAWS,
        "alpha": ALPHAS,
        "quantiles": QUANTILES,
        "repeats": options.repeats,
        "level": parts[0],
        "drift": parts[1],
    }
    TARGET.write_text(json.dumps(table).replace("NaN", "null") + "\n", encoding="utf-8")


def _rounded(values: np.ndarray) -> list:
    return np.round(values, 4).tolist()


if __name__ == "__main__":
    main()
