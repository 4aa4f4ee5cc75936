"""Verdicts on many groups at once, with the rate of false discoveries held."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_lens.inference.rule import LEVEL, decide
from noise_lens.inference.verdict import LABELS, Case, Verdict, conclude, prepare

_MOST_ROTATIONS = 50_000


def judge_groups(
    groups: Mapping[str, ArrayLike],
    of: str = "coordinates",
    rng: np.random.Generator | None = None,
    *,
    false_discovery_rate: float = LEVEL,
    centred: bool = False,
    sampling: str | None = None,
    n_parameters: Mapping[str, int] | None = None,
    on_group: Callable[[str], None] | None = None,
) -> dict[str, Verdict]:
    """Judge many groups, or steps, as one family.

    Groups of one probe share their minibatches, so their tests depend on each other:
    the procedure of Benjamini and Yekutieli [1]_ holds the false discovery rate under any
    dependence. With 199 rotations no p-value is below .005, so tests that met no rotation as
    extreme as the rows go on until the family's threshold can be reached.

    Parameters
    ----------
    groups : mapping of str to array_like of shape (M, d)
        Rows by name, as for :func:`~noise_lens.inference.verdict.judge`; one kind of rows.
    of : {"coordinates", "projections"}
        What the columns are.
    rng : numpy.random.Generator, optional
        For all of it; fresh entropy if not given.
    false_discovery_rate : float
        Expected share of Gaussian groups among those called non-Gaussian, in (0, 1).
    centred : bool
        The location of all rows is zero by construction (noise against the exact gradient, or
        pair differences): no warning of a location is due.
    sampling : str, optional
        How minibatches were drawn, for the warnings.
    n_parameters : mapping of str to int, optional
        By name, for the warnings.
    on_group : callable, optional
        Called with each name when its evidence is there.

    Returns
    -------
    dict of str to Verdict
        In the order of `groups`. A group that is rejected alone but not in the family is
        "inconclusive".

    Raises
    ------
    ValueError
        The rate is out of range.

    References
    ----------
    .. [1] Y. Benjamini and D. Yekutieli, Ann. Statist. 29(4), 2001. doi:10.1214/aos/1013699998
    """
    if not 0 < false_discovery_rate < 1:
        raise ValueError(f"false_discovery_rate must lie in (0, 1), got {false_discovery_rate}")
    rng = np.random.default_rng() if rng is None else rng
    root = int(rng.integers(2**63))
    prepared: dict[str, Case | Verdict] = {}
    for name, rows in groups.items():
        # Its own stream: what else is in the family does not move a group's estimates.
        own = np.random.default_rng([root, zlib.crc32(name.encode())])
        prepared[name] = prepare(
            rows,
            of,
            own,
            centred=centred,
            sampling=sampling,
            n_parameters=(n_parameters or {}).get(name),
        )
        if on_group is not None:
            on_group(name)
    cases = {name: case for name, case in prepared.items() if isinstance(case, Case)}
    rejected = _rejected(cases, false_discovery_rate)
    return {
        name: conclude(case, decide(case.evidence, rejected=name in rejected))
        if isinstance(case, Case)
        else case
        for name, case in prepared.items()
    }


def benjamini_yekutieli(pvalues: NDArray[np.float64], rate: float) -> NDArray[np.bool_]:
    """Return which hypotheses are rejected at a false discovery rate, under any dependence.

    Parameters
    ----------
    pvalues : ndarray of shape (k,)
        One a hypothesis.
    rate : float
        The false discovery rate.

    Returns
    -------
    ndarray of shape (k,)
        True where rejected.

    Examples
    --------
    >>> benjamini_yekutieli(np.array([0.001, 0.2, 0.01]), 0.05).tolist()
    [True, False, True]
    """
    k = len(pvalues)
    if k == 0:
        return np.zeros(0, dtype=bool)
    thresholds = rate * np.arange(1, k + 1) / (k * _harmonic(k))
    below = np.flatnonzero(np.sort(pvalues) <= thresholds)
    return np.asarray(pvalues <= (np.sort(pvalues)[below[-1]] if len(below) else -1.0))


def shares_by_label(verdicts: Sequence[Verdict], weights: Sequence[float]) -> dict[str, float]:
    """Return the share of a total that lies in groups of each label.

    Parameters
    ----------
    verdicts : sequence of Verdict
        Of groups that do not overlap.
    weights : sequence of float
        What is shared: parameters, or noise energy.

    Returns
    -------
    dict of str to float
        Labels that occur, in the order of the rule; the shares add up to 1.
    """
    total = sum(weights)
    sums = dict.fromkeys(LABELS, 0.0)
    for verdict, weight in zip(verdicts, weights, strict=True):
        sums[verdict.label] += weight / total if total else 0.0
    present = {verdict.label for verdict in verdicts}
    return {label: share for label, share in sums.items() if label in present}


def _rejected(cases: Mapping[str, Case], rate: float) -> set[str]:
    names = list(cases)
    while True:
        pvalues = np.array([cases[n].evidence.rotations.result().pvalue for n in names])
        decided = benjamini_yekutieli(pvalues, rate)
        rejected = {name for name, one in zip(names, decided, strict=True) if one}
        open_cases = [
            n for n in names if n not in rejected and cases[n].evidence.rotations.exceedances == 0
        ]
        untouched = [n for n in names if cases[n].evidence.rotations.exceedances == 0]
        if not open_cases:
            return rejected
        # As many rotations as make these reach the threshold if none meets its statistic.
        needed = int(np.ceil(len(names) * _harmonic(len(names)) / (rate * len(untouched))))
        fewest = min(cases[n].evidence.rotations.n for n in open_cases)
        if fewest >= min(needed, _MOST_ROTATIONS):
            return rejected
        for name in untouched:
            cases[name].evidence.rotations.refine(min(needed, _MOST_ROTATIONS))


def _harmonic(k: int) -> float:
    return float((1 / np.arange(1, k + 1)).sum())
