"""Tails of trained weights against step size over batch size, on digits.

    python benchmarks/weight_tails.py            # about three minutes on one core
    python benchmarks/weight_tails.py --figure   # draws docs/figures/weight-tails.svg

The deep-network experiment of Gurbuzbalaban et al. (2021): three fully connected layers of width
128, plain SGD, the last 1000 iterates averaged weight by weight, each layer centred by its mean,
and the median of the multiscale estimator over block sizes. The paper takes MNIST, 10,000 steps
and 16 step sizes; here it is scikit-learn's digits, 4,000 steps and eight. The initial weights and
those of other readings stand beside it. Writes results/weight_tails.json.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from time import process_time

import numpy as np
import torch
from scipy import stats

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "weight_tails.json"
FIGURE = ROOT / "docs" / "figures" / "weight-tails.svg"
HIDDEN = (128, 128)
STEP_SIZES = (0.003, 0.01, 0.03, 0.06, 0.1, 0.2, 0.3, 1.0)
BATCH_SIZES = (1, 5, 10)
N_STEPS, AVERAGE_LAST = 4000, 1000
SEEDS = (0, 1, 2)
ABSCISSAE = {
    "step size / batch size": lambda step, batch: step / batch,
    "step size": lambda step, batch: step,
    "1 / batch size": lambda step, batch: 1 / batch,
}


def measure() -> None:
    from noise_lens.landscape import weight_tails_over_steps
    from noise_lens.tasks import load_task

    torch.set_num_threads(1)
    started = process_time()
    rows = weight_tails_over_steps(
        load_task("digits-mlp", {"hidden": list(HIDDEN)}),
        STEP_SIZES,
        BATCH_SIZES,
        n_steps=N_STEPS,
        average_last=AVERAGE_LAST,
        seeds=SEEDS,
        on_run=lambda done, total: print(f"{done}/{total}", end="\r", flush=True),
    )
    settings = {
        "task": "digits-mlp", "hidden": HIDDEN, "step_sizes": STEP_SIZES,
        "batch_sizes": BATCH_SIZES, "n_steps": N_STEPS, "average_last": AVERAGE_LAST,
        "seeds": SEEDS,
    }  # fmt: skip
    content = {
        "settings": settings,
        "rank_correlations": correlations(rows),
        "rows": [_plain(asdict(row)) for row in rows],
        "processor_seconds": round(process_time() - started),
    }
    RESULT.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    print(json.dumps(content["rank_correlations"], indent=1), content["processor_seconds"], "s")


def correlations(rows) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Spearman's correlation of each reading with three abscissae, and p of one test a layer.

    Over cells that trained, means over seeds; -1 with step size / batch size is what the paper
    says. The step size alone says how far a fixed number of steps went.
    """
    from noise_lens.figures.weight_tails import READINGS

    cells: dict[tuple[str, float, int], list] = {}
    for row in rows:
        cells.setdefault((row.tensor, row.step_size, row.batch_size), []).append(row)
    kept = {key: own for key, own in cells.items() if {r.status for r in own} == {"trained"}}
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for reading in READINGS:
        for tensor in dict.fromkeys(key[0] for key in kept):
            own = [(s, b, rows) for (name, s, b), rows in kept.items() if name == tensor]
            means = [np.mean([getattr(r.tail, reading) for r in rows]) for _, _, rows in own]
            for name, at in ABSCISSAE.items():
                test = stats.spearmanr([at(s, b) for s, b, _ in own], means)
                values = [round(float(test.statistic), 3), round(float(test.pvalue), 5)]
                found.setdefault(reading, {}).setdefault(tensor, {})[name] = values
    return found


def rows_of_result():
    from noise_lens.landscape import TrainedTail, WeightTail

    loaded = json.loads(RESULT.read_text())
    for row in loaded["rows"]:
        tail = row.pop("tail")
        loss = np.inf if row["loss"] is None else row.pop("loss")
        row["loss"] = loss
        yield TrainedTail(**row, tail=None if tail is None else WeightTail(**tail))


def draw() -> None:
    from matplotlib.figure import Figure

    from noise_lens.figures import plot_weight_tails
    from noise_lens.report.svg import drawing, write_svg

    rows = list(rows_of_result())
    layers = list(dict.fromkeys(row.tensor for row in rows))
    with drawing("weight-tails"):
        figure = Figure(figsize=(10, 6), layout="constrained")
        axes = figure.subplots(2, len(layers), sharex=True, sharey=True)
        for line, reading in zip(axes, ("published", "alpha"), strict=True):
            for place, (ax, layer) in enumerate(zip(line, layers, strict=True), start=1):
                own = [row for row in rows if row.tensor == layer]
                plot_weight_tails(own, reading=reading, ax=ax)
                ax.set_title(f"layer {place}" if reading == "published" else "")
                ax.label_outer()
        axes[0, 0].set_ylabel("α: multiscale estimate, as published")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        ends = [label.removeprefix(layers[0]).lstrip(", ") or "trained" for label in labels]
        figure.legend(handles, ends, loc="outside lower center", ncols=len(ends))
        FIGURE.parent.mkdir(exist_ok=True)
        write_svg(figure, FIGURE)


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, float):
        return round(value, 5) if np.isfinite(value) else None
    return value


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", action="store_true")
    if parser.parse_args().figure:
        draw()
    else:
        measure()
