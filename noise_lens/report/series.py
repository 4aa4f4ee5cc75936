"""The runs of one optimizer over its seeds, or one measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from noise_lens.contrasts import SeedMean, mean_over_seeds
from noise_lens.inference.seeds import OverSeeds
from noise_lens.judging import stored_verdict
from noise_lens.report.verdicts import LabelCount, count_labels
from noise_lens.report.views import VIEWS, ViewRow, estimate_over, view_rows
from noise_lens.run import METHODS, Run


@dataclass(frozen=True)
class Series:
    """The runs of one optimizer, or one measurement.

    Attributes
    ----------
    label : str
        The optimizer's or the folder's name.
    runs : tuple of Run
        One a seed; diverged ones left out.
    n_diverged : int
        How many were left out.
    view : str
        The view that is meant where none is named.
    """

    label: str
    runs: tuple[Run, ...]
    n_diverged: int
    view: str = VIEWS[0]

    @property
    def steps(self) -> list[int]:
        """Steps at which any run measured the view."""
        return self.steps_of(self.view)

    def steps_of(self, view: str) -> list[int]:
        """Return the steps at which any run measured a view."""
        return sorted(
            {
                record["step"]
                for run in self.runs
                for record in run.records
                if record["view"] == view
            }
        )

    @property
    def last_step(self) -> int | None:
        """The last step at which any run measured any view; None if none did."""
        return max((record["step"] for run in self.runs for record in run.records), default=None)

    def records(self, step: int, group: str, view: str | None = None) -> list[dict[str, Any]]:
        """Return the record of each run that has one."""
        return [
            record
            for run in self.runs
            for record in run.records
            if (record["step"], record["group"], record["view"]) == (step, group, view or self.view)
        ]

    def estimate(
        self, step: int, group: str, of: str, method: str = METHODS[0], view: str | None = None
    ) -> OverSeeds:
        """Return the tail index at a step, over the seeds."""
        return estimate_over(self.records(step, group, view), of, method)

    def published(self, step: int) -> SeedMean:
        """Return the pooled estimator of the literature at a step, over the seeds."""
        found = [record.get("published_alpha") for record in self.records(step, "all", VIEWS[0])]
        return mean_over_seeds([float("nan") if value is None else float(value) for value in found])

    def views_at(self, step: int) -> list[ViewRow]:
        """Return every view of group ``all`` at a step."""
        found = [record for run in self.runs for record in run.records]
        return view_rows([r for r in found if (r["step"], r["group"]) == (step, "all")])

    def labels(self, step: int, group: str, of: str, view: str | None = None) -> list[LabelCount]:
        """Return the labels that stand in the records of a step, counted over the seeds."""
        found = [stored_verdict(record, of) for record in self.records(step, group, view)]
        return count_labels([verdict for verdict in found if verdict is not None])

    def metric(self, step: int, key: str) -> list[float]:
        """Return a metric of each run at a step."""
        found = [record["metrics"].get(key) for record in self.records(step, "all")]
        return [value for value in found if value is not None]

    def metric_keys(self) -> list[str]:
        """Return the names of the metrics, loss before others and train before test."""
        keys = {key for run in self.runs for record in run.records for key in record["metrics"]}
        return sorted(keys, key=place_of_metric)


def place_of_metric(key: str) -> tuple[bool, bool, str]:
    """Return where a metric stands: loss before others, train before test."""
    return (not key.endswith("loss"), key.startswith("test"), key)
