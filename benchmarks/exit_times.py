"""First exit of driftless isotropic stable motion from a ball, against Getoor's closed form.

    python benchmarks/exit_times.py        # four minutes; writes results/exit_times.json

Every path is walked at a step of h and of h/2 on the same noise, the three starting points too,
and the mean is extrapolated to step 0 at order 1/alpha: a path leaves and comes back between two
looks (Getoor, Trans. Am. Math. Soc. 101, 1961).
"""

import json
import time
from pathlib import Path

import torch

from noise_lens.theory.escape import Ball, escape_times_from, getoor_mean_exit_time
from noise_lens.theory.levy import gradient_system

PATHS, STEP = 200_000, 0.002
ALPHAS, DIMS, STARTS = (1.0, 1.5, 1.8), (1, 2), (0.0, 0.5, 0.8)
RESULT = Path(__file__).parent / "results" / "exit_times.json"


def cells(alpha: float, dim: int) -> list[dict[str, float]]:
    motion = gradient_system(epsilon=1.0, alpha=alpha, jumps="isotropic")
    starts = torch.zeros(len(STARTS), dim)
    starts[:, 0] = torch.tensor(STARTS)
    began = time.process_time()
    found = escape_times_from(
        motion,
        Ball(1.0, dim),
        starts,
        n_paths=PATHS,
        step_size=STEP,
        max_time=100.0,
        halving=True,
        seed=round(100 * alpha) + dim,
    )
    seconds = time.process_time() - began
    rows = []
    for start, times in zip(STARTS, found, strict=True):
        theory = float(getoor_mean_exit_time(start, 1.0, alpha, dim))
        mean, error = times.halving.extrapolated()
        rows.append(
            {
                "alpha": alpha,
                "dim": dim,
                "start": start,
                "theory": theory,
                "mean": mean,
                "standard_error": error,
                "ratio": mean / theory,
                "ratio_error": error / theory,
                "ratio_at_step": times.halving.coarse.mean() / theory,
                "ratio_at_half_step": times.halving.fine.mean() / theory,
                "step_size": STEP,
                "paths": PATHS,
                "censored": int(times.censored.sum()),
                "cpu_seconds_of_three_starts": seconds,
            }
        )
    return rows


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    for alpha in ALPHAS:
        for dim in DIMS:
            for row in cells(alpha, dim):
                print(json.dumps(row), flush=True)
                rows.append(row)
    worst = max(abs(row["ratio"] - 1) for row in rows)
    print(f"furthest from Getoor: {worst:.2%} in {len(rows)} cells")
    RESULT.write_text(json.dumps({"rows": rows, "furthest": worst}, indent=1) + "\n")


if __name__ == "__main__":
    main()
