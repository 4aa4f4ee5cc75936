"""Verdict rule: from evidence to a label, its reasons, and what would settle an open case."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from noise_lens.inference.aggregation import enough_blocks
from noise_lens.inference.evidence import Evidence
from noise_lens.inference.homogeneity import Homogeneity
from noise_lens.inference.power import REFERENCE_ALPHA, REQUIRED_POWER, rows_for_power

LEVEL = 0.05
CLOSE_TO_2 = 1.98
FEWEST_SUMMED = 8
_LIGHTER_LEVEL, _SUMS_LEVEL = 0.002, 0.005
_MOST_ATOMS, _FEWEST_COMPARED = 0.01, 0.5
_SHAPE_LEVEL, _SHAPE_SPREAD = 1e-3, 0.05
_FAMILY_Z = 3.0


@dataclass(frozen=True)
class Decision:
    """A label with its reasons.

    Attributes
    ----------
    label : str
        One of the seven.
    reasons : tuple of str
        In the order of the rule.
    n_needed : int or None
        Rows that would about settle an inconclusive case.
    """

    label: str
    reasons: tuple[str, ...]
    n_needed: int | None = None


def decide(evidence: Evidence, *, rejected: bool) -> Decision:
    """Apply the rule.

    Parameters
    ----------
    evidence : Evidence
        Of one kind of rows.
    rejected : bool
        Whether Gaussian noise is rejected: by the test's own level, or in a family of groups by
        the false-discovery threshold.

    Returns
    -------
    Decision
        Never "unusable": such rows have no evidence.
    """
    test = evidence.rotations.result()
    if not rejected:
        if test.pvalue <= LEVEL:
            reason = (
                f"Gaussian noise would look so heavy with p = {test.pvalue:.2g}; alone that is "
                "below 5 %, but not among as many groups as were tested together"
            )
            return Decision("inconclusive", (reason,), _doubled(evidence))
        if test.lighter_pvalue <= _LIGHTER_LEVEL:
            return _lighter(evidence, test.lighter_pvalue)
        return _not_rejected(evidence, test.pvalue)
    reason = (
        f"not Gaussian: independent Gaussian rows of any covariance would look so heavy with "
        f"p = {test.pvalue:.2g} ({test.n_rotations} rotations)"
    )
    if evidence.largest == 1:
        many = _rows_for_size(2, evidence.effective_columns)
        short = f"{evidence.n_rows} rows are too few to sum minibatches, so no law can be named"
        return Decision("inconclusive", (reason, short), max(many, 1000))
    curve = evidence.curve
    # Small blocks are many: a rise that the last level hides in its error shows there.
    risen = np.flatnonzero(curve.uncut - curve.uncut[0] > curve.drift_high)
    if len(risen):
        return _rising(evidence, int(risen[0]), reason)
    low = curve.drift_limits[0]
    if curve.drift < low:
        fell = (
            f"alpha falls from {_alpha(evidence, 0)} for single minibatches to "
            f"{_alpha(evidence, -1)} for sums of {evidence.largest}, by more than stable rows "
            f"stray ({low:.2f}, 1 %): repeated values or sparse examples, not a stable law"
        )
        return Decision("point-mass", (reason, fell))
    return _flat(evidence, reason)


def _not_rejected(evidence: Evidence, pvalue: float) -> Decision:
    test = f"p = {pvalue:.2g} for Gaussian rows of any covariance"
    if evidence.power < REQUIRED_POWER:
        worth = _worth(evidence)
        reason = (
            f"{test}, but {evidence.n_rows} rows of {worth} would show heavy tails "
            f"(alpha = {REFERENCE_ALPHA}) in only {100 * evidence.power:.0f} % of cases: failing "
            "to reject is no evidence"
        )
        return Decision("inconclusive", (reason,), rows_for_power(evidence.effective_columns))
    reason = (
        f"{test}; heavy tails of alpha = {REFERENCE_ALPHA} or less, of all coordinates, would have "
        f"been seen in {_percent(evidence.power)} of such samples"
    )
    return Decision("gaussian", (reason,))


def _lighter(evidence: Evidence, pvalue: float) -> Decision:
    reason = f"tails are lighter than Gaussian ones (p = {pvalue:.2g}): bounded or rounded noise"
    if evidence.sums is None:
        return Decision("inconclusive", (reason, "too few rows to sum"), _doubled(evidence))
    high = evidence.curve.bounds(-1, 0.9)[1]
    if evidence.sums.pvalue > _SUMS_LEVEL and high >= CLOSE_TO_2:
        then = f"sums of {evidence.largest} minibatches are no heavier than Gaussian ones"
        return Decision("gaussianising", (reason, then))
    then = (
        f"but sums of {evidence.largest} are not Gaussian either (p = {evidence.sums.pvalue:.2g}, "
        f"alpha = {_alpha(evidence, -1)}): repeated values, or rows that are not independent"
    )
    return Decision("inconclusive", (reason, then))


def _rising(evidence: Evidence, first: int, reason: str) -> Decision:
    curve, size = evidence.curve, evidence.largest
    low, high = curve.bounds(-1, 0.9)
    rose = (
        f"alpha rises from {_alpha(evidence, 0)} for single minibatches to "
        f"{_alpha(evidence, -1)} for sums of {size}; by m = {curve.block_sizes[first]} it rose by "
        f"{curve.uncut[first] - curve.uncut[0]:.2f}, and stable rows by at most "
        f"{curve.drift_high[first]:.2f} (99 %)"
    )
    if high >= CLOSE_TO_2 and low >= REFERENCE_ALPHA:
        there = f"at m = {size} it cannot be told from 2, and {low:.2f} and less are excluded"
        return Decision("gaussianising", (reason, rose, there))
    if high >= CLOSE_TO_2:
        there = f"at m = {size} the bounds [{low:.2f}, {high:.2f}] (90 %) leave the limit open"
    else:
        there = f"at m = {size} it is still below {high:.2f} (95 %): the limit was not reached"
    return Decision("drifting", (reason, rose, there))


def _flat(evidence: Evidence, reason: str) -> Decision:
    curve, size = evidence.curve, evidence.largest
    high = curve.bounds(-1, 0.9)[1]
    low_limit, high_limit = curve.drift_limits
    flat = (
        f"no drift: alpha is {_alpha(evidence, 0)} for single minibatches and "
        f"{_alpha(evidence, -1)} for sums of {size} (stable rows drift between {low_limit:.2f} "
        f"and {high_limit:.2f}, 98 %)"
    )
    against: list[str] = []
    needed: list[int] = []
    if size < FEWEST_SUMMED:
        against.append(f"sums of {size} are too short a range for a law; {FEWEST_SUMMED} are asked")
        needed.append(_rows_for_size(FEWEST_SUMMED, evidence.effective_columns))
    if high >= CLOSE_TO_2:
        against.append(f"sums of {size} cannot be told from Gaussian ones (alpha up to {high:.2f})")
        needed.append(_rows_to_tell(evidence, high))
    elif evidence.sums is not None and evidence.sums.pvalue > LEVEL:
        against.append(
            f"a test of the sums of {size} does not see them as non-Gaussian "
            f"(p = {evidence.sums.pvalue:.2g})"
        )
        needed.append(_doubled(evidence))
    if evidence.atom_share > _MOST_ATOMS:
        against.append(
            f"{100 * evidence.atom_share:.0f} % of the values are one value of their coordinate, "
            "repeated (zeros, sparse examples): no stable law has an atom"
        )
    shapes = evidence.shapes
    if evidence.n_columns > 1 and shapes.n_columns < _FEWEST_COMPARED * evidence.n_columns:
        against.append(
            f"only {shapes.n_columns} of {evidence.n_columns} coordinates have enough values to "
            "compare their shapes"
        )
    elif differ(shapes):
        against.append(
            f"coordinates differ in shape (their indices spread by {shapes.spread:.2f} beyond "
            f"their errors, p = {shapes.pvalue:.1g}): no one alpha describes them. Judge smaller "
            "groups"
        )
    against.extend(_other_family(evidence))
    if against:
        return Decision("inconclusive", (reason, flat, *against), max(needed, default=None))
    law = (
        f"stable on m = 1..{size}: alpha = {_alpha(evidence, -1)}, below {high:.2f} (95 %); sums "
        f"of {size} are still not Gaussian (p = {evidence.sums.pvalue:.2g})"
        if evidence.sums is not None
        else ""
    )
    return Decision("stable", (reason, flat, law))


def differ(shapes: Homogeneity) -> bool:
    """Return whether coordinates differ in shape, clearly and by more than a little."""
    return shapes.pvalue < _SHAPE_LEVEL and shapes.spread > _SHAPE_SPREAD


def _other_family(evidence: Evidence) -> list[str]:
    families = evidence.families
    if families is None or families.n_rows < families.fewest_rows:
        return []
    place = families.families.index
    for name in ("student_t", "generalised_gaussian"):
        z = float(families.z[place(name), place("stable")])
        if z > _FAMILY_Z:
            return [
                f"another family fits single minibatches better (z = {z:.1f}): {families.sentence}"
            ]
    return []


def _rows_for_size(size: int, n_columns: float) -> int:
    blocks = 50
    while not enough_blocks(blocks, n_columns):
        blocks += 1
    return blocks * size


def _rows_to_tell(evidence: Evidence, high: float) -> int:
    # The upper bound closes in on alpha like 1 / sqrt(n).
    alpha = float(evidence.curve.uncut[-1])
    if alpha >= CLOSE_TO_2 - 0.02:
        return _doubled(evidence) * 5
    ratio = (high - alpha) / (CLOSE_TO_2 - alpha)
    return _rounded(evidence.n_rows * max(1.5, ratio**2))


def _doubled(evidence: Evidence) -> int:
    return _rounded(2 * evidence.n_rows)


def _rounded(n: float) -> int:
    digits = len(str(int(n))) - 2
    return int(-(-n // 10**digits) * 10**digits)


def _alpha(evidence: Evidence, level: int) -> str:
    curve = evidence.curve
    return f"{curve.alpha[level]:.2f} [{curve.low[level]:.2f}, {curve.high[level]:.2f}]"


def _worth(evidence: Evidence) -> str:
    columns = f"{evidence.n_columns} column{'s' * (evidence.n_columns > 1)}"
    if evidence.effective_columns < 0.5 * evidence.n_columns:
        columns += f" (worth {evidence.effective_columns:.0f} as they are correlated)"
    return columns


def _percent(power: float) -> str:
    return "all but 1 %" if power > 0.99 else f"{100 * power:.0f} %"
