"""Does the optimizer change the tails? Sentences that say no more than the claims."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from noise_lens.contrasts import (
    CLAIM_PAIRS,
    Decomposition,
    Difference,
    PairedDifference,
    Prediction,
)
from noise_lens.inference.rule import LEVEL
from noise_lens.judging import FEWEST_ROWS_OF_A_VIEW
from noise_lens.report.numbers import between, percent, short, signed
from noise_lens.report.separation import Averaging, Matched, Separation
from noise_lens.report.verdicts import KINDS

NOISE = {
    "gradient": "raw noise",
    "momentum": "averaged noise",
    "update": "noise of the optimizer's own step",
    "transformed": "transformed noise",
    "trajectory": "averaged noise along training",
}


def answer(found: Separation) -> str:
    """Return whether the optimizer changes the tails of the page's view.

    Parameters
    ----------
    found : Separation
        Of a comparison.

    Returns
    -------
    str
        One sentence or two; a claim only where there are at least 5 pairs.
    """
    return _answer(found, found.view)


def other_answers(found: Separation) -> list[str]:
    """Return what can be said of the other views, of many claims, and at the same loss.

    Parameters
    ----------
    found : Separation
        Of a comparison.

    Returns
    -------
    list of str
        Sentences; without enough pairs there are none.
    """
    if found.n_pairs < CLAIM_PAIRS:
        return []
    views = [_answer(found, view) for view in found.views if view != found.view]
    return [*views, *_multiplicity(found), *_at_the_same_loss(found)]


def explained(part: Decomposition) -> str:
    """Return how much of one optimizer's gap averaging explains.

    Parameters
    ----------
    part : Decomposition
        Of one kind of rows.

    Returns
    -------
    str
        With the share and its interval, or why it is withheld.
    """
    gap, share = part.apparent, part.share
    if math.isnan(gap.mean):
        return f"Nothing can be said: {gap.reason}."
    alone = (
        f"averaging {part.baseline}'s own noise makes {_change(part.averaging)}"
        if not math.isnan(part.averaging.mean)
        else f"what averaging alone makes of it is not known ({part.averaging.reason})"
    )
    found = (
        f"From raw noise at {part.baseline}'s weights to its own averages α changes by "
        f"{_change(gap)}; {alone}"
    )
    if math.isnan(share.value):
        found += f". A share is withheld: {share.reason}."
    elif share.reason:
        found += f", {percent(share.value, share.low, share.high)} of it; no claim: {share.reason}."
    else:
        found += f": {percent(share.value, share.low, share.high)} of it."
    if math.isnan(part.remainder.mean):
        return found
    return f"{found} What is left, {_change(part.remainder)}, {_told(part.remainder)}."


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
        return [
            *said,
            f"{finite}: not tested, since the kurtosis of {n_rows} averages reads low; "
            f"{FEWEST_ROWS_OF_A_VIEW} are needed.",
        ]
    return [*said, _law(finite, [one for one in every if one.quantity == "excess_kurtosis"])]


def told(one: Difference | PairedDifference) -> str:
    """Return the claim of a difference, or why there is none."""
    return one.claim or f"no claim: {one.reason}"


def _answer(found: Separation, view: str) -> str:
    noise = NOISE.get(view, f"noise of the view {view}")
    tails = found.tails(view)
    n = max((one.n for one in tails), default=0)
    if n == 0:
        reasons = ", ".join(dict.fromkeys(one.reason or "" for one in tails)) or "no pair of runs"
        return f"Of {noise} no claim: {reasons}."
    if n < CLAIM_PAIRS:
        return (
            f"Of {noise} no claim with {n} seed{'s' if n > 1 else ''}: a difference between "
            f"optimizers needs {CLAIM_PAIRS} paired seeds."
        )
    where = (
        f"At step {found.step:,}, over {between([m.n for m in tails if m.n], '{:d}')} paired seeds,"
    )
    claims = _claims(found.by_step, view)
    if not claims:
        return (
            f"{where} no difference in α of {noise} between an optimizer's weights and those of "
            f"{found.baseline} is told from 0. That is no evidence that there is none."
        )
    claimed = {one.optimizer for one in tails if one.claim}
    rest = [m.optimizer for m in found.by_step if m.optimizer not in claimed]
    other = f"; nothing is claimed of {', '.join(rest)}" if rest else ""
    return f"{where} {noise} is {_joined(claims)} than at {found.baseline}'s{other}."


def _claims(matched: Iterable[Matched], view: str) -> list[str]:
    """Return each claim of an optimizer; both kinds of rows together where they agree."""
    said = []
    for one in matched:
        claimed = [d for of in KINDS if (d := one.get("alpha", view, of)).claim]
        for word in dict.fromkeys(d.claim for d in claimed):
            own = [f"{d.of} ({_sized(d)})" for d in claimed if d.claim == word]
            said.append(f"{word} at {one.optimizer}'s weights by {' and '.join(own)}")
    return said


def _multiplicity(found: Separation) -> list[str]:
    family = found.testable()
    claimed = [one for one in family if one.claim]
    if not claimed:
        return []
    kept = [f"{one.optimizer} ({one.view}, {one.of})" for one in found.after_holm()]
    remain = f"{len(kept)} remain: {', '.join(kept)}" if kept else "none remains"
    return [
        f"Each is claimed at {LEVEL:.0%} by itself: {len(claimed)} of {len(family)} differences "
        f"in α are, and {short(LEVEL * len(family))} would be if nothing differed. When all are "
        f"tested together (Holm, {LEVEL:.0%}) {remain}."
    ]


def _at_the_same_loss(found: Separation) -> list[str]:
    if not found.by_loss:
        return []
    said = _claims(found.by_loss, found.view)
    noise = NOISE.get(found.view, f"noise of the view {found.view}")
    if said:
        return [f"At the same training loss {noise} is {_joined(said)} than at {found.baseline}'s."]
    enough = [
        one.get("alpha", found.view, of).n >= CLAIM_PAIRS for one in found.by_loss for of in KINDS
    ]
    if not any(enough):
        return ["At the same training loss too few pairs can be compared for a claim."]
    return [f"At the same training loss no difference in α of {noise} is claimed."]


def _law(sentence: str, own: Sequence[Prediction]) -> str:
    tested = [one for one in own if one.miss.n >= CLAIM_PAIRS and not math.isnan(one.miss.low)]
    missed = [one for one in tested if one.miss.claim]
    if not tested:
        n = max((one.miss.n for one in own), default=0)
        return f"{sentence}: {n} pairs are too few to say whether it is so."
    if not missed:
        return (
            f"{sentence}: in none of {len(tested)} cases is the miss told from 0, which is no proof "
            "of the law."
        )
    sides = [f"{word} in {n}" for word in ("above", "below")
             if (n := sum(one.miss.claim == word for one in missed))]  # fmt: skip
    return (
        f"{sentence}: in {len(missed)} of {len(tested)} cases what was observed lies elsewhere "
        f"({', '.join(sides)})."
    )


def _told(one: PairedDifference) -> str:
    if one.claim:
        return f"is told from 0: {one.claim}"
    return f"is not claimed ({one.reason})"


def _change(one: PairedDifference) -> str:
    return signed(one.mean, one.low, one.high, digits=3)


def _sized(one: Difference) -> str:
    return f"α {signed(one.mean, one.low, one.high, digits=3)}"


def _joined(parts: Sequence[str]) -> str:
    return "; ".join(parts)
