"""All optimizers of a comparison in one table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from noise_lens.contrasts.pairing import SeedMean, mean_over_seeds
from noise_lens.contrasts.quantities import tail_column, with_gaps
from noise_lens.contrasts.trainings import Training, trainings_of
from noise_lens.errors import RunFolderError
from noise_lens.inference.seeds import OverSeeds, over_seeds
from noise_lens.run import KINDS, METHODS, Run


@dataclass(frozen=True)
class Tail:
    """The tail of one view and kind of rows, over the seeds of one optimizer.

    Attributes
    ----------
    alpha : OverSeeds
        Student's interval over seeds, at least as wide as the probes' own.
    excess_kurtosis : SeedMean
        Student's interval over seeds.
    verdicts : dict of str to int
        How many seeds have which label, the most frequent first; none where nothing was judged.
    references : tuple of str
        What was subtracted: numbers of two references must not be compared.
    """

    alpha: OverSeeds
    excess_kurtosis: SeedMean
    verdicts: dict[str, int]
    references: tuple[str, ...]


@dataclass(frozen=True)
class TableRow:
    """One optimizer at one step of training.

    Attributes
    ----------
    optimizer : str
        Its name.
    step, group
        Where, and of which parameters.
    learning_rates : tuple of float
        One, unless seeds were trained with different ones; none where it is not recorded.
    n_seeds : int
        Runs that were probed at the step and did not diverge.
    n_diverged : int
        Runs that did.
    tails : dict of (str, str) to Tail
        By view, then "coordinates" or "projections"; those that a seed has records of.
    metrics : dict of str to SeedMean
        ``test/accuracy``, ``gap/loss`` and others, of the weights.
    """

    optimizer: str
    step: int
    group: str
    learning_rates: tuple[float, ...]
    n_seeds: int
    n_diverged: int
    tails: dict[tuple[str, str], Tail]
    metrics: dict[str, SeedMean]

    def row(self) -> dict[str, Any]:
        """Return the attributes flat, ready for ``pandas.DataFrame``.

        Returns
        -------
        dict
            ``<view>/<of>/alpha``, ``.../alpha_low``, ``.../alpha_high``, the same of
            ``excess_kurtosis``, ``.../verdicts`` and ``.../reference``; ``<metric>``,
            ``<metric>_low`` and ``<metric>_high``.
        """
        row: dict[str, Any] = {
            "optimizer": self.optimizer,
            "step": self.step,
            "group": self.group,
            "learning_rate": self.learning_rates[0] if len(self.learning_rates) == 1 else math.nan,
            "n_seeds": self.n_seeds,
            "n_diverged": self.n_diverged,
        }
        for (view, of), tail in self.tails.items():
            place = f"{view}/{of}"
            row |= _flat(f"{place}/alpha", tail.alpha)
            row |= _flat(f"{place}/excess_kurtosis", tail.excess_kurtosis)
            labels = [f"{label} {n}" for label, n in tail.verdicts.items()]
            row[f"{place}/verdicts"] = ", ".join(labels) or None
            row[f"{place}/reference"] = ", ".join(tail.references)
        for name, value in self.metrics.items():
            row |= _flat(name, value)
        return row


def comparison_table(run: Run, *, group: str = "all", step: int | None = None) -> list[TableRow]:
    """Return all optimizers of a comparison, one a row.

    Parameters
    ----------
    run : Run
        A comparison.
    group : str
        Which parameters.
    step : int, optional
        A probed step; the last if not given.

    Returns
    -------
    list of TableRow
        In the order in which optimizers were asked for. One whose runs all diverged has a row
        without numbers.

    Raises
    ------
    RunFolderError
        It is no comparison, or holds no finished measurement.
    ValueError
        There is no such group or step.
    """
    trainings = trainings_of(run)
    every = [training for own in trainings.values() for training in own.values()]
    steps = sorted({s for training in every if not training.diverged for s in training.steps})
    if not steps:
        raise RunFolderError(
            f"{run.folder} holds no finished measurement of a run that did not diverge. "
            "Let it reach its first probe, or train with a smaller learning rate."
        )
    groups = list(dict.fromkeys(key[2] for training in every for key in training.records))
    if group not in groups:
        raise ValueError(f"group must be one of {', '.join(groups)}, got {group!r}")
    if step is not None and step not in steps:
        raise ValueError(f"step must be one of {', '.join(map(str, steps))}, got {step}")
    at = steps[-1] if step is None else step
    return [_row(name, list(trainings[name].values()), at, group) for name in trainings]


def _row(optimizer: str, trainings: Sequence[Training], step: int, group: str) -> TableRow:
    kept = [t for t in trainings if not t.diverged and step in t.steps]
    places = dict.fromkeys(
        view for t in kept for at, view, of_group in t.records if (at, of_group) == (step, group)
    )
    tails: dict[tuple[str, str], Tail] = {}
    for view in places:
        records = [t.records[step, view, group] for t in kept if (step, view, group) in t.records]
        tails |= {(view, of): _tail(records, of) for of in KINDS}
    metrics = [with_gaps(t.metrics[step]) for t in kept]
    rates = dict.fromkeys(t.settings["learning_rate"] for t in trainings)
    return TableRow(
        optimizer,
        step,
        group,
        tuple(float(rate) for rate in rates if rate is not None),
        len(kept),
        sum(t.diverged for t in trainings),
        tails,
        {
            key: mean_over_seeds([own.get(key, math.nan) for own in metrics])
            for key in dict.fromkeys(key for own in metrics for key in own)
        },
    )


def _tail(records: Sequence[Mapping[str, Any]], of: str) -> Tail:
    values, lows, highs = (
        [_number(record[f"{of}_{METHODS[0]}_{name}"]) for record in records]
        for name in ("alpha", "low", "high")
    )
    labels = Counter(record[f"{of}_verdict"] for record in records)
    return Tail(
        over_seeds(values, lows, highs, upper=2.0),
        mean_over_seeds(
            [_number(record[tail_column(of, "excess_kurtosis")]) for record in records]
        ),
        {label: n for label, n in labels.most_common() if label is not None},
        tuple(dict.fromkeys(record["reference"] for record in records)),
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _flat(name: str, value: OverSeeds | SeedMean) -> dict[str, float]:
    return {name: value.mean, f"{name}_low": value.low, f"{name}_high": value.high}
