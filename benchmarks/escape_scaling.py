"""How long small stable noise takes to leave a well, against the limits of theory.

    python benchmarks/escape_scaling.py        # five minutes; writes results/escape_scaling.json
    python benchmarks/escape_scaling.py --figure   # draws docs/figures/escape-scaling.svg from it

dX = -X dt + epsilon dL from (-1, 1), started at the minimum. For alpha < 2 the limit is that of
Imkeller and Pavlyukevich (Stoch. Process. Appl. 116, 2006): epsilon^alpha E tau -> alpha / (2 c),
c = Gamma(1+alpha) sin(pi alpha/2) / pi, and the exit law exponential. For alpha = 2 the mean grows
like exp(1 / (2 epsilon^2)). The exact mean at finite noise stands beside it where its series
resolves the noise. The same paths are walked at a step of h and of h/2, and what is printed is
extrapolated to 0 at order 1/alpha.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

from noise_lens.theory.escape import (
    Interval,
    escape_times,
    jump_density_constant,
    linear_well_exit_time,
)
from noise_lens.theory.levy import gradient_system

EXITS, STEP = 5000, 0.04
EPSILONS = {
    1.2: (0.4, 0.2, 0.1, 0.07, 0.05, 0.035, 0.025, 0.0175, 0.0125, 0.00625, 0.003),
    1.5: (0.4, 0.2, 0.1, 0.07, 0.05, 0.035, 0.025, 0.0175, 0.0125, 0.009),
    1.8: (0.4, 0.2, 0.1, 0.07, 0.05, 0.035),
    2.0: (0.5, 0.4, 0.34, 0.3, 0.28),
}
RESULT = Path(__file__).parent / "results" / "escape_scaling.json"
FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "escape-scaling.svg"


def exact(alpha: float, epsilon: float) -> float | None:
    try:
        return linear_well_exit_time(alpha, epsilon)
    except ValueError:
        return None


def cell(alpha: float, epsilon: float) -> dict[str, float | None]:
    step = STEP if alpha < 2 else 0.004
    well = gradient_system(lambda x: x, epsilon=epsilon, alpha=alpha)
    began = time.process_time()
    found = escape_times(
        well,
        Interval(-1, 1),
        0.0,
        n_paths=EXITS,
        step_size=step,
        max_time=1e9,
        halving=True,
        seed=round(1e6 * epsilon + 1e3 * alpha),
    )
    seconds = time.process_time() - began
    known = exact(alpha, epsilon)
    theory = epsilon**-alpha * alpha / (2 * jump_density_constant(alpha)) if alpha < 2 else known
    mean, error = found.halving.extrapolated()
    moved = found.halving.difference
    return {
        "alpha": alpha,
        "epsilon": epsilon,
        "theory": theory,
        "mean": mean,
        "standard_error": error,
        "ratio": mean / theory,
        "ratio_error": error / theory,
        "exact_ratio": known and known / theory,
        "moved_by_halving": moved.value / theory,
        "moved_error": moved.standard_error / theory,
        "step_size": step,
        "exits": found.n_exits,
        "ks_pvalue": found.exponential_test().pvalue,
        "cpu_seconds": seconds,
    }


def slope(rows: list[dict[str, float]]) -> dict[str, float]:
    """Weighted fit of log mean on log epsilon, over the cells within 5 % of the limit."""
    near = [row for row in rows if abs(row["ratio"] - 1) <= 0.05]
    x = np.log([row["epsilon"] for row in near])
    y = np.log([row["mean"] for row in near])
    w = np.array([row["mean"] / row["standard_error"] for row in near]) ** 2
    spread = w @ (x - w @ x / w.sum()) ** 2
    return {
        "slope": float(w @ ((x - w @ x / w.sum()) * y) / spread),
        "standard_error": float(spread**-0.5),
        "cells": len(near),
    }


def draw() -> None:
    """Draw the stable noises: Gaussian noise has no power law, and its mean is exact."""
    from matplotlib.figure import Figure

    from noise_lens.figures import EscapePoint, plot_escape_scaling
    from noise_lens.report.svg import drawing, write_svg

    names = ("alpha", "epsilon", "mean", "standard_error", "theory")
    rows = json.loads(RESULT.read_text())["rows"]
    points = [EscapePoint(*(row[name] for name in names)) for row in rows if row["alpha"] < 2]
    with drawing("escape-scaling"):
        figure = Figure(figsize=(10, 3.8), layout="constrained")
        ratio, time_axes = figure.subplots(1, 2)
        plot_escape_scaling(points, ax_ratio=ratio, ax_time=time_axes)
        for ax in (ratio, time_axes):
            ax.legend()
        FIGURE.parent.mkdir(exist_ok=True)
        write_svg(figure, FIGURE)


def main() -> None:
    if "--figure" in sys.argv:
        draw()
        return
    torch.set_num_threads(1)
    rows, slopes = [], {}
    for alpha, epsilons in EPSILONS.items():
        mine = []
        for epsilon in epsilons:
            mine.append(cell(alpha, epsilon))
            print(json.dumps(mine[-1]), flush=True)
        if alpha < 2:
            slopes[str(alpha)] = slope(mine)
            print(alpha, slopes[str(alpha)], flush=True)
        rows += mine
    RESULT.write_text(json.dumps({"rows": rows, "slopes": slopes}, indent=1) + "\n")


if __name__ == "__main__":
    main()
