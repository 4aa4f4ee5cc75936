"""What a run folder says of one measurement, as the theory needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noise_lens.errors import RunFolderError
from noise_lens.inference import Verdict, judged_rows
from noise_lens.inference.dependence import SharedScale, shared_scale
from noise_lens.judging import verdict_at
from noise_lens.merging import read_run
from noise_lens.run import Run

VIEW = "gradient"


@dataclass(frozen=True)
class Measured:
    """One group of one measurement of gradient noise.

    Attributes
    ----------
    run : Run
        That holds it.
    record : mapping
        Of the group.
    rows : ndarray of shape (R, d)
        Noise of the sampled coordinates.
    places : tuple of (str, int)
        Parameter of each coordinate, and index in it.
    differences : bool
        Whether rows are differences of two minibatches.
    largest : ndarray of shape (d,)
        Largest magnitude that each coordinate showed.
    loss_error : float
        Standard error of the record's mean loss.
    coordinates : Verdict
        On the rows.
    projections : Verdict or None
        On random projections; None where the group is too small.
    together : SharedScale
        How magnitudes of one minibatch go together.
    """

    run: Run
    record: Mapping[str, Any]
    rows: NDArray[np.float64]
    places: tuple[tuple[str, int], ...]
    differences: bool
    largest: NDArray[np.float64]
    loss_error: float
    coordinates: Verdict
    projections: Verdict | None
    together: SharedScale

    @property
    def settings(self) -> dict[str, Any]:
        """What was asked, from the manifest."""
        found: dict[str, Any] = self.run.manifest.get("settings", {})
        return found

    @property
    def variances(self) -> NDArray[np.float64]:
        """Mean square of the noise of one minibatch, coordinate by coordinate."""
        return np.asarray((self.rows**2).mean(axis=0) / (2 if self.differences else 1))

    @property
    def noise_energy(self) -> float:
        """Mean square of the noise of one minibatch, over all parameters of the group."""
        energy: float = self.record["noise_energy"]
        # Rows centred by the probe's mean are single minibatches on disk.
        return energy / 2 if self.record["reference"] == "pair" else energy


def measured(run: str | Path | Run, step: int | None, group: str) -> Measured:
    """Read one group of one measurement.

    Parameters
    ----------
    run : str or Path or Run
        A run folder, not a comparison.
    step : int or None
        Training step; the last measured one if None.
    group : str
        Its name.

    Returns
    -------
    Measured
        With verdicts, judged now where the folder has none.

    Raises
    ------
    RunFolderError
        It is a comparison, or holds no such measurement.
    """
    run = run if isinstance(run, Run) else read_run(run)
    if run.runs:
        runs = list(run.runs)
        raise RunFolderError(
            f"{run.folder} is a comparison of {len(runs)} runs, and a prediction is of one. Name "
            f"one: {run.folder / runs[0]}"
        )
    steps = sorted({record["step"] for record in run.records if record["view"] == VIEW})
    if not steps:
        raise RunFolderError(f"{run.folder} holds no finished measurement of gradient noise")
    step = steps[-1] if step is None else step
    verdict = verdict_at(run, step=step, group=group, of="coordinates", view=VIEW)
    record = next(
        r for r in run.records if (r["step"], r["view"], r["group"]) == (step, VIEW, group)
    )
    arrays = run.sketch(record)
    rows = judged_rows(arrays["coordinates"], record["reference"])
    names = run.manifest.get("tensors")
    if not names:
        raise RunFolderError(
            f"the manifest of {run.folder} names no tensors, so its coordinates cannot be found "
            "in a model. Measure again with this version."
        )
    # The losses of several ranks lie in their parts; the mean of all is in the record.
    whole = run.world_size == 1
    losses = run.shared_arrays(record["part"])["losses"] if whole else np.empty(0)
    return Measured(
        run=run,
        record=record,
        rows=rows,
        places=tuple((names[int(t)], int(index)) for t, index in arrays["positions"]),
        differences=record["reference"] != "full",
        largest=np.abs(rows).max(axis=0),
        loss_error=float(np.std(losses, ddof=1) / len(losses) ** 0.5) if len(losses) > 1 else 0.0,
        coordinates=verdict,
        projections=verdict_at(run, step=step, group=group, of="projections", view=VIEW)
        if record["projections_n_columns"]
        else None,
        together=shared_scale(rows),
    )
