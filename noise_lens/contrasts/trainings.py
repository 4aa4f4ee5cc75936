"""The training runs of a comparison, by optimizer and seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from noise_lens.errors import RunFolderError
from noise_lens.run import Run

# Runs that differ in one of these are of different experiments.
_SHARED = ("task", "task_arguments", "mode", "n_minibatches", "n_examples")
_OF_AN_OPTIMIZER = ("learning_rate", "batch_size")


@dataclass(frozen=True)
class Training:
    """One training run.

    Attributes
    ----------
    optimizer : str
        Its name.
    seed : int
        Of the initial weights and the order of minibatches.
    run : Run
        Its folder as it was read.
    settings : dict
        What was asked, with ``n_examples`` and ``learning_rate``; None where it is not known.
    diverged : bool
        Whether its loss left the finite numbers.
    records : dict
        By step, view and group.
    metrics : dict
        Of the weights, by every step that was probed, the first first.
    """

    optimizer: str
    seed: int
    run: Run = field(repr=False)
    settings: dict[str, Any] = field(repr=False)
    diverged: bool
    records: dict[tuple[int, str, str], dict[str, Any]] = field(repr=False)
    metrics: dict[int, dict[str, float]] = field(repr=False)

    @property
    def name(self) -> str:
        """As its folder is called."""
        return f"{self.optimizer}-s{self.seed}"

    @property
    def steps(self) -> list[int]:
        """Steps that were probed, the first first."""
        return list(self.metrics)

    def number(self, step: int, view: str, group: str, column: str) -> float:
        """Return a number of a record; NaN where there is no such record or number."""
        value = self.records.get((step, view, group), {}).get(column)
        return float("nan") if value is None else float(value)


Trainings = dict[str, dict[int, Training]]
"""By optimizer, in the order in which they were asked for, then by seed."""


def trainings_of(run: Run) -> Trainings:
    """Return the training runs of a comparison.

    Parameters
    ----------
    run : Run
        A comparison, as :func:`noise_lens.read_run` or :func:`combine` returns it.

    Returns
    -------
    dict of str to dict of int to Training
        By optimizer, in the order in which they were asked for, then by seed; diverged runs are
        among them and marked.

    Raises
    ------
    RunFolderError
        It is no comparison, or none of its runs has begun.
    """
    kind = run.manifest.get("kind")
    if kind != "comparison":
        raise RunFolderError(
            f"{run.folder} is no comparison, its manifest says {kind!r}: there is no second "
            "optimizer to compare with. Name a folder that `noise-lens compare -o` wrote."
        )
    asked = run.manifest.get("settings", {}).get("optimizers", [])
    found: Trainings = {name: {} for name in asked}
    for name, child in run.runs.items():
        settings = child.manifest.get("settings", {})
        optimizer, seed = settings.get("optimizer"), settings.get("seed")
        # A folder of another name is not of the comparison: a grid of learning rates, say.
        if name == f"{optimizer}-s{seed}":
            found.setdefault(optimizer, {})[seed] = _training(run, child, optimizer, seed)
    found = {name: dict(sorted(own.items())) for name, own in found.items() if own}
    if not found:
        raise RunFolderError(
            f"{run.folder} is a comparison without a run yet. "
            "Let it reach its first probe, or start it again: it resumes."
        )
    return found


@dataclass(frozen=True)
class Pairs:
    """The runs of two optimizers that share a seed, and did not diverge.

    Attributes
    ----------
    runs : tuple of (Training, Training)
        By seed: the optimizer's and the baseline's.
    n_seeds : int
        That any of the two was asked for.
    n_diverged : int
        Of these, the seeds at which one of the two diverged.
    """

    runs: tuple[tuple[Training, Training], ...]
    n_seeds: int
    n_diverged: int


def pairs_of(own: Mapping[int, Training], other: Mapping[int, Training]) -> Pairs:
    """Return the runs of two optimizers that share a seed.

    Parameters
    ----------
    own, other : mapping of int to Training
        By seed: the optimizer's and the baseline's.

    Returns
    -------
    Pairs
        A run that diverged is left out with its partner, also where it was still finite: at
        every place the same seeds are compared.
    """
    seeds = sorted({*own, *other})
    diverged = {s for s in seeds for side in (own, other) if s in side and side[s].diverged}
    kept = [s for s in seeds if s in own and s in other and s not in diverged]
    return Pairs(tuple((own[s], other[s]) for s in kept), len(seeds), len(diverged))


def baseline_of(run: Run, baseline: str | None = None) -> str:
    """Return with which optimizer the others are compared.

    Parameters
    ----------
    run : Run
        A comparison.
    baseline : str, optional
        Its name; that of the manifest if not given, else sgd, else the first.

    Returns
    -------
    str
        The name of one of its optimizers.

    Raises
    ------
    ValueError
        The comparison has no such optimizer.
    """
    names = list(trainings_of(run))
    if baseline is None:
        kept = run.manifest.get("settings", {}).get("baseline")
        baseline = kept or ("sgd" if "sgd" in names else names[0])
    return require_optimizer(run, names, baseline)


def require_optimizer(run: Run, names: Iterable[str], optimizer: str) -> str:
    """Return the name, if the comparison has such an optimizer.

    Parameters
    ----------
    run : Run
        The comparison, for the message.
    names : iterable of str
        What it has.
    optimizer : str
        What was asked.

    Returns
    -------
    str
        `optimizer`.

    Raises
    ------
    ValueError
        It has no such optimizer.
    """
    if optimizer not in names:
        raise ValueError(
            f"{run.folder} has no runs of {optimizer!r}; its optimizers are {', '.join(names)}"
        )
    return optimizer


def combine(runs: Sequence[Run]) -> Run:
    """Return the comparisons of several folders as one: more seeds, or more optimizers.

    Parameters
    ----------
    runs : sequence of Run
        Comparisons of the same task, arguments, mode, number of examples and of minibatches a
        probe. An optimizer that is in several must have other seeds there, and the same learning
        rate and batch size; other optimizers may have another batch size, and are then matched by
        epoch or by training loss.

    Returns
    -------
    Run
        With the folder of the first, and the runs of all.

    Raises
    ------
    RunFolderError
        One is no comparison, two are of different tasks, or hold the same run.
    ValueError
        There is none.
    """
    if not runs:
        raise ValueError("combine needs one comparison or more, got none")
    kept: dict[str, Training] = {}
    for run in runs:
        for own in trainings_of(run).values():
            for training in own.values():
                for other in kept.values():
                    _require_alike(other, training)
                kept[training.name] = training
    if len(runs) == 1:
        return runs[0]
    every = [run.manifest.get("settings", {}) for run in runs]
    settings = {
        **every[0],
        "optimizers": _union(own.get("optimizers", ()) for own in every),
        "seeds": _union(own.get("seeds", ()) for own in every),
    }
    return replace(
        runs[0],
        manifest=runs[0].manifest | {"settings": settings},
        runs={name: _told(training) for name, training in kept.items()},
        closed=None if any(run.closed is None for run in runs) else runs[0].closed,
        warnings=[warning for run in runs for warning in run.warnings],
    )


def _union(lists: Iterable[Iterable[Any]]) -> list[Any]:
    return list(dict.fromkeys(one for own in lists for one in own))


def _told(training: Training) -> Run:
    """Return the run with what only the comparison above it knew."""
    settings = training.run.manifest["settings"] | {"n_examples": training.settings["n_examples"]}
    return replace(training.run, manifest=training.run.manifest | {"settings": settings})


def _training(run: Run, child: Run, optimizer: str, seed: int) -> Training:
    settings = dict(child.manifest["settings"])
    for manifest in (child.manifest, run.manifest.get("settings", {}), run.manifest):
        if settings.get("n_examples") is None:
            settings["n_examples"] = manifest.get("n_examples")
    settings["learning_rate"] = settings.get("learning_rates", {}).get(optimizer)
    return Training(
        optimizer,
        int(seed),
        child,
        settings,
        diverged=(child.closed or {}).get("status") == "diverged",
        records={(r["step"], r["view"], r["group"]): r for r in child.records},
        # Every record of a step holds those of its weights.
        metrics={r["step"]: dict(r["metrics"] or {}) for r in child.records},
    )


def _require_alike(one: Training, other: Training) -> None:
    folders = f"{one.run.folder} and {other.run.folder}"
    if one.name == other.name:
        raise RunFolderError(
            f"{folders} are the same optimizer and seed: one of them would be counted twice. "
            "Combine folders with different seeds or optimizers."
        )
    if different := _differences(one.settings, other.settings, _SHARED):
        raise RunFolderError(
            f"{folders} cannot be compared: {different}. Compare runs of one task that were "
            "probed alike."
        )
    same = one.optimizer == other.optimizer
    if same and (different := _differences(one.settings, other.settings, _OF_AN_OPTIMIZER)):
        raise RunFolderError(
            f"{folders} are no seeds of one optimizer: {different}. "
            "Combine folders in which it was trained alike."
        )


def _differences(one: Mapping[str, Any], other: Mapping[str, Any], keys: Sequence[str]) -> str:
    return "; ".join(
        f"{key} {one.get(key)!r} and {other.get(key)!r}"
        for key in keys
        if one.get(key) != other.get(key)
    )
