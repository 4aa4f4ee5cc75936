"""``noise-lens check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from noise_lens_cli.printing import echo_json, number
from noise_lens_cli.translate import translated

if TYPE_CHECKING:
    from noise_lens.run import Run

MET, NOT_MET, UNDECIDED = 0, 3, 4
_MEETS = {"heavy-tailed": "stable", "gaussian": "gaussian"}
_UNDECIDED = ("inconclusive", "unusable")


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--expect", required=True, type=click.Choice(list(_MEETS)), help="What the noise should be."
)
@click.option("--group", default="all", show_default=True, help="A group of the run.")
@click.option("--step", default="last", show_default=True, help="A probed step, or last.")
@click.option("--view", default="gradient", show_default=True, help="Which noise.")
@click.option(
    "--of", type=click.Choice(["projections", "coordinates"]), default="projections",
    show_default=True, help="Kind of rows.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
@translated
def check(
    context: click.Context,
    run: Path,
    expect: str,
    group: str,
    step: str,
    view: str,
    of: str,
    as_json: bool,
) -> None:
    """Say by the exit status whether the noise of RUN is as expected.

    \b
    0   expectation met: the verdict is stable (heavy-tailed), or gaussian
    3   not met: any other verdict
    4   undecided: inconclusive or unusable
    1   there is no such measurement; 2 wrong usage
    Of a comparison every run that did not diverge is checked, each test at 5 % by itself: 3 if one
    is not met, else 4 if one is undecided.

    \b
    Example:
        noise-lens check runs/model --expect gaussian --of coordinates
    """
    from noise_lens.judging import verdict_at
    from noise_lens.merging import read_run

    found = []
    for name, one in _runs(read_run(run)).items():
        at = _step(one, step, view)
        for warning in one.warnings:
            click.echo(f"{name}: {warning}", err=True)
        verdict = verdict_at(one, step=at, group=group, of=of, view=view)
        found.append((name, at, verdict, _status(verdict.label, expect)))
    statuses = [status for *_, status in found]
    status = NOT_MET if NOT_MET in statuses else max(statuses)
    if as_json:
        asked = {"expect": expect, "group": group, "view": view, "of": of}
        rows = [
            {
                "run": name,
                "step": at,
                "label": verdict.label,
                "assumption": verdict.assumption,
                "alpha": verdict.alpha,
                "interval": verdict.interval,
                "block_sizes": verdict.block_sizes,
                "pvalue": verdict.pvalue,
                "n_needed": verdict.n_needed,
                "reasons": verdict.reasons,
                "warnings": [warning._asdict() for warning in verdict.warnings],
                "exit_status": reached,
            }
            for name, at, verdict, reached in found
        ]
        echo_json({**asked, "verdicts": rows, "exit_status": status})
        context.exit(status)
    words = {MET: "met", NOT_MET: "not met", UNDECIDED: "undecided"}
    for name, at, verdict, reached in found:
        click.echo(
            f"{name}, step {at:,}, {group}, {of}: {verdict.label} ({verdict.words}), alpha "
            f"{number(verdict.alpha)} [{number(verdict.interval[0])}, "
            f"{number(verdict.interval[1])}]; {expect}: {words[reached]}"
        )
        for reason in verdict.reasons:
            click.echo(f"  {reason}", err=True)
    context.exit(status)


def _runs(run: Run) -> dict[str, Run]:
    if not run.runs:
        return {run.folder.resolve().name: run}
    kept = {
        name: one
        for name, one in run.runs.items()
        if (one.closed or {}).get("status") != "diverged"
    }
    if not kept:
        raise ValueError(f"every run of {run.folder} diverged: there is nothing to check")
    return kept


def _step(run: Run, asked: str, view: str) -> int:
    if asked == "last":
        steps: list[int] = [record["step"] for record in run.records if record["view"] == view]
        if not steps:
            raise ValueError(f"{run.folder} holds no finished measurement of view {view!r} yet")
        return max(steps)
    try:
        return int(asked)
    except ValueError as error:
        raise click.UsageError(f"--step takes a number or last, got {asked!r}") from error


def _status(label: str, expect: str) -> int:
    if label in _UNDECIDED:
        return UNDECIDED
    return MET if label == _MEETS[expect] else NOT_MET
