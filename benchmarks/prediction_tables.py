"""The output and the table of docs/theory/prediction.md, for document_tables.py."""

import json
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

PATH = Path(__file__).parent / "results" / "escape_from_digits.json"
Table = tuple[list[str], list[list[str]]]


@cache
def result(part: str) -> Any:
    return json.loads(PATH.read_text(encoding="utf-8"))[part]


def predicted_escape() -> str:
    return "\n".join(result("printed"))


def escape_that_happened(_: str) -> Table:
    """Predictions over what was seen; a median counts the censored as the longest."""
    rows = [
        [f"predicted: {name}", shown(mean), "-" if mean == low == high else ends(low, high)]
        for name, (mean, low, high) in result("iterations").items()
    ]
    limit = result("settings")["max_iterations"]
    trainings = result("trainings")
    left = [one for one in trainings if one["above"]]
    times = [one["above"] or limit + 1 for one in trainings]
    never = len(trainings) - len(left)
    rest = f"; {never} not within {limit:,}" if never else ""
    seen = sorted(one["above"] for one in left)
    rows.append(
        [
            f"{len(trainings)} trainings that went on: first above twice the loss",
            f"median {shown(median(times))}",
            f"{ends(seen[0], seen[-1])}{rest}",
        ]
    )
    spells = [one["below"] - one["above"] for one in left if one["below"]]
    stayed = len(left) - len(spells)
    rows.append(
        [
            "iterations until they were below it again",
            f"median {shown(median(spells))}",
            ends(min(spells), max(spells)) + (f"; {stayed} never" if stayed else ""),
        ]
    )
    single = result("single_steps")
    rows.append(
        [
            "steps from the checkpoint until a single one leaves, on average",
            shown(single["n"] / single["above"]),
            f"{single['above']} of {single['n']:,} left",
        ]
    )
    return ["", "iterations", "range"], rows


def steps_that_left(_: str) -> Table:
    before = [one["before"] / result("loss") for one in result("trainings") if one["above"]]
    return ["", "", "range"], [
        ["loss before the step, over that at the checkpoint (after it: over 2)", *middle(before)],
        ["curvature along the single steps", *middle(result("single_steps")["curvatures"])],
        ["largest eigenvalue of the Hessian", f"{result('largest_eigenvalue'):.2g}", ""],
        ["mean curvature over coordinates", f"{result('mean_curvature'):.2g}", ""],
    ]


def middle(values: list[float]) -> tuple[str, str]:
    return f"median {median(values):.2g}", f"{min(values):.2g} to {max(values):.2g}"


def shown(value: float | None) -> str:
    if value is None:
        return "never"
    return f"{value:g}" if value < 100 else f"{float(f'{value:.3g}'):,.0f}"


def ends(low: float | None, high: float | None) -> str:
    return f"{shown(low)} to {shown(high)}"


KINDS = (escape_that_happened, steps_that_left)
OUTPUTS = (predicted_escape,)
