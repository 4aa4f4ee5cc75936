"""What the notebooks read: the run folder of a comparison, or a minute of training instead."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import noise_lens as nl


def is_finished(folder: Path) -> bool:
    """Return whether a comparison was written there and has ended."""
    return (folder / "close.json").exists()


def command_for(name: str) -> str:
    """Return what makes the run folder of that name."""
    return f"python benchmarks/optimizers_compared.py {name.removeprefix('found-')}"


def read_or_train(
    folder: Path, optimizers: Sequence[str], views: Sequence[str], *, published: bool = False
) -> nl.Run:
    """Read a comparison; where there is no finished one, train a small one and say so.

    Parameters
    ----------
    folder : Path
        Of the comparison.
    optimizers, views : sequence of str
        Of the small one; the folder may hold more.
    published : bool
        Whether the small one computes the pooled estimator of the literature, too.

    Returns
    -------
    Run
        A comparison.
    """
    if is_finished(folder):
        run = nl.read_run(folder)
        asked = run.manifest["settings"]
        references = {record["reference"] for own in run.runs.values() for record in own.records}
        print(
            f"{folder.name}: {len(asked['optimizers'])} optimizers, {len(asked['seeds'])} seeds, "
            f"{asked['n_steps']:,} steps, probes of {asked['n_minibatches']:,} minibatches of "
            f"{asked['batch_size']}, reference {' and '.join(sorted(references))}"
        )
        if diverged := (run.closed or {}).get("diverged"):
            print(f"diverged and left out: {', '.join(diverged)}")
        return run
    print(
        f"There is no finished run folder {folder.name}. {len(optimizers)} optimizers are trained "
        "for 60 steps with 2 seeds instead: enough to run this page, too little to say anything.\n"
        f"The folder is made by: {command_for(folder.name)}"
    )
    with tempfile.TemporaryDirectory() as small:
        nl.compare(
            "digits-mlp",
            optimizers,
            n_steps=60,
            probe_steps=[20, 60],
            n_minibatches=880,  # 20 averages of pairs: the fewest that an estimate takes
            seeds=range(2),
            views=views,
            published=published,
            out=small,
        )
        return nl.read_run(small)
