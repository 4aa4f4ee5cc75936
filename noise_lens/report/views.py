"""Which noise a section is about, and what every view of it reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from noise_lens.contrasts import SeedMean, mean_over_seeds
from noise_lens.inference.seeds import OverSeeds, over_seeds
from noise_lens.judging import FEWEST_ROWS_OF_A_VIEW, is_judged, stored_verdict
from noise_lens.report.verdicts import KINDS, LabelCount, count_labels
from noise_lens.run import METHODS

VIEWS = ("gradient", "momentum", "update", "transformed", "trajectory")
"""In the order of a page; the first that there is has the page's figures."""
MEANING = {
    "gradient": "of minibatch gradients",
    "momentum": "of bias-corrected averages of independent minibatch gradients at frozen weights, "
    "as the optimizer's first moment averages them",
    "update": "of the optimizer's own next step, from its state and one minibatch",
    "transformed": "of what the optimizer makes of a minibatch gradient before it averages",
    "trajectory": "of averages of gradients along training's own steps, a full gradient "
    "subtracted at each",
}


def in_order(views: Iterable[str]) -> list[str]:
    """Return the views that there are, in the order of a page.

    Parameters
    ----------
    views : iterable of str
        As records name them.

    Returns
    -------
    list of str
        Each once; those that are not known here come last.
    """
    there = list(dict.fromkeys(views))
    return sorted(there, key=lambda view: VIEWS.index(view) if view in VIEWS else len(VIEWS))


def minibatches_a_row(record: dict[str, Any]) -> int:
    """Return how many minibatch gradients a row of a record is made of.

    Parameters
    ----------
    record : dict
        Of any view.

    Returns
    -------
    int
        Twice the window where a row is the difference of two.
    """
    return int(record.get("window") or 1) * (1 if record["reference"] == "full" else 2)


def estimate_over(
    records: Sequence[dict[str, Any]], of: str, method: str = METHODS[0]
) -> OverSeeds:
    """Return the tail index of one kind of rows, over the seeds.

    Parameters
    ----------
    records : sequence of dict
        One a seed.
    of, method : str
        Which rows, and by which estimator.

    Returns
    -------
    OverSeeds
        Of the records that have an estimate.
    """
    values, lows, highs = (
        [_number(record[f"{of}_{method}_{name}"]) for record in records]
        for name in ("alpha", "low", "high")
    )
    if method == METHODS[0]:
        return over_seeds(values, lows, highs, upper=2.0)
    return over_seeds(values, lows, highs, reciprocal=True)


@dataclass(frozen=True)
class ViewRow:
    """One view of the noise at one step of a series, over its seeds.

    Attributes
    ----------
    view : str
        Which noise.
    record : dict
        Of the first seed: reference, decay, whose view it is.
    n_rows : tuple of int
        Numbers of rows that occur over the seeds.
    """

    view: str
    record: dict[str, Any]
    n_rows: tuple[int, ...]
    _records: tuple[dict[str, Any], ...]

    @property
    def minibatches_a_row(self) -> int:
        """How many minibatch gradients a row is made of."""
        return minibatches_a_row(self.record)

    def estimate(self, of: str) -> OverSeeds:
        """Return the tail index, over the seeds."""
        return estimate_over(self._records, of)

    def kurtosis(self, of: str) -> SeedMean:
        """Return the excess kurtosis, over the seeds."""
        return mean_over_seeds(
            [_number(record.get(f"{of}_excess_kurtosis")) for record in self._records]
        )

    def labels(self, of: str) -> list[LabelCount]:
        """Return the labels that stand in the records, counted over the seeds."""
        found = [stored_verdict(record, of) for record in self._records]
        return count_labels([verdict for verdict in found if verdict is not None])

    @property
    def n_runs(self) -> int:
        """Seeds."""
        return len(self._records)

    @property
    def why_no_verdict(self) -> str:
        """Why there is no label, where there is none."""
        if any(is_judged(record["view"], record["n_rows"]) for record in self._records):
            return "not judged"
        return f"no verdict under {FEWEST_ROWS_OF_A_VIEW} rows"


def view_rows(records: Sequence[dict[str, Any]]) -> list[ViewRow]:
    """Return the views at one step of a series.

    Parameters
    ----------
    records : sequence of dict
        Of one group and step, of any views and seeds.

    Returns
    -------
    list of ViewRow
        In the order of a page.
    """
    rows = []
    for view in in_order(record["view"] for record in records):
        own = tuple(record for record in records if record["view"] == view)
        n_rows = tuple(sorted({int(record["n_rows"]) for record in own}))
        rows.append(ViewRow(view, own[0], n_rows, own))
    return rows


def has_estimate(records: Iterable[dict[str, Any]], of: str) -> bool:
    """Return whether any record has a tail index of a kind of rows."""
    return any(record[f"{of}_{METHODS[0]}_alpha"] is not None for record in records)


def kinds_with_estimates(records: Sequence[dict[str, Any]]) -> list[str]:
    """Return the kinds of rows that any record has a tail index of."""
    return [of for of in KINDS if has_estimate(records, of)]


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
