"""How many independent samples a row of d coordinates is worth when all share one radius.

    python benchmarks/worth_of_a_row.py

Elliptical stable rows, 100 replications a cell (1000 rows) or 200 (64 rows). Printed is
(deviation(alpha) / sd of the pooled estimate)**2 / rows. ``Replicates.error_near_2`` uses
1 + 0.4 log2 d up to d = 32 and 3 beyond, which is at or below all but the noise of these cells
(a cell's standard error is 10 to 14 %). About two minutes on one core.
"""

import numpy as np

from noise_lens.estimators.stable_fit import deviations
from noise_lens.inference.jackknife import group_labels
from noise_lens.inference.pooling import characteristic_function_replicates


def positive_stable(alpha: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """Kanter's representation of the totally skewed positive law, index alpha in (0, 1)."""
    angle, wait = rng.uniform(0, np.pi, (n, 1)), rng.exponential(size=(n, 1))
    radius = np.sin(alpha * angle) / np.sin(angle) ** (1 / alpha)
    return radius * (np.sin((1 - alpha) * angle) / wait) ** ((1 - alpha) / alpha)


def worth(alpha: float, n_rows: int, dim: int, repeats: int) -> float:
    values = []
    for repeat in range(repeats):
        rng = np.random.default_rng([20261121, repeat, dim, n_rows, round(100 * alpha)])
        radius = np.sqrt(positive_stable(alpha / 2, n_rows, rng))
        rows = radius * rng.standard_normal((n_rows, dim))
        values.append(characteristic_function_replicates(rows, group_labels(n_rows)).value)
    single = np.interp(alpha, *deviations())
    return float((single / np.std(values)) ** 2 / n_rows)


def main() -> None:
    for dim in (1, 2, 4, 16, 64, 128):
        for n_rows, repeats in ((64, 200), (1000, 100)):
            cells = [worth(alpha, n_rows, dim, repeats) for alpha in (1.8, 1.9, 1.95)]
            print(f"d={dim:4} rows={n_rows:5}", *(f"{cell:.1f}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
