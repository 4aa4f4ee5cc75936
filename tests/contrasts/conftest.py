"""Comparisons with invented records, so that every answer is known beforehand."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest

from noise_lens import read_run
from noise_lens.run import COLUMNS, Run, RunWriter


def record(step, view, group, **columns):
    """Return a record of nothing but what is named."""
    made = {"rank": 0, "window": 1, "batch_size": 32, "n_rows": 1000, "reference": "full"}
    average = {"beta": 0.9, "window": 22} if view in ("momentum", "trajectory") else {}
    given = {"step": step, "view": view, "group": group, "metrics": {}, "part": ""}
    return dict.fromkeys(COLUMNS.names) | made | average | given | columns


@pytest.fixture
def comparison(tmp_path):
    """Return a function that makes a comparison as `read_run` would have read it."""

    def make(
        value,
        *,
        name="comparison",
        optimizers=("sgd", "adam"),
        seeds=range(6),
        steps=(0, 100, 1000),
        views=("gradient", "momentum"),
        groups=("all",),
        diverged=(),
        rates=None,
        **settings,
    ):
        """Hold `value(optimizer, seed, step, view, group)`: columns, or None for no record."""
        shared = {
            "task": "digits-mlp", "task_arguments": {}, "mode": "train", "n_minibatches": 1000,
            "batch_size": 32, "n_examples": 3200, "views": list(views), **settings,
        }  # fmt: skip
        runs = {}
        for optimizer in optimizers:
            for seed in seeds:
                label = f"{optimizer}-s{seed}"
                rate = {optimizer: (rates or {}).get(optimizer, 0.1)}
                own = {"optimizer": optimizer, "seed": seed, "learning_rates": rate}
                found = [
                    record(step, view, group, **{"batch_size": shared["batch_size"]} | columns)
                    for step in steps
                    for view in sorted(views)
                    for group in groups
                    if (columns := value(optimizer, seed, step, view, group)) is not None
                ]
                status = "diverged" if label in diverged else "finished"
                runs[label] = Run(
                    tmp_path / name / label,
                    {"kind": "run", "settings": shared | own},
                    found,
                    {"status": status},
                )
        asked = {"optimizers": list(optimizers), "seeds": list(seeds)}
        manifest = {"kind": "comparison", "settings": shared | asked}
        return Run(tmp_path / name, manifest, [], {"status": "finished"}, runs=runs)

    return make


@pytest.fixture
def through_the_disk():
    """Return a function that writes a comparison to its folder and reads it."""

    def write(run):
        parent = RunWriter(run.folder, run.manifest)
        parent.begin()
        for child in run.runs.values():
            writer = RunWriter(child.folder, child.manifest)
            writer.begin()
            for _, rows in groupby(child.records, key=lambda row: (row["step"], row["view"])):
                made = [{k: v for k, v in row.items() if k != "part"} for row in rows]
                writer.write(made, {"losses": np.zeros(1)})
            writer.close(**child.closed)
        parent.close(**run.closed)
        return read_run(run.folder)

    return write


@pytest.fixture
def noise(rng):
    """Return Gaussian numbers that are functions of what they are for."""
    root = int(rng.integers(2**31))

    def draw(*key, scale=0.02):
        words = [sum(i * ord(c) for i, c in enumerate(str(part), 1)) for part in key]
        return scale * float(np.random.default_rng([root, *words]).normal())

    return draw
