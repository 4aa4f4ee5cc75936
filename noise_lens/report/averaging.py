"""What averaging explains of the gaps between optimizers, in sentences."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from noise_lens.contrasts import CLAIM_PAIRS, Decomposition, PairedDifference, Prediction
from noise_lens.judging import FEWEST_ROWS_OF_A_VIEW
from noise_lens.report.numbers import between, percent, signed
from noise_lens.report.separation import Averaging
from noise_lens.report.verdicts import KINDS


def explained(averaging: Averaging, of: str) -> list[str]:
    """Return how much of each optimizer's gap averaging explains.

    Parameters
    ----------
    averaging : Averaging
        Of all optimizers.
    of : str
        Kind of rows.

    Returns
    -------
    list of str
        What averaging alone does to the baseline's noise, the shares with their intervals, for
        whom there is none and why, and what is claimed of the rest.
    """
    parts = averaging.parts[of]
    return [*_alone(parts), *_shares(parts), *_no_shares(parts), *_left(parts)]


def laws(averaging: Averaging) -> list[str]:
    """Return how two laws of averaging fared.

    Parameters
    ----------
    averaging : Averaging
        Of all optimizers.

    Returns
    -------
    list of str
        One sentence a law.
    """
    every = [one for of in KINDS for one in averaging.predictions(of)]
    finite = "A finite variance would shrink the excess kurtosis by a known factor"
    stable = "A stable law would keep α as it is"
    said = [_law(stable, [one for one in every if one.quantity == "alpha"])]
    if min(averaging.n_rows, default=0) < FEWEST_ROWS_OF_A_VIEW:
        n_rows = between(averaging.n_rows or (0,), "{:,}")
        few = f"not tested, since the kurtosis of {n_rows} averages reads low"
        return [*said, f"{finite}: {few}; {FEWEST_ROWS_OF_A_VIEW} are needed."]
    return [*said, _law(finite, [one for one in every if one.quantity == "excess_kurtosis"])]


def _law(sentence: str, own: Sequence[Prediction]) -> str:
    # Where an interval excludes 0 and nothing is claimed, something else forbids it.
    tested = [
        one
        for one in own
        if one.miss.n >= CLAIM_PAIRS and (one.miss.claim or one.miss.low <= 0 <= one.miss.high)
    ]
    missed = [one for one in tested if one.miss.claim]
    if not tested:
        reasons = dict.fromkeys(one.miss.reason or "" for one in own)
        return f"{sentence}: not tested; {', '.join(reasons) or 'there are no averages'}."
    if not missed:
        return (
            f"{sentence}: in none of {len(tested)} cases is the miss told from 0, which is no "
            "proof of the law."
        )
    counts = Counter(one.miss.claim for one in missed)
    sides = [f"{word} in {n}" for word, n in counts.most_common()]
    return (
        f"{sentence}: in {len(missed)} of {len(tested)} cases what was observed lies elsewhere "
        f"({', '.join(sides)})."
    )


def _alone(parts: Sequence[Decomposition]) -> list[str]:
    known = [part for part in parts if not math.isnan(part.averaging.mean)]
    found = dict.fromkeys(_change(part.averaging) for part in known)
    said = [
        f"Averaging {known[0].baseline}'s own noise changes its α by "
        f"{' or '.join(found)}{', by the seeds compared' if len(found) > 1 else ''}."
        for _ in found
    ][:1]
    unknown: dict[str, list[str]] = {}
    for part in parts:
        if math.isnan(part.averaging.mean):
            unknown.setdefault(part.averaging.reason or "", []).append(part.optimizer)
    return said + [
        f"What averaging alone does is not known for {', '.join(names)}: {reason.rstrip('.')}."
        for reason, names in unknown.items()
    ]


def _shares(parts: Sequence[Decomposition]) -> list[str]:
    claimed, weak = [], []
    for part in parts:
        if math.isnan(part.share.value):
            continue
        share = percent(part.share.value, part.share.low, part.share.high)
        whole = f"{part.optimizer} {share} of {_change(part.apparent)}"
        if part.share.reason is None:
            claimed.append(whole)
        else:
            weak.append(f"{whole} (no claim: {part.share.reason})")
    if not (claimed or weak):
        return []
    gap = f"the gap from raw noise at {parts[0].baseline}'s weights to an optimizer's own averages"
    return [f"Of {gap} this explains: {'; '.join(claimed + weak)}."]


def _no_shares(parts: Sequence[Decomposition]) -> list[str]:
    withheld: dict[str, list[str]] = {}
    for part in parts:
        if math.isnan(part.share.value):
            reason, _, _ = (part.share.reason or "").partition(": its interval is")
            withheld.setdefault(reason, []).append(part.optimizer)
    return [
        f"No share for {', '.join(names)}: {reason.rstrip('.')}."
        for reason, names in withheld.items()
    ]


def _left(parts: Sequence[Decomposition]) -> list[str]:
    claimed = [part for part in parts if part.remainder.claim]
    if claimed:
        each = [
            f"{part.optimizer}'s averages are {part.remainder.claim} ({_change(part.remainder)})"
            for part in claimed
        ]
        return [f"Beyond averaging, {' and '.join(each)} than {parts[0].baseline}'s."]
    if any(part.remainder.n >= CLAIM_PAIRS for part in parts):
        return ["Of what is left beyond averaging nothing is claimed."]
    return []


def _change(one: PairedDifference) -> str:
    return signed(one.mean, one.low, one.high, digits=3)
