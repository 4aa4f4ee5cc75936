"""Numbers of `noise_lens.contrasts` in words, so that the text follows what was computed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

from noise_lens.contrasts import Decomposition, Difference

Key = tuple[str, str | None, str | None]


class Estimate(Protocol):
    """A number with its interval."""

    mean: float
    low: float
    high: float


def number(value: Estimate, *, digits: int = 2, sign: str = "", scale: float = 1) -> str:
    """Return a number with its interval, if it has one."""
    form = f"{sign}.{digits}f"
    if math.isnan(value.mean):
        return "no value"
    if math.isnan(value.low):
        return f"{scale * value.mean:{form}}"
    ends = f"{scale * value.low:{form}}, {scale * value.high:{form}}"
    return f"{scale * value.mean:{form}} [{ends}]"


def said(one: Difference) -> str:
    """Return one difference as a line: the number, then the claim or why there is none."""
    share = one.quantity.endswith("accuracy")
    what = one.quantity.replace("/", " ")
    if one.quantity == "alpha":
        what = f"α, {one.view} of {one.of}"
    elif share:
        what += ", points"
    found = number(one, digits=1 if share else 3, sign="+", scale=100 if share else 1)
    verdict = one.claim.upper() if one.claim else f"no claim: {one.reason}"
    return f"{one.optimizer} - {one.baseline}, {what}: {found}, {one.n} seeds. {verdict}"


def in_columns(columns: Mapping[str, Sequence[Difference]]) -> dict[str, dict[Key, str]]:
    """Return differences of tails for ``pandas.DataFrame``: numbers, with a claim if there is one."""
    return {
        title: {(one.optimizer, one.view, one.of): _cell(one) for one in found}
        for title, found in columns.items()
    }


def _cell(one: Difference) -> str:
    without_zero = one.low > 0 or one.high < 0
    word = one.claim.upper() if one.claim else "no claim" if without_zero else ""
    return f"{number(one, digits=3, sign='+')} {word}".rstrip()


def of_many(found: Sequence[Difference]) -> str:
    """Return what several rows at once allow: claims, and those that Bonferroni's limit keeps."""
    claims = [one for one in found if one.claim]
    limit = 0.05 / max(len(found), 1)
    kept = sum(one.pvalue < limit for one in claims)
    return (
        f"{len(found)} rows, {len(claims)} claims; where nothing differs, {0.05 * len(found):.1f} "
        f"false ones are expected. Bonferroni's limit, p < {limit:.4f}, keeps {kept}."
    )


def explained(one: Decomposition) -> str:
    """Return how much of an optimizer's apparent gap is averaging, as a line."""
    gap = f"{one.optimizer}, {one.of}: the gap is {number(one.apparent, digits=3, sign='+')}"
    if math.isnan(one.share.value):
        return f"{gap}. No share: {one.share.reason}"
    share = f"{one.share.value:.0%}"
    if not math.isnan(one.share.low):
        share += f" [{one.share.low:.0%}, {one.share.high:.0%}]"
    reason = f" ({one.share.reason})" if one.share.reason else ""
    return f"{gap}; averaging alone makes {share} of it{reason}"
