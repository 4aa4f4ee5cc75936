"""Tails of simulated SGD on linear regression, and the published experiment, with their theory.

    OMP_NUM_THREADS=1 python benchmarks/stationary_tails.py # about 12 minutes on one core
    OMP_NUM_THREADS=1 python benchmarks/stationary_tails.py cells # one part: cells, protocol, cost
    python benchmarks/stationary_tails.py --figure # draws docs/figures/stationary-tails.svg

100,000 replicas and three seeds a cell; the protocol as published (1600 runs), one seed. Each part
replaces its own entry of benchmarks/results/stationary_tails.json.
"""

import json
import math
import sys
import time
from pathlib import Path

import torch

from noise_lens.theory.stationary import (
    published_protocol,
    simulate_stationary,
    stationary_tails,
)

FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "stationary-tails.svg"
TARGET = Path(__file__).parent / "results" / "stationary_tails.json"
N_REPLICAS, SEEDS = 100_000, (0, 1, 2)
# (step size, batch size, dim): one and two coordinates, then wider ones; then steps, if too few.
CELLS = (
    *((0.9, 1, 1), (0.8, 1, 1), (2 / 3, 1, 1), (0.3835, 1, 1)),
    *((0.6, 1, 2), (0.55, 1, 2), (0.5, 1, 2), (0.4, 1, 2)),
    *((0.8, 2, 2), (1 / 3, 1, 4), (0.625, 5, 10), (0.17, 1, 10)),
    (0.17, 1, 10, 300),
)


def number(value: float | None, digits: int = 6) -> float | None:
    """Return a number that strict JSON has: None for inf and nan."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{digits}g}")


def cell(step_size: float, batch_size: int, dim: int, n_steps: int | None = None) -> dict:
    found: dict = {"step_size": step_size, "batch_size": batch_size, "dim": dim}
    readings: dict[str, list] = {}
    for seed in SEEDS:
        sample = simulate_stationary(
            step_size, batch_size, dim, n_replicas=N_REPLICAS, n_steps=n_steps, seed=seed
        )
        rows = stationary_tails(sample)
        for row in rows:
            readings.setdefault(f"{row.method}, {row.of}", []).append(
                number(row.estimate.alpha if row.estimate else None)
            )
    theory = rows[0].theory
    return found | {
        "theory": number(theory.alpha),
        "rho": number(sample.lyapunov_exponent),
        "n_steps": sample.n_steps,
        "regime": sample.regime,
        "readings": readings,
    }


def cells() -> list[dict]:
    found = []
    for settings in CELLS:
        found.append(cell(*settings))
        print(found[-1], flush=True)
    return found


def protocol() -> list[dict]:
    started = time.perf_counter()

    def progress(done: int, total: int) -> None:
        print(f"{done} of {total} cells, {time.perf_counter() - started:.0f} s", flush=True)

    found = []
    for one in published_protocol(cells=grid(), on_progress=progress):
        low, high = one.estimate.confidence_interval() if one.estimate else (None, None)
        found.append(
            {
                "batch_size": one.batch_size,
                "step_size": one.step_size,
                "rho": number(one.lyapunov_exponent),
                "regime": one.theory.regime,
                "theory": number(one.theory.alpha),
                "growth": number(one.growth.mean if one.growth else None),
                "growth_error": number(one.growth.standard_error if one.growth else None),
                "diverging": one.diverging,
                "mixed": one.mixed,
                "alpha": number(one.estimate.alpha if one.estimate else None),
                "low": number(low),
                "high": number(high),
                "median_norm": number(one.median_norm, 3),
                "n_diverged": one.n_diverged,
            }
        )
    return found


def grid() -> list[tuple[int, float]]:
    """The published grid, and two cells that are not on it."""
    from noise_lens.theory.stationary import PUBLISHED_BATCH_SIZES, PUBLISHED_STEP_SIZES

    both = [(b, eta) for b in PUBLISHED_BATCH_SIZES for eta in PUBLISHED_STEP_SIZES]
    return [(1, 0.005), (1, 0.01), *both]


def cost() -> dict:
    started = time.process_time()
    simulate_stationary(0.6, 1, 2, n_replicas=N_REPLICAS, n_steps=400)
    return {"100,000 replicas x 400 steps of d = 2, CPU s": time.process_time() - started}


def draw() -> None:
    from matplotlib.figure import Figure

    from noise_lens.figures import SimulatedTail, plot_stationary_tail, stationary_curve
    from noise_lens.inference.seeds import over_seeds
    from noise_lens.report.svg import drawing, write_svg

    found = json.loads(TARGET.read_text(encoding="utf-8"))["cells"]
    panels = {1: (1,), 2: (1, 2), 10: (1, 5)}
    with drawing("stationary-tails"):
        figure = Figure(figsize=(10, 4.8), layout="constrained")
        for ax, (dim, sizes) in zip(
            figure.subplots(1, len(panels), sharey=True), panels.items(), strict=True
        ):
            points = []
            for one in found:
                if one["dim"] == dim:
                    read = one["readings"]["hill, iterates"]
                    over = over_seeds(read, read, read)
                    points.append(
                        SimulatedTail(
                            *(one["batch_size"], one["step_size"], over.mean, over.low, over.high),
                            stationary=one["regime"] == "stationary",
                        )
                    )
            plot_stationary_tail([stationary_curve(b, dim) for b in sizes], points, ax=ax)
            ax.set(title=f"d = {dim}", ylim=(0, 6))
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16))
        for ax in figure.axes[1:]:
            ax.set_ylabel("")
        FIGURE.parent.mkdir(exist_ok=True)
        write_svg(figure, FIGURE)


def main() -> None:
    if "--figure" in sys.argv:
        draw()
        return
    torch.set_num_threads(1)
    known = json.loads(TARGET.read_text(encoding="utf-8")) if TARGET.exists() else {}
    parts = {"cells": cells, "protocol": protocol, "cost": cost}
    for name in sys.argv[1:] or parts:
        known[name] = parts[name]()
        known["settings"] = {"n_replicas": N_REPLICAS, "seeds": list(SEEDS), "protocol_seed": 0}
        TARGET.write_text(json.dumps(known, indent=1, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
