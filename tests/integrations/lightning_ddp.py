"""A script that Lightning starts once a rank: trains, and leaves each rank's state in a folder."""

from __future__ import annotations

import sys
from pathlib import Path

import frameworks
import torch
from lightning_programs import Program, fit
from programs import dataset
from torch.utils.data import DataLoader

import noise_lens as nl
from noise_lens.integrations.lightning import NoiseLensCallback
from noise_lens.lens import follower


def main(folder, kind, how):
    torch.set_num_threads(1)
    frameworks.seed_all()
    if how == "rows":
        frameworks.SpyWatch.kept = []
        follower.Watch = frameworks.SpyWatch
        callback, optimizer, steps = NoiseLensCallback(preset="light"), torch.optim.SGD, 20
    else:
        callback = NoiseLensCallback(schedule=nl.every(20), n_minibatches=50, out=folder / "run")
        optimizer, steps = torch.optim.Adam, 200
    module, trainer, state = fit(
        module=Program(kind, optimizer),
        loader=DataLoader(dataset(kind.partition("-")[0]), batch_size=8, shuffle=True),
        callback=None if how == "without" else callback,
        strategy="ddp",
        devices=2,
        max_steps=steps,
    )
    state["batches"] = module.batches
    if how == "rows":
        state["rows"] = frameworks.SpyWatch.kept
    if how != "without":
        assert callback.lens.problems == [], callback.lens.problems
        assert callback.lens.capture["world_size"] == 2
    torch.save(state, folder / f"{how}-{trainer.global_rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
