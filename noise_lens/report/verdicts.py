"""The verdicts of a report: one a seed and a kind of rows, counted and never merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from noise_lens.inference import GaussianisingBatchSize, Verdict, gaussianising_batch_size
from noise_lens.inference.rule import LEVEL
from noise_lens.inference.verdict import ASSUMPTION, WORDS
from noise_lens.judging import examples_a_row, stored_verdict, verdicts_of_run
from noise_lens.run import Run

KINDS = ("projections", "coordinates")  # the headline first
HEAVIEST_FIRST = (
    "stable", "point-mass", "drifting", "gaussianising", "inconclusive", "gaussian", "unusable",
)  # fmt: skip
"""What a reader should see first, first."""


@dataclass(frozen=True)
class SeedVerdicts:
    """The verdicts of group ``all`` at one step of one run.

    Attributes
    ----------
    name : str
        Of the run: its seed, or its folder.
    record : dict
        Of the group.
    verdicts : dict of str to Verdict
        By kind of rows; a kind that has no rows is left out, and so are all where there are too
        few rows to judge.
    stored : bool
        Whether they were in the record; else the sketch was judged for this report.
    """

    name: str
    record: dict[str, Any]
    verdicts: dict[str, Verdict]
    stored: bool

    def gaussianising(self, of: str) -> GaussianisingBatchSize | None:
        """Return the Gaussianising batch size, None where there is nothing to say."""
        if self.record.get("view", "gradient") != "gradient":
            return None  # rows of other views are of no batch size
        verdict = self.verdicts.get(of)
        batch_size = examples_a_row(self.record["batch_size"], self.record["reference"])
        if verdict is None or batch_size is None or not verdict.block_sizes:
            return None
        if verdict.evidence is not None:
            return gaussianising_batch_size(
                verdict.evidence.curve, batch_size, rejected=verdict.pvalue <= LEVEL
            )
        low, high = (self.record[f"{of}_gaussianising_{end}"] for end in ("low", "high"))
        if low is None or high is None:
            return None
        return GaussianisingBatchSize(low, high, verdict.block_sizes[-1] * batch_size)

    @property
    def is_stable(self) -> bool:
        """Whether a kind of rows is stable: tr(Sigma) would then be infinite."""
        return any(verdict.label == "stable" for verdict in self.verdicts.values())


@dataclass(frozen=True)
class LabelCount:
    """How many seeds have one label.

    Attributes
    ----------
    label : str
        The label.
    n : int
        Seeds.
    lighter : bool
        Whether all of them are gaussianising from tails lighter than Gaussian ones.
    """

    label: str
    n: int
    lighter: bool

    @property
    def sentences(self) -> str:
        """The label in plain words, and what it says of the heavy-tailed assumption."""
        words, found = WORDS[self.label], ASSUMPTION[self.label]
        if found == "cannot tell":
            said = "cannot tell whether the heavy-tailed assumption holds"
            return _sentences(said if words == found else f"{words}; {said}")
        lighter = ["single minibatches are lighter than Gaussian ones"] if self.lighter else []
        return _sentences(words, *lighter, f"the heavy-tailed assumption is {found}")


def count_labels(verdicts: Sequence[Verdict]) -> list[LabelCount]:
    """Return the labels that occur, the heaviest first.

    Parameters
    ----------
    verdicts : sequence of Verdict
        One a seed.

    Returns
    -------
    list of LabelCount
        Different labels stay apart.
    """
    by_label = {label: [v for v in verdicts if v.label == label] for label in HEAVIEST_FIRST}
    return [
        LabelCount(label, len(own), lighter=all(map(is_lighter, own)))
        for label, own in by_label.items()
        if own
    ]


def is_lighter(verdict: Verdict) -> bool:
    """Return whether noise is gaussianising from tails lighter than Gaussian ones.

    Parameters
    ----------
    verdict : Verdict
        Any.

    Returns
    -------
    bool
        Gaussianising noise that is not rejected as too heavy can only be too light.
    """
    return verdict.label == "gaussianising" and verdict.pvalue > LEVEL


@dataclass(frozen=True)
class SeriesVerdicts:
    """The verdicts of one series at its last step.

    Attributes
    ----------
    label : str
        The series.
    step : int
        Its last step.
    seeds : tuple of SeedVerdicts
        One a run that has this step.
    n_missing : int
        Runs that have not come so far.
    """

    label: str
    step: int
    seeds: tuple[SeedVerdicts, ...]
    n_missing: int

    def of(self, kind: str) -> list[tuple[SeedVerdicts, Verdict]]:
        """Return each seed that has such rows, with their verdict."""
        return [(seed, seed.verdicts[kind]) for seed in self.seeds if kind in seed.verdicts]

    def labels(self, kind: str) -> list[LabelCount]:
        """Return the labels that occur, counted."""
        return count_labels([verdict for _, verdict in self.of(kind)])


def seed_verdicts(run: Run, record: dict[str, Any]) -> SeedVerdicts:
    """Return the verdicts of one run, from its record or by judging its sketch.

    Parameters
    ----------
    run : Run
        A single run.
    record : dict
        Its record of group ``all``.

    Returns
    -------
    SeedVerdicts
        With evidence only where the sketch was judged.
    """
    stored = {of: stored_verdict(record, of) for of in KINDS}
    found = {of: verdict for of, verdict in stored.items() if verdict is not None}
    seed = run.manifest.get("settings", {}).get("seed")
    name = run.folder.resolve().name if seed is None else f"seed {seed}"
    if found:
        return SeedVerdicts(name, record, found, stored=True)
    # Views of an optimizer with few rows have an estimate and no verdict.
    judged = verdicts_of_run(run, [record]).get(record["group"], {})
    return SeedVerdicts(name, record, judged, stored=False)


def _sentences(*parts: str) -> str:
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in parts)
