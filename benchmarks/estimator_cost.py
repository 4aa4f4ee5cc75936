"""What the estimators cost, as ratios of CPU time in one run on one thread, and in bytes.

    OMP_NUM_THREADS=1 python benchmarks/estimator_cost.py

About two minutes, most of it one fit by scipy. Medians of interleaved rounds; where a bar is a
time it stands beside np.sum of ten million float32. Writes benchmarks/results/estimator_cost.json.
"""

import json
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy
import torch
from scipy import stats

import noise_lens as nl
from noise_lens.stable import table

ALPHA, ROUNDS = 1.7, 5
SCIPY_SAMPLES, MANY = 300, 100_000
TARGET = Path(__file__).parent / "results" / "estimator_cost.json"
ESTIMATORS = {
    "characteristic_function": nl.characteristic_function,
    "maximum_likelihood": nl.maximum_likelihood,
    "mohammadi": nl.mohammadi,
    "log_moments": nl.log_moments,
    "quantile": nl.quantile,
    "hill": lambda x: nl.hill(x, len(x) // 20),
    "moment": lambda x: nl.moment(x, len(x) // 20),
}


def published(m: int, x: torch.Tensor) -> float:
    """The block estimator as the code of Simsekli et al. (2019) computes it, on one sequence."""
    blocks = x.view(len(x) // m, m, -1).sum(1)
    epsilon = np.spacing(1)
    singles = torch.log(x.norm(dim=1) + epsilon).mean()
    sums = torch.log(blocks.norm(dim=1) + epsilon).mean()
    return float(np.log(m) / (sums - singles))


def medians(functions: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    for function in functions.values():
        function()  # tables that are loaded once
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.process_time()
            function()
            taken[name].append(time.process_time() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def main() -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(20261121)
    columns = nl.SymmetricStable(ALPHA).rvs((1000, 10_000), rng)
    narrow = columns.astype(np.float32)
    long32 = torch.from_numpy(narrow.ravel())
    sequences = [torch.from_numpy(column.copy())[:, None] for column in columns.T]
    sample = nl.SymmetricStable(ALPHA).rvs(MANY, rng)
    points = nl.SymmetricStable(ALPHA).rvs(1_000_000, rng)
    histogram = nl.StreamingLogHistogram().update(long32)

    law = nl.SymmetricStable(ALPHA)
    took = medians(
        {
            "sum": lambda: np.sum(narrow),
            "log-histogram": lambda: nl.StreamingLogHistogram().update(long32),
            "likelihood of a histogram": lambda: nl.maximum_likelihood(histogram.compute()),
            "likelihood of 100,000": lambda: nl.maximum_likelihood(sample),
            "likelihood of columns": lambda: nl.maximum_likelihood(columns),
            "mohammadi of columns": lambda: nl.mohammadi(columns),
            "mohammadi of float32 columns": lambda: nl.mohammadi(narrow),
            "published loop": lambda: [published(25, x) for x in sequences],
            "log-density": lambda: law.logpdf(points),
            "curves of one alpha": lambda: table.curves.__wrapped__(1.7123),
        }
    )
    start = time.process_time()
    with np.errstate(all="ignore"):
        stats.levy_stable.fit(sample[:SCIPY_SAMPLES], fbeta=0.0)
    scipy_seconds = time.process_time() - start
    extrapolated = scipy_seconds * MANY / SCIPY_SAMPLES

    copies = {}
    for name, estimate in ESTIMATORS.items():
        for shape, x in {"(1e7,)": columns.ravel(), "(1000, 1e4)": columns}.items():
            for kind, y in {"float64": x, "float32": x.astype(np.float32)}.items():
                tracemalloc.start()
                estimate(y)
                copies[f"{name} {shape} {kind}"] = tracemalloc.get_traced_memory()[1] / y.nbytes
                tracemalloc.stop()
    streamed = took["log-histogram"] + took["likelihood of a histogram"]
    spread = float(np.std(nl.maximum_likelihood(columns).alpha))
    result = {
        "scipy over maximum_likelihood, 1e5 samples": {
            "ratio": extrapolated / took["likelihood of 100,000"],
            "scipy, 300 samples, s": scipy_seconds,
            "scipy, 1e5 samples, extrapolated linearly, s": extrapolated,
            "ours, s": took["likelihood of 100,000"],
        },
        "log-histogram of 1e7 float32 plus likelihood, in np.sum": streamed / took["sum"],
        "likelihood of a ready histogram, ms": 1e3 * took["likelihood of a histogram"],
        "published loop over mohammadi, 1000 x 10,000": {
            "float64": took["published loop"] / took["mohammadi of columns"],
            "float32": took["published loop"] / took["mohammadi of float32 columns"],
        },
        "maximum_likelihood, 1000 x 10,000": {
            "s": took["likelihood of columns"],
            "in np.sum": took["likelihood of columns"] / took["sum"],
            "spread at alpha 1.7": spread,
        },
        "log-density, ns a point": 1e9 * took["log-density"] / len(points),
        "curves of one alpha, ms": 1e3 * took["curves of one alpha"],
        "np.sum of 1e7 float32, ms": 1e3 * took["sum"],
        "traced peak over bytes of the input": copies,
        "environment": {
            "machine": platform.machine(),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "torch": torch.__version__,
            "threads": 1,
        },
    }
    TARGET.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
