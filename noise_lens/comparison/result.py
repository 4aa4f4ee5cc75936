"""What a comparison found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noise_lens.contrasts import Decomposition, comparison_table, decompose, differences
from noise_lens.record import table_rows
from noise_lens.run import Run


@dataclass(frozen=True)
class Comparison:
    """What several optimizers did to the noise of one task.

    Attributes
    ----------
    runs : dict of str to list of dict
        ``<optimizer>-s<seed>`` -> records, one a view, group and probed step.
    diverged : dict of str to int
        Runs whose training loss was not finite, or above 1,000 times that of the initial weights
        -> the step at which that was seen.
    folder : Path or None
        The run folder, if one was written.
    settings : dict
        What was asked, and the learning rates.
    tuning : dict
        Optimizer -> learning rate -> loss on the examples held out of training; empty where
        rates were not tuned.
    """

    runs: dict[str, list[dict[str, Any]]]
    diverged: dict[str, int]
    folder: Path | None
    settings: dict[str, Any] = field(repr=False)
    tuning: dict[str, dict[str, float | None]] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        names = ", ".join(self.settings["optimizers"])
        lost = f", {len(self.diverged)} diverged" if self.diverged else ""
        return (
            f"Comparison({self.settings['task']}, {names}, "
            f"{len(self.settings['seeds'])} seeds{lost}; "
            "see .summary(), .differences(), .decompose(optimizer), .table())"
        )

    def table(self) -> list[dict[str, Any]]:
        """Return one row per optimizer, seed, step, view, group and kind of rows.

        Returns
        -------
        list of dict
            As :meth:`Measurement.table`, with ``seed``, the metrics, ``optimizer`` (that of the
            run) and ``view_of`` (the class of the optimizer that a view belongs to).
        """
        rows = []
        for name, records in self.runs.items():
            optimizer, _, seed = name.rpartition("-s")
            for record in records:
                for row in table_rows(record):
                    named = {"optimizer": optimizer, "seed": int(seed)}
                    whose = {"view_of": row["optimizer"]}
                    rows.append({**named, **(row | named), **whose, **record["metrics"]})
        return rows

    def summary(self, *, group: str = "all", step: int | None = None) -> list[dict[str, Any]]:
        """Return one row an optimizer: tails of every view, accuracy and generalisation gap.

        Parameters
        ----------
        group : str
            Of parameters.
        step : int, optional
            The last probed one if not given.

        Returns
        -------
        list of dict
            Means over seeds with their intervals; see
            :func:`noise_lens.contrasts.comparison_table`.
        """
        return [row.row() for row in comparison_table(self.as_run(), group=group, step=step)]

    def differences(self, **options: Any) -> list[dict[str, Any]]:
        """Return paired differences from the baseline, with intervals over seeds.

        Parameters
        ----------
        **options : Any
            As for :func:`noise_lens.contrasts.differences`: ``baseline``, ``views``, ``groups``,
            ``matched_by`` = "step", "epoch" or "loss".

        Returns
        -------
        list of dict
            One an optimizer, view, group, quantity and place.
        """
        return [found.row() for found in differences(self.as_run(), **options)]

    def decompose(self, optimizer: str, **options: Any) -> Decomposition:
        """Return how much of an optimizer's difference averaging explains.

        Parameters
        ----------
        optimizer : str
            One of the comparison, not the baseline.
        **options : Any
            As for :func:`noise_lens.contrasts.decompose`.

        Returns
        -------
        Decomposition
            With closed-form predictions beside what was measured.
        """
        return decompose(self.as_run(), optimizer=optimizer, **options)

    def as_run(self) -> Run:
        """Return the comparison as a run folder would be read: for ``noise_lens.contrasts``."""
        folder = self.folder or Path(self.settings["task"])
        runs = {}
        for name, records in self.runs.items():
            optimizer, _, seed = name.rpartition("-s")
            settings = run_settings(self.settings, optimizer, int(seed))
            lost_at = self.diverged.get(name)
            closed = {"status": "finished" if lost_at is None else "diverged"}
            if lost_at is not None:
                closed["diverged_at"] = str(lost_at)
            manifest = {"settings": settings, "kind": "run"}
            runs[name] = Run(folder / name, manifest, records, closed)
        manifest = {"settings": self.settings, "kind": "comparison"}
        return Run(folder, manifest, [], {"status": "finished"}, runs=runs)


def run_settings(settings: dict[str, Any], optimizer: str, seed: int) -> dict[str, Any]:
    """Return the settings of one run of a comparison.

    Parameters
    ----------
    settings : dict
        Of the comparison.
    optimizer : str
        Name.
    seed : int
        Of the run.

    Returns
    -------
    dict
        Without what other runs alone depend on.
    """
    others: Sequence[str] = ("optimizers", "seeds", "tuning")
    rates = {optimizer: settings["learning_rates"][optimizer]}
    kept = {key: value for key, value in settings.items() if key not in others}
    return {**kept, "learning_rates": rates, "optimizer": optimizer, "seed": seed}
