"""What is compared, and when two numbers may not be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from noise_lens.contrasts.pairing import WORDS
from noise_lens.run import METHODS

TAILS = {"alpha": f"{METHODS[0]}_alpha", "excess_kurtosis": "excess_kurtosis"}
"""Quantities of a record's rows -> the end of their column."""

_TAIL_WORDS = {"alpha": ("heavier", "lighter"), "excess_kurtosis": ("lighter", "heavier")}


_LIMIT = 2 - 1e-9


def tail_column(of: str, quantity: str) -> str:
    """Return the column of a record: that of ``alpha`` is the characteristic function's."""
    return f"{of}_{TAILS[quantity]}"


def words_of(quantity: str) -> tuple[str, str]:
    """Return what a difference of a quantity below 0 and one above 0 is called."""
    return _TAIL_WORDS.get(quantity, (WORDS[0], WORDS[1]))


def with_gaps(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics with the generalisation gaps, larger being worse.

    Parameters
    ----------
    metrics : mapping of str to float
        ``train/loss``, ``test/loss``, ``train/accuracy``, ``test/accuracy`` or others.

    Returns
    -------
    dict of str to float
        Those of the test data and the training loss; ``gap/loss`` is test - train, and
        ``gap/accuracy`` train - test, where both are known.
    """
    found = {k: v for k, v in metrics.items() if k.startswith("test/") or k == "train/loss"}
    for key, sign in (("loss", 1), ("accuracy", -1)):
        if {f"train/{key}", f"test/{key}"} <= metrics.keys():
            found[f"gap/{key}"] = sign * (metrics[f"test/{key}"] - metrics[f"train/{key}"])
    return found


def why_not_comparable(
    records: Iterable[Mapping[str, Any]], *, averages: bool = True
) -> str | None:
    """Return why records must not be compared with each other.

    Parameters
    ----------
    records : iterable of mapping
        Of any runs.
    averages : bool
        Whether they must also be averages of the same kind: not where averages are compared with
        what they are made of.

    Returns
    -------
    str or None
        None where they were made alike.
    """
    records = list(records)
    references = _different(record["reference"] for record in records)
    if len(references) > 1:
        return (
            f"the references are {' and '.join(references)}: off the stable law that changes the "
            "number. Name one with --reference"
        )
    sizes = _different(record["batch_size"] for record in records)
    if len(sizes) > 1:
        return (
            f"minibatches of {' and '.join(sizes)} examples: the tail index depends on their size"
        )
    if not averages:
        return None
    kinds = _different(
        "no average"
        if record["beta"] is None
        else f"beta {record['beta']:g} over {record['window']} minibatches"
        for record in records
    )
    return f"the averages differ: {' and '.join(kinds)}" if len(kinds) > 1 else None


def why_no_claim(
    own: Iterable[Mapping[str, Any]], other: Iterable[Mapping[str, Any]], of: str, quantity: str
) -> str | None:
    """Return why a difference between records is not claimed, whatever its interval.

    No estimate of alpha is above 2. Where the probes' own intervals reach 2, estimates pile up
    there: their spread over seeds is smaller than their error, and a probe of fewer rows reads
    lower on the same Gaussian noise. One probe in twenty misses 2 by chance, so most decide.

    Parameters
    ----------
    own, other : iterable of mapping
        Records of all seeds.
    of : str
        Which rows.
    quantity : str
        Which number.

    Returns
    -------
    str or None
        None where a claim is possible, and where the probes' intervals are not known.
    """
    if quantity != "alpha":
        return None
    for side in (own, other):
        ends = [record[f"{of}_{METHODS[0]}_high"] for record in side]
        known = [end for end in ends if end is not None]
        if not known or median(known) < _LIMIT:
            return None
    return "most probes' own intervals reach 2 under both: neither is told from Gaussian noise"


def why_no_number(records: Iterable[Mapping[str, Any]], of: str) -> str | None:
    """Return why records hold no estimate: the first reason that one of them gives."""
    return next((r for record in records if (r := record[f"{of}_reason"])), None)


def _different(values: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(map(str, values)))
