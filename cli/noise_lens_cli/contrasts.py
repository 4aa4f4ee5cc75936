"""What separates optimizers, in tables for people."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from noise_lens_cli.printing import echo_table, number

if TYPE_CHECKING:
    from noise_lens import Comparison
    from noise_lens.contrasts import Decomposition

VIEWS = ("gradient", "momentum", "update", "transformed", "trajectory")
_METRICS = ("test/accuracy", "gap/accuracy", "test/loss", "gap/loss")


def views_of(found: Comparison) -> list[str]:
    """Return the views that were measured, in the order of tables."""
    there = {record["view"] for records in found.runs.values() for record in records}
    return [view for view in VIEWS if view in there]


def paired(found: Comparison) -> bool:
    """Return whether there are differences with a spread: two optimizers, and two seeds of each."""
    counts = Counter(_ended(found))
    baseline = found.settings["baseline"]
    return counts[baseline] > 1 and any(n > 1 for name, n in counts.items() if name != baseline)


def decompositions(found: Comparison) -> list[Decomposition]:
    """Return what averaging explains, for every optimizer and kind of rows.

    Parameters
    ----------
    found : Comparison
        With the view ``momentum`` or ``trajectory``.

    Returns
    -------
    list of Decomposition
        Empty where no view averages.
    """
    if not paired(found) or not {"momentum", "trajectory"} & set(views_of(found)):
        return []
    ended = set(_ended(found))
    return [
        found.decompose(name, of=of)
        for of in ("coordinates", "projections")
        for name in found.settings["optimizers"]
        if name in ended and name != found.settings["baseline"]
    ]


def _ended(found: Comparison) -> list[str]:
    return [name.rpartition("-s")[0] for name in found.runs if name not in found.diverged]


def echo_tuning(found: Comparison) -> None:
    """Print the learning rates that were tried, and the one that was taken."""
    for name, losses in found.tuning.items():
        taken = f"{found.settings['learning_rates'][name]:g}"
        tried = ", ".join(
            f"{rate}: {'diverged' if loss is None else f'{loss:.3g}'}"
            for rate, loss in losses.items()
        )
        click.echo(f"{name}: learning rate {taken} by held-out loss ({tried})", err=True)
        rates = [float(rate) for rate in losses]
        if len(rates) > 1 and float(taken) in (min(rates), max(rates)):
            click.echo(
                f"Warning: {taken} is at the end of the grid of {name}, and a better rate may lie "
                f"outside. Give a wider one: --tune-grid {name}=...",
                err=True,
            )


def echo_differences(found: Comparison) -> None:
    """Print paired differences at the last step, and what averaging explains of them.

    Parameters
    ----------
    found : Comparison
        Of one seed or more; with one there is no interval.
    """
    if not paired(found):
        baseline = found.settings["baseline"]
        if len(found.settings["optimizers"]) > 1 and baseline not in _ended(found):
            click.echo(f"Every run of the baseline {baseline} diverged: no differences.", err=True)
        return
    last = found.settings["probe_steps"][-1]
    rows = [row for row in found.differences() if row["at"] == last]
    wanted = [
        row
        for row in rows
        if row["quantity"] in _METRICS or (row["quantity"] == "alpha" and row["group"] == "all")
    ]
    if not wanted:
        return
    click.echo(f"\nDifferences from {found.settings['baseline']} at step {last:,}, by seed:")
    echo_table(
        ["optimizer", "quantity", "difference [95 %]", "pairs", "claim"],
        [
            [row["optimizer"], _quantity(row), _interval(row), str(row["n"]), _claim(row)]
            for row in wanted
        ],
    )
    parts = decompositions(found)
    if parts:
        click.echo("\nWhat averaging explains of the difference in alpha:")
        echo_table(
            ["optimizer", "of", "own averages - raw of baseline", "= averaging alone",
             "+ remainder", "share of averaging [95 %]", "raw - raw of baseline"],
            [
                [
                    one.optimizer, one.of, _interval(vars(one.apparent)),
                    _interval(vars(one.averaging)), _interval(vars(one.remainder)), _share(one),
                    _interval(vars(one.weights)),
                ]
                for one in parts
            ],
        )  # fmt: skip
    click.echo(
        "\nStudent's t over seeds on differences of runs with the same weights and minibatches at "
        "the start; 5 seeds or more for a claim, one in twenty of which is false where nothing "
        "differs.",
        err=True,
    )


def _quantity(row: dict[str, Any]) -> str:
    if row["view"] is None:
        return str(row["quantity"])
    return f"alpha of {row['of']}, {row['view']}"


def _interval(row: dict[str, Any]) -> str:
    mean, low, high = (number(row[key], 3) for key in ("mean", "low", "high"))
    return mean if low == "-" else f"{mean} [{low}, {high}]"


def _claim(row: dict[str, Any]) -> str:
    return str(row["claim"] or f"none: {row['reason']}")


def _share(one: Decomposition) -> str:
    from noise_lens.contrasts import CLAIM_PAIRS

    share = one.share
    if number(share.value) == "-" or share.n < CLAIM_PAIRS:
        return "withheld"
    return f"{number(share.value)} [{number(share.low)}, {number(share.high)}]"
