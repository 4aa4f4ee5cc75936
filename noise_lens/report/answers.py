"""Does the optimizer change the tails? Sentences that say no more than the claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from noise_lens.contrasts import (
    CLAIM_PAIRS,
    Difference,
    PairedDifference,
)
from noise_lens.inference.rule import LEVEL
from noise_lens.report.numbers import between, short, signed
from noise_lens.report.separation import Matched, Separation
from noise_lens.report.verdicts import KINDS

_LEVEL = f"{LEVEL * 100:.0f} %"
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
    others = [view for view in found.views if view != found.view]
    said = [view for view in others if _claims(found.by_step, view)]
    open_views = [_noise(view) for view in others if view not in said]
    silent = [f"Of {' and of '.join(open_views)} nothing is claimed."] if open_views else []
    return [
        *(_answer(found, view) for view in said),
        *silent,
        *_multiplicity(found),
        *_at_the_same_loss(found),
    ]


def told(one: Difference | PairedDifference) -> str:
    """Return the claim of a difference, or why there is none."""
    return one.claim or f"none: {one.reason}"


def _answer(found: Separation, view: str) -> str:
    noise = _noise(view)
    tails = found.tails(view)
    n = max((one.n for one in tails), default=0)
    if n == 0:
        reasons = ", ".join(dict.fromkeys(one.reason or "" for one in tails)) or "no pair of runs"
        return f"Of {noise} no claim: {reasons.rstrip('.')}."
    if n < CLAIM_PAIRS:
        return (
            f"Of {noise} no claim with {n} seed{'s' if n > 1 else ''}: a difference between "
            f"optimizers needs {CLAIM_PAIRS} paired seeds."
        )
    n_pairs = between([one.n for one in tails if one.n], "{:d}")
    where = f"At step {found.step:,}, over {n_pairs} paired seeds,"
    claims = _claims(found.by_step, view)
    if not claims:
        return (
            f"{where} no difference in α of {noise} between an optimizer's weights and "
            f"{found.baseline}'s is claimed: {_reasons(tails)}. That is no evidence that there is "
            "none."
        )
    claimed = {one.optimizer for one in tails if one.claim}
    rest = [m.optimizer for m in found.by_step if m.optimizer not in claimed]
    other = f"; nothing is claimed of {', '.join(rest)}" if rest else ""
    return f"{where} {noise} is {claims} than at {found.baseline}'s{other}."


def _noise(view: str) -> str:
    return NOISE.get(view, f"noise of the view {view}")


def _reasons(own: Sequence[Difference]) -> str:
    """Return why nothing is claimed, the most frequent reason first."""
    counts = Counter(one.reason or "" for one in own)
    if len(counts) == 1:
        return next(iter(counts))
    return "; ".join(f"{reason} ({n} of {len(own)})" for reason, n in counts.most_common())


def _claims(matched: Sequence[Matched], view: str) -> str:
    """Return what is claimed of the tails of a view; empty where nothing is."""
    claimed = [
        one for m in matched for of in KINDS if (one := m.get("alpha", view, of)).claim is not None
    ]
    words = dict.fromkeys(one.claim for one in claimed)
    return ", and ".join(
        f"{word} at the weights of {_by_optimizer([c for c in claimed if c.claim == word])}"
        for word in words
    )


def _by_optimizer(claimed: Sequence[Difference]) -> str:
    found: dict[str, list[str]] = {}
    for one in claimed:
        found.setdefault(one.optimizer, []).append(f"{one.of} {_change(one)}")
    return "; ".join(f"{name} (α of {', '.join(own)})" for name, own in found.items())


def _multiplicity(found: Separation) -> list[str]:
    family = found.testable()
    claimed = [one for one in family if one.claim]
    if not claimed:
        return []
    kept = [f"{one.optimizer} ({one.view}, {one.of})" for one in found.after_holm()]
    verb = "remains" if len(kept) == 1 else "remain"
    remain = f"{len(kept)} {verb}: {', '.join(kept)}" if kept else "none remains"
    said = (
        f"Each is claimed at {_LEVEL} by itself: {len(claimed)} of {len(family)} differences "
        f"in α are, and {short(LEVEL * len(family))} would be if nothing differed. When all are "
        f"tested together (Holm, {_LEVEL}) {remain}."
    )
    return [said]


def _at_the_same_loss(found: Separation) -> list[str]:
    if not found.by_loss:
        return []
    said = _claims(found.by_loss, found.view)
    noise = _noise(found.view)
    if said:
        return [f"At the same training loss {noise} is {said} than at {found.baseline}'s."]
    enough = [
        one.get("alpha", found.view, of).n >= CLAIM_PAIRS for one in found.by_loss for of in KINDS
    ]
    if not any(enough):
        return ["At the same training loss too few pairs can be compared for a claim."]
    return [f"At the same training loss no difference in α of {noise} is claimed."]


def _change(one: Difference) -> str:
    return signed(one.mean, one.low, one.high, digits=3)
