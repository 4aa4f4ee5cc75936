"""Build noise_lens/inference/self_standardisation.json: about eight minutes on one core.

    python benchmarks/calibrate_self_standardisation.py

For every number of rows and every alpha it draws stable columns, divides each by its own
geometric mean, pools, and reads three estimates. The table keeps reading minus truth. Seeded: the
same file comes out on every run.
"""

import json
from pathlib import Path

import numpy as np

from noise_lens.estimators import LogHistogram, maximum_likelihood, quantile, stable_fit
from noise_lens.estimators.binned_likelihood import BINS_AN_OCTAVE, magnitude_bins
from noise_lens.estimators.log_histogram import FIRST_REGULAR, INF_BIN, N_BINS
from noise_lens.inference.standardise import standardise
from noise_lens.stable import SymmetricStable

ALPHAS = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 1.95, 2.0]
N_ROWS = [20, 24, 32, 48, 64, 96, 128]  # beyond 128 the shift falls like 1 / n
VALUES = 8_000_000
METHODS = ("characteristic_function", "maximum_likelihood", "quantile")
TARGET = Path(__file__).parent.parent / "noise_lens/inference/self_standardisation.json"


def readings(alpha: float, n_rows: int, rng: np.random.Generator) -> tuple[float, float, float]:
    total, count, pilot = np.zeros((11, 1)), 0, None
    counts = np.zeros(N_BINS, dtype=np.int64)
    columns = 100_000 // n_rows
    while count < VALUES:
        rows = SymmetricStable(alpha).rvs((n_rows, columns), rng)
        values = standardise(rows)[0].reshape(-1, 1)
        pilot = np.median(np.abs(values)) if pilot is None else pilot
        total += stable_fit.cosine_defects(values, np.array([pilot]))
        bins = magnitude_bins(values.ravel()) + 127 * BINS_AN_OCTAVE
        counts += np.bincount(np.clip(bins, FIRST_REGULAR, INF_BIN - 1), minlength=N_BINS)
        count += len(values)
    histogram = LogHistogram(counts)
    return (
        float(stable_fit.fit_stable(total / count)[0][0]),
        float(maximum_likelihood(histogram).alpha),
        float(quantile(histogram).alpha),
    )


def main() -> None:
    shift: dict[str, list[list[float]]] = {name: [] for name in METHODS}
    for n_rows in N_ROWS:
        rng = np.random.default_rng([20261121, n_rows])
        found = np.array([np.array(readings(alpha, n_rows, rng)) - alpha for alpha in ALPHAS])
        for name, column in zip(METHODS, found.T, strict=True):
            shift[name].append([round(float(value), 5) for value in column])
            print(n_rows, name, shift[name][-1], flush=True)
    table = {"n_rows": N_ROWS, "alpha": ALPHAS, "shift": shift, "values_a_cell": VALUES}
    TARGET.write_text(json.dumps(table) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
