"""Verdicts of probes and of run folders, and how they stand in records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from noise_lens.errors import RunFolderError
from noise_lens.inference import Verdict, gaussianising_batch_size, judge_groups, judged_rows
from noise_lens.inference.artefacts import Artefact
from noise_lens.inference.rule import LEVEL
from noise_lens.run import KINDS, VERDICT_FIELDS, Run
from noise_lens.sketch import Sketch

Verdicts = dict[str, dict[str, Verdict]]
"""By group, then by kind of rows."""

_SEED = 0
FEWEST_ROWS_OF_A_VIEW = 200
"""Views of an optimizer with fewer rows get an estimate and no verdict."""


def is_judged(view: str, n_rows: int) -> bool:
    """Return whether rows of a view are judged.

    Parameters
    ----------
    view : str
        Which noise.
    n_rows : int
        That estimates are made of.

    Returns
    -------
    bool
        False for fewer than 200 rows of any view but ``gradient``: a row of an average takes many
        minibatches, and few rows look Gaussian.
    """
    return view == "gradient" or n_rows >= FEWEST_ROWS_OF_A_VIEW


def verdicts_of_sketch(
    sketch: Sketch,
    groups: Sequence[str] | None = None,
    *,
    on_group: Callable[[int], None] | None = None,
) -> Verdicts:
    """Judge the groups of a probe as one family a kind of rows.

    Parameters
    ----------
    sketch : Sketch
        Of a probe.
    groups : sequence of str, optional
        Names; all of them if not given.
    on_group : callable, optional
        Called with 1 when a group's evidence is there.

    Returns
    -------
    dict of str to dict of str to Verdict
        By group, then "coordinates" and "projections"; a kind that a group has no rows of is
        left out, and so is everything where :func:`is_judged` says no.
    """
    n_rows = len(judged_rows(sketch.groups[0].coordinates, sketch.reference))
    if not is_judged(sketch.view, n_rows):
        return {}
    chosen = [g for g in sketch.groups if groups is None or g.name in groups]
    rows = {
        of: {g.name: judged_rows(getattr(g, of), sketch.reference) for g in chosen} for of in KINDS
    }
    facts = {"sampling": sketch.sampling, "n_parameters": {g.name: g.n_parameters for g in chosen}}
    return _judged([g.name for g in chosen], rows, facts, on_group)


def verdicts_of_run(run: Run, records: Sequence[Mapping[str, Any]]) -> Verdicts:
    """Judge records of a run folder from their sketches, as one family a kind of rows.

    Parameters
    ----------
    run : Run
        The run.
    records : sequence of mapping
        Records of one step.

    Returns
    -------
    dict of str to dict of str to Verdict
        As :func:`verdicts_of_sketch`.
    """
    records = [record for record in records if is_judged(record["view"], record["n_rows"])]
    sketches = {record["group"]: run.sketch(record) for record in records}
    references = {record["group"]: record["reference"] for record in records}
    rows = {
        of: {name: judged_rows(arrays[of], references[name]) for name, arrays in sketches.items()}
        for of in KINDS
    }
    facts = {
        "sampling": records[0]["sampling"] if records else None,
        "n_parameters": {record["group"]: record["n_parameters"] for record in records},
    }
    return _judged(list(sketches), rows, facts, None)


def verdict_at(run: Run, *, step: int, group: str, of: str, view: str = "gradient") -> Verdict:
    """Return the verdict of one group at one step, from its record or by judging its sketch.

    Parameters
    ----------
    run : Run
        A single run, not a comparison.
    step : int
        Training step.
    group : str
        Name.
    of : {"coordinates", "projections"}
        Kind of rows.
    view : str
        Which noise.

    Returns
    -------
    Verdict
        Without its evidence if the record has it.

    Raises
    ------
    RunFolderError
        There is no such measurement, or its sketch cannot be read.
    """
    there = [r for r in run.records if r["view"] == view and r["step"] == step]
    record = next((r for r in there if r["group"] == group), None)
    if record is None:
        steps = sorted({r["step"] for r in run.records if r["view"] == view})
        groups = list(dict.fromkeys(r["group"] for r in there))
        raise RunFolderError(
            f"{run.folder} has no measurement of group {group!r}, view {view!r} at step {step}. "
            f"Steps: {', '.join(map(str, steps)) or 'none'}; groups there: "
            f"{', '.join(groups) or 'none'}."
        )
    if not is_judged(view, record["n_rows"]):
        raise RunFolderError(
            f"the view {view!r} has {record['n_rows']} rows at step {step}, and fewer than "
            f"{FEWEST_ROWS_OF_A_VIEW} give an estimate but no verdict. Measure more minibatches: "
            f"{record['n_minibatches'] // max(record['n_rows'], 1) * FEWEST_ROWS_OF_A_VIEW} or so."
        )
    found = stored_verdict(record, of) or verdicts_of_run(run, [record])[group].get(of)
    if found is None:
        raise RunFolderError(
            f"group {group!r} has no {of}: a projection needs at least four elements. "
            "Ask for its coordinates, or for a larger group."
        )
    return found


def examples_a_row(batch_size: int | None, reference: str) -> int | None:
    """Return how many examples a row of noise is as noisy as the mean of.

    Parameters
    ----------
    batch_size : int or None
        Examples a minibatch; None where sizes differ.
    reference : str
        What was subtracted. A difference of two minibatches has, but for skewness, the law of
        their sum: that of minibatches twice as large.

    Returns
    -------
    int or None
        Examples.
    """
    if batch_size is None:
        return None
    return batch_size if reference == "full" else 2 * batch_size


def verdict_columns(verdict: Verdict | None, of: str, batch_size: int | None) -> dict[str, Any]:
    """Return the columns of a record that hold a verdict.

    Parameters
    ----------
    verdict : Verdict or None
        None where it was not asked for: all columns are then None.
    of : str
        Kind of rows.
    batch_size : int or None
        Examples a row, by :func:`examples_a_row`.

    Returns
    -------
    dict
        By column.
    """
    values: dict[str, Any] = dict.fromkeys(VERDICT_FIELDS)
    if verdict is not None:
        values |= {
            "verdict": verdict.label,
            "verdict_alpha": verdict.alpha,
            "verdict_low": verdict.interval[0],
            "verdict_high": verdict.interval[1],
            "verdict_block_sizes": list(verdict.block_sizes),
            "verdict_pvalue": verdict.pvalue,
            "verdict_n_needed": verdict.n_needed,
            "verdict_reasons": list(verdict.reasons),
            "verdict_warnings": [warning._asdict() for warning in verdict.warnings],
        }
        if verdict.evidence is not None and batch_size is not None:
            found = gaussianising_batch_size(
                verdict.evidence.curve, batch_size, rejected=verdict.pvalue <= LEVEL
            )
            values["gaussianising_low"], values["gaussianising_high"] = found.low, found.high
    return {f"{of}_{name}": value for name, value in values.items()}


def stored_verdict(record: Mapping[str, Any], of: str) -> Verdict | None:
    """Return the verdict that a record holds, without its evidence.

    Parameters
    ----------
    record : mapping
        Of a run folder.
    of : str
        Kind of rows.

    Returns
    -------
    Verdict or None
        None where it was not asked for, or the group has no rows of this kind.
    """
    label = record[f"{of}_verdict"]
    if label is None:
        return None
    value = {name: record[f"{of}_verdict_{name}"] for name in (
        "alpha", "low", "high", "block_sizes", "pvalue", "n_needed", "reasons", "warnings"
    )}  # fmt: skip
    return Verdict(
        label=label,
        alpha=value["alpha"],
        interval=(value["low"], value["high"]),
        block_sizes=tuple(value["block_sizes"]),
        pvalue=value["pvalue"],
        of=of,
        reasons=tuple(value["reasons"]),
        warnings=tuple(Artefact(**warning) for warning in value["warnings"]),
        n_rows=record["n_rows"],
        n_needed=value["n_needed"],
    )


def _judged(
    names: Sequence[str],
    rows: Mapping[str, Mapping[str, ArrayLike]],
    facts: Mapping[str, Any],
    on_group: Callable[[int], None] | None,
) -> Verdicts:
    found: Verdicts = {name: {} for name in names}
    for of in KINDS:
        there = {name: part for name, part in rows[of].items() if np.shape(part)[1]}
        judged = judge_groups(
            there,
            of,
            np.random.default_rng(_SEED),
            centred=True,  # judged_rows are against the exact gradient, or pairs
            **facts,
            on_group=None if on_group is None else lambda _: on_group(1),
        )
        for name, verdict in judged.items():
            found[name][of] = verdict
    return found
