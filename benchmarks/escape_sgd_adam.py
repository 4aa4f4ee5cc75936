"""Who leaves an anisotropic quadratic basin first, SGD or Adam: Radon measures beside simulation.

For each tail index, anisotropy and size of the noise, three ways in which the noise lies in the
basin: "aligned", its scale rises with curvature as (curvature)^(1/2) does, as minibatch noise is
said to; "alike" in both directions; "opposed", it falls. Their determinants are 1.

Run: python benchmarks/escape_sgd_adam.py, which replaces benchmarks/results/escape_sgd_adam.json.
About 15 minutes on one core; --n-paths 200 for a look.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from noise_lens.theory.escape import LevelSet, compare_sgd_and_adam

TARGET = Path(__file__).parent / "results" / "escape_sgd_adam.json"
ALPHAS = (1.2, 1.5, 1.8)
ANISOTROPIES = (4.0, 25.0)
# epsilon^alpha, which is what sets times: 0.015 and 0.05 at alpha = 1.5.
SIZES = {"smaller": 0.015**1.5, "larger": 0.05**1.5}
LIES = {"aligned": 0.25, "alike": 0.0, "opposed": -0.25}


def cell(alpha: float, anisotropy: float, size: str, lies: str, n_paths: int) -> dict[str, object]:
    epsilon = SIZES[size] ** (1 / alpha)
    power = LIES[lies]
    found = compare_sgd_and_adam(
        LevelSet([1.0, anisotropy], height=0.5),
        [anisotropy**-power, anisotropy**power],
        alpha=alpha,
        epsilon=epsilon,
        n_paths=n_paths,
        step_size=0.2 / anisotropy,
    )
    return {
        "alpha": alpha,
        "anisotropy": anisotropy,
        "size": size,
        "epsilon": epsilon,
        "noise": lies,
        "radon_measure_sgd": float(found.sgd.prediction.radon_measure),
        "radon_measure_adam": float(found.adam.prediction.radon_measure),
        "predicted_adam_over_sgd": found.predicted_ratio,
        "simulated_adam_over_sgd": found.simulated_ratio,
        "simulated_held_adam_over_sgd": found.held_ratio,
        "ordering": found.ordering,
        "systems": {
            one.name: {
                "predicted": one.prediction.mean_time,
                "simulated": one.mean,
                "simulated_over_predicted": one.ratio,
                "exits": one.times.n_exits,
                "censored": int(one.times.censored.sum()),
                "diverged": one.times.diverged,
                "violations": one.prediction.violations,
            }
            for one in (found.sgd, found.adam, found.adam_held)
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-paths", type=int, default=1500)
    parser.add_argument("--out", type=Path, default=TARGET)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    cells = []
    for size in SIZES:
        for anisotropy in ANISOTROPIES:
            for alpha in ALPHAS:
                for lies in LIES:
                    found = cell(alpha, anisotropy, size, lies, asked.n_paths)
                    cells.append(found)
                    ratio, low, high = found["simulated_adam_over_sgd"]
                    print(
                        f"{size:8} 1:{anisotropy:<3.0f} alpha {alpha} {lies:8} Adam/SGD predicted "
                        f"{found['predicted_adam_over_sgd']:.3f} simulated {ratio:.3f} "
                        f"({low:.3f} to {high:.3f}): {found['ordering']}",
                        flush=True,
                    )
    document = {
        "command": f"python benchmarks/escape_sgd_adam.py --n-paths {asked.n_paths}",
        "intervals": "95 %, of Monte Carlo alone",
        "basin": "curvatures 1 and anisotropy, height 1/2; beta1 0.9, beta2 0.999 as rates",
        "cells": cells,
    }
    asked.out.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
