"""How often the 95 % interval of `pooled` holds the truth: the table of docs/measuring.md.

    python benchmarks/coverage.py > benchmarks/results/coverage.txt

Stable rows of 64 coordinates, 400 replications a cell (standard error 1.1 % at 95 %), with
independent coordinates and with one radius for the whole row (elliptical). About fifteen minutes
on one core: methods that are estimated anew without each group of rows have 200 replications
(1.5 %), and no cell below 128 rows.
"""

import numpy as np
from stable_rows import stable_rows

import noise_lens as nl

DIM, REPEATS, FEWER = 64, 400, 200
FAST = ("characteristic_function", "mohammadi", "mohammadi_norm", "log_moments")
SLOW = ("maximum_likelihood", "quantile")


def held(kind: str, alpha: float, n: int, method: str) -> float:
    repeats = FEWER if method in SLOW else REPEATS
    count = 0
    for repeat in range(repeats):
        rng = np.random.default_rng([20261121, n, round(100 * alpha), repeat])
        low, high = nl.pooled(stable_rows(kind, alpha, (n, DIM), rng), method).confidence_interval()
        count += low <= alpha <= high
    return count / repeats


def main() -> None:
    methods = (*FAST, *SLOW)
    print("share of intervals that hold alpha")
    print("rows kind         alpha", *(f"{method:>24}" for method in methods))
    for n in (25, 50, 128, 256, 512, 1000):
        for kind in ("independent", "elliptical"):
            for alpha in (1.5, 1.8, 1.95):
                shares = [
                    held(kind, alpha, n, method) if n >= 128 or method in FAST else np.nan
                    for method in methods
                ]
                print(f"{n:4} {kind:12} {alpha:5}", *(f"{s:24.3f}" for s in shares), flush=True)


if __name__ == "__main__":
    main()
