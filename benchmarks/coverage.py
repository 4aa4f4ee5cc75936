"""How often the 95 % interval of `pooled` holds the truth: the table of docs/measuring.md.

    python benchmarks/coverage.py

Stable rows of 64 coordinates, 400 replications a cell (standard error 1.1 % at 95 %), with
independent coordinates and with one radius for the whole row (elliptical). About four minutes.
"""

import numpy as np

import noise_lens as nl

DIM, REPEATS = 64, 400


def rows_of(kind: str, alpha: float, n: int, rng: np.random.Generator) -> np.ndarray:
    if kind == "independent":
        return nl.SymmetricStable(alpha).rvs((n, DIM), rng)
    a = alpha / 2  # the square of the radius is positive stable of half the index (Kanter)
    angle, wait = rng.uniform(0, np.pi, (n, 1)), rng.exponential(size=(n, 1))
    square = np.sin(a * angle) / np.sin(angle) ** (1 / a)
    square *= (np.sin((1 - a) * angle) / wait) ** ((1 - a) / a)
    return np.sqrt(square) * rng.standard_normal((n, DIM))


def main() -> None:
    print("rows kind         alpha   char. function      mohammadi   (share that hold it)")
    for n in (25, 50, 128, 256, 512, 1000):
        for kind in ("independent", "elliptical"):
            for alpha in (1.5, 1.8, 1.95):
                held = np.zeros(2)
                for repeat in range(REPEATS):
                    rng = np.random.default_rng([20261121, n, round(100 * alpha), repeat])
                    rows = rows_of(kind, alpha, n, rng)
                    for place, method in enumerate(("characteristic_function", "mohammadi")):
                        low, high = nl.pooled(rows, method).confidence_interval()
                        held[place] += low <= alpha <= high
                print(f"{n:4} {kind:12} {alpha:5}", *(f"{share:15.3f}" for share in held / REPEATS))


if __name__ == "__main__":
    main()
