"""How much of an optimizer's lighter or heavier tail is averaging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from noise_lens.contrasts.pairing import PairedDifference, SeedMean
from noise_lens.contrasts.parts import AVERAGES, RAW, Parts
from noise_lens.contrasts.predictions import Prediction
from noise_lens.contrasts.quantities import TAILS
from noise_lens.contrasts.ratio import Ratio
from noise_lens.contrasts.trainings import (
    Pairs,
    baseline_of,
    pairs_of,
    require_optimizer,
    trainings_of,
)
from noise_lens.errors import RunFolderError
from noise_lens.run import KINDS, Run

TERMS = ("apparent", "averaging", "weights", "remainder")
"""The differences of a decomposition, in the order in which they are told."""


@dataclass(frozen=True)
class Level:
    """One view of the noise at one optimizer's weights.

    Attributes
    ----------
    weights : str
        The optimizer.
    view : str
        Which noise.
    value : SeedMean
        Over seeds.
    """

    weights: str
    view: str
    value: SeedMean


@dataclass(frozen=True)
class Decomposition:
    """The gap between an optimizer's own noise and the baseline's raw noise, in parts.

    ``apparent = averaging + remainder``, seed by seed: what the literature would call the
    optimizer's lighter tail is what an average does to the baseline's noise, and what is left.

    Attributes
    ----------
    optimizer, baseline : str
        A and B.
    group, of, quantity : str
        Of which rows, and which number: ``alpha`` or ``excess_kurtosis``.
    step : int
        Of training.
    averaged : str
        The view of averages: ``momentum`` or ``trajectory``.
    levels : tuple of Level
        What the parts are made of, and the other views at the same weights.
    apparent : PairedDifference
        Averages at A's weights - raw noise at B's weights.
    averaging : PairedDifference
        Averages at B's weights - raw noise at B's weights: no other optimizer is involved.
    weights : PairedDifference
        Raw noise at A's weights - raw noise at B's weights: what an optimizer changes by where
        it goes.
    remainder : PairedDifference
        Averages at A's weights - averages at B's weights.
    share : Ratio
        averaging / apparent, with Fieller's interval; withheld where the apparent gap is not told
        from 0.
    predictions : tuple of Prediction
        What two laws predict of the averages, at both weights.
    n_diverged : int
        Seeds left out because one of the two runs diverged.
    """

    optimizer: str
    baseline: str
    group: str
    of: str
    quantity: str
    step: int
    averaged: str
    levels: tuple[Level, ...]
    apparent: PairedDifference
    averaging: PairedDifference
    weights: PairedDifference
    remainder: PairedDifference
    share: Ratio
    predictions: tuple[Prediction, ...]
    n_diverged: int

    def level(self, weights: str, view: str) -> SeedMean | None:
        """Return a view at an optimizer's weights; None where no seed measured it."""
        found = (one.value for one in self.levels if (one.weights, one.view) == (weights, view))
        return next(found, None)

    def rows(self) -> list[dict[str, Any]]:
        """Return levels, terms and the share, ready for ``pandas.DataFrame``.

        Returns
        -------
        list of dict
            ``part`` is "level", "term" or "share"; ``name`` the view, the term or ``averaging``;
            ``weights`` the optimizer of a level.
        """
        shared = ("optimizer", "baseline", "group", "of", "quantity", "step")
        head = {name: getattr(self, name) for name in shared}
        parts: list[tuple[str, str, str | None, Any]] = [
            *(("level", one.view, one.weights, one.value) for one in self.levels),
            *(("term", name, None, getattr(self, name)) for name in TERMS),
        ]
        rows = [
            {**head, "part": part, "name": name, "weights": weights, **asdict(value)}
            for part, name, weights, value in parts
        ]
        share = asdict(self.share)
        share["mean"] = share.pop("value")
        rows.append({**head, "part": "share", "name": "averaging", "weights": None, **share})
        absent = {"pvalue": float("nan"), "claim": None}
        return [{**absent, **row} for row in rows]


def decompose(
    run: Run,
    *,
    optimizer: str,
    baseline: str | None = None,
    group: str = "all",
    of: str = "projections",
    step: int | None = None,
    quantity: str = "alpha",
    averaged: str = "momentum",
) -> Decomposition:
    """Return how much of an optimizer's lighter or heavier tail is averaging.

    Parameters
    ----------
    run : Run
        A comparison with the views ``gradient`` and `averaged`.
    optimizer : str
        A, whose tail is to be explained.
    baseline : str, optional
        B; that of the manifest if not given, else sgd, else the first.
    group : str
        Which parameters.
    of : {"projections", "coordinates"}
        Which rows.
    step : int, optional
        A probed step; the last that both have if not given.
    quantity : {"alpha", "excess_kurtosis"}
        The number that is taken apart.
    averaged : {"momentum", "trajectory"}
        The view of averages.

    Returns
    -------
    Decomposition
        Parts that cannot be had say why. Seeds that miss one of the four numbers are left out of
        all parts, so that these add up.

    Raises
    ------
    RunFolderError
        It is no comparison.
    ValueError
        There is no such optimizer, group, step, kind of rows or quantity.
    """
    trainings = trainings_of(run)
    baseline = baseline_of(run, baseline)
    if require_optimizer(run, trainings, optimizer) == baseline:
        raise ValueError(f"{optimizer!r} is the baseline itself: name another optimizer")
    _require("of", of, KINDS)
    _require("quantity", quantity, tuple(TAILS))
    _require("averaged", averaged, AVERAGES)
    pairs = pairs_of(trainings[optimizer], trainings[baseline])
    every = [t for name in (optimizer, baseline) for t in trainings[name].values()]
    step = _step_of(run, pairs, [step for t in every for step in t.steps], step)
    _require("group", group, sorted({key[2] for t in every for key in t.records}))
    parts = Parts((optimizer, baseline), pairs, step, group, of, quantity, averaged)
    own, other = (0, averaged), (1, averaged)
    # With another average at the optimizer's weights, the baseline's is not what its own does.
    unlike = parts.why_not(own, other)
    return Decomposition(
        optimizer, baseline, group, of, quantity, step, averaged,
        levels=tuple(Level(*place, value) for place, value in parts.levels()),
        apparent=parts.difference(own, (1, RAW)),
        averaging=parts.difference(other, (1, RAW), reason=unlike),
        weights=parts.difference((0, RAW), (1, RAW)),
        remainder=parts.difference(own, other),
        share=parts.share(),
        predictions=parts.predictions(),
        n_diverged=pairs.n_diverged,
    )  # fmt: skip


def _require(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")


def _step_of(run: Run, pairs: Pairs, every: Sequence[int], step: int | None) -> int:
    """Return the step: the last that both runs of a pair have, or the one that was asked for."""
    both = sorted({s for own, other in pairs.runs for s in {*own.steps} & {*other.steps}})
    known = both or sorted(set(every))
    if not known:
        raise RunFolderError(
            f"{run.folder} holds no finished measurement yet. "
            "Let the run reach its first probe, or start it again: it resumes."
        )
    if step is not None and step not in known:
        raise ValueError(f"step must be one of {', '.join(map(str, known))}, got {step}")
    return known[-1] if step is None else step
