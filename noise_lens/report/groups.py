"""The groups of a probe: the heaviest first, and the shares of each label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from noise_lens.inference import Verdict, shares_by_label
from noise_lens.judging import stored_verdict
from noise_lens.report.verdicts import HEAVIEST_FIRST, KINDS, LabelCount, count_labels


@dataclass(frozen=True)
class GroupRow:
    """One group at one step of a series.

    Attributes
    ----------
    name : str
        The group.
    records : tuple of dict
        One a seed.
    energy : float
        Its share of the squared noise norm of group ``all``, mean over seeds; NaN if unknown.
    verdicts : dict of str to tuple of Verdict
        By kind of rows, one a seed that was judged.
    """

    name: str
    records: tuple[dict[str, Any], ...]
    energy: float
    verdicts: dict[str, tuple[Verdict, ...]]

    def labels(self, of: str) -> list[LabelCount]:
        """Return the labels that occur, counted."""
        return count_labels(self.verdicts[of])


@dataclass(frozen=True)
class GroupTable:
    """All groups at one step of a series.

    Attributes
    ----------
    rows : tuple of GroupRow
        ``all`` first, then the heaviest label first; within a label by noise energy.
    n_judged : int
        Groups with a verdict of any seed.
    shares : dict of str to dict
        By kind of rows and label: shares of (parameters, noise energy) in groups that were
        judged; empty where that has no answer.
    overlap : bool
        Whether groups share parameters: they then have no shares.
    """

    rows: tuple[GroupRow, ...]
    n_judged: int
    shares: dict[str, dict[str, tuple[float, float]]]
    overlap: bool

    @property
    def labels(self) -> list[str]:
        """Labels that have a share, heaviest first."""
        present = {label for shares in self.shares.values() for label in shares}
        return [label for label in HEAVIEST_FIRST if label in present]


def group_table(groups: Sequence[str], records: Sequence[Sequence[dict[str, Any]]]) -> GroupTable:
    """Return groups in the order in which they should be read.

    Parameters
    ----------
    groups : sequence of str
        Names, ``all`` among them.
    records : sequence of sequence of dict
        Of each group: one a seed.

    Returns
    -------
    GroupTable
        Without groups that have no record.
    """
    whole = records[list(groups).index("all")]
    totals = [record["noise_energy"] for record in whole]
    rows = [
        GroupRow(name, tuple(own), _energy(own, totals), _verdicts(own))
        for name, own in zip(groups, records, strict=True)
        if own
    ]
    parts = [row for row in rows if row.name != "all"]
    n_all = max((record["n_parameters"] for record in whole), default=0)
    overlap = sum(row.records[0]["n_parameters"] for row in parts) > n_all
    return GroupTable(
        rows=tuple([row for row in rows if row.name == "all"] + sorted(parts, key=_place)),
        n_judged=sum(any(row.verdicts.values()) for row in parts),
        shares={} if overlap else _shares(parts),
        overlap=overlap,
    )


def _energy(own: Sequence[dict[str, Any]], totals: Sequence[float]) -> float:
    if len(own) != len(totals) or not all(totals):
        return float("nan")
    parts = [record["noise_energy"] for record in own]
    return float(np.mean(np.divide(parts, totals)))


def _verdicts(own: Sequence[dict[str, Any]]) -> dict[str, tuple[Verdict, ...]]:
    found = {of: [stored_verdict(record, of) for record in own] for of in KINDS}
    return {of: tuple(v for v in kind if v is not None) for of, kind in found.items()}


def _place(row: GroupRow) -> tuple[int, int, float]:
    ranks = [
        min((HEAVIEST_FIRST.index(v.label) for v in row.verdicts[of]), default=len(HEAVIEST_FIRST))
        for of in KINDS
    ]
    if not row.verdicts[KINDS[0]]:  # a few elements have no projections
        ranks[0] = ranks[1]
    return (ranks[0], ranks[1], -np.nan_to_num(row.energy))


def _shares(parts: Sequence[GroupRow]) -> dict[str, dict[str, tuple[float, float]]]:
    found = {}
    for of in KINDS:
        judged = [row for row in parts if len(row.verdicts[of]) == 1 == len(row.records)]
        if not judged:
            continue
        verdicts = [row.verdicts[of][0] for row in judged]
        parameters = [float(row.records[0]["n_parameters"]) for row in judged]
        energies = [float(np.nan_to_num(row.energy)) for row in judged]
        by_parameters = shares_by_label(verdicts, parameters)
        by_energy = shares_by_label(verdicts, energies)
        found[of] = {label: (by_parameters[label], by_energy[label]) for label in by_parameters}
    return found
