"""Build noise_lens/inference/rotation_power.json: about five minutes on two cores.

    python benchmarks/rotation_power.py [--repeats 500] [--processes 2]

Share of samples in which the rotation test (199 rotations, level 5 %) tells noise from Gaussian:
stable rows of index 1.8 with one radius a row (what a `gaussian` verdict must exclude), the same
with independent coordinates, and independent Laplace coordinates. Where 500 of 500 are told apart,
larger M is 1 without simulation. Seeded.
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from stable_rows import stable_rows

from noise_lens.inference.rotation import N_ROTATIONS, Rotations

N_ROWS = (50, 70, 100, 140, 200, 280, 400, 560)
COLUMNS = (1, 2, 4, 8, 16, 32, 64, 128)
LAWS = ("elliptical 1.8", "independent 1.8", "laplace")
ALPHA, LEVEL = 1.8, 0.05
TARGET = Path(__file__).parent.parent / "noise_lens/inference/rotation_power.json"


def rows_of(law: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    if law == "laplace":
        return rng.laplace(size=shape)
    return stable_rows(law.split()[0], ALPHA, shape, rng)


def column(law: str, d: int, repeats: int) -> list[float]:
    allowed = round(LEVEL * (N_ROTATIONS + 1)) - 1
    found: list[float] = []
    for n in N_ROWS:
        told = 0
        for repeat in range(repeats if not found or found[-1] < 1 else 0):
            rng = np.random.default_rng([20261121, n, d, LAWS.index(law), repeat])
            rotations = Rotations(rows_of(law, (n, d), rng), rng)
            rotations.extend(N_ROTATIONS, stop_at=allowed + 1)
            told += rotations.exceedances <= allowed
        found.append(1.0 if found and found[-1] == 1 else told / repeats)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=500)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    with ProcessPoolExecutor(options.processes) as pool:
        tasks = {
            (law, d): pool.submit(column, law, d, options.repeats)
            for law in LAWS
            for d in sorted(COLUMNS, reverse=True)
        }
        power = {}
        for law in LAWS:
            power[law] = [tasks[law, d].result() for d in COLUMNS]
            print(law, *power[law], sep="\n", flush=True)
    table = {
        "n_rows": N_ROWS,
        "n_columns": COLUMNS,
        "level": LEVEL,
        "n_rotations": N_ROTATIONS,
        "repeats": options.repeats,
        "power": power,
    }
    TARGET.write_text(json.dumps(table) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
