"""``noise-lens measure``."""

from __future__ import annotations

from pathlib import Path

import click

from noise_lens_cli.options import parsed_groups, probe_options, task_options
from noise_lens_cli.printing import Progress, echo_json, echo_table, interval, number
from noise_lens_cli.translate import translated
from noise_lens_cli.verdicts import echo_verdicts


@click.command()
@click.argument("checkpoint", required=False, type=click.Path(path_type=Path))
@task_options
@click.option(
    "--groups",
    default="tensor",
    show_default=True,
    help="all, tensor, module, or patterns such as '*.weight,*.bias'; all is always there.",
)
@click.option(
    "--mode", type=click.Choice(["train", "eval"]), default="train", show_default=True,
    help="Mode of the model.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write a run folder there.")
@probe_options
@translated
def measure(
    checkpoint: Path | None,
    task: str,
    task_arg: tuple[str, ...],
    n_minibatches: int,
    batch_size: int,
    view: tuple[str, ...],
    reference: str,
    groups: str,
    mode: str,
    seed: int,
    device: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure the gradient noise of a task at the weights of CHECKPOINT.

    CHECKPOINT is a .safetensors, .pt, .pth, .bin or .ckpt file with a state dict; without one
    the task's initial weights are measured. It prints a verdict on all parameters together, then a
    table of groups.

    \b
    Example:
        noise-lens measure model.safetensors --task digits-mlp -b 32 -o runs/model
        noise-lens measure --task my_project.tasks:cifar --task-arg depth=20 --json
    """
    from noise_lens import measure as measure_task
    from noise_lens.capture.budget import budget_text
    from noise_lens.tasks import load_task
    from noise_lens.tasks.task import parse_task_arguments

    def show_budget(lines: dict[str, int]) -> None:
        click.echo(
            f"Memory on the device beside model and autograd:\n{budget_text(lines)}", err=True
        )

    progress = Progress()
    try:
        found = measure_task(
            load_task(task, parse_task_arguments(task_arg)),
            checkpoint,
            n_minibatches=n_minibatches,
            batch_size=batch_size,
            views=view,
            reference=reference,
            groups=parsed_groups(groups),
            mode=mode,  # type: ignore[arg-type] # click.Choice
            seed=seed,
            device=device,
            out=out,
            on_budget=show_budget,
            on_progress=progress,
        )
    finally:
        progress.close()
    table = found.table()
    if as_json:
        echo_json({**found.manifest, "folder": None if out is None else str(out), "table": table})
        return
    first = found.records[0]
    click.echo(
        f"{found.manifest['settings']['task']}: {first['n_rows']} rows of noise from "
        f"{first['n_minibatches']} minibatches of {first['batch_size'] or 'unequal size'}, "
        f"{first['sampling']}; mode {first['mode']}, loss {first['loss']:.4g}\n"
        f"subtracted: {first['reference']} ({first['reference_reason']})"
    )
    echo_verdicts(found)
    echo_table(
        ["group", "parameters", "of", "verdict", "alpha [95 %]", "alpha of sums [95 %]",
         "noise norm", "zeros: gradient", "noise"],
        [
            [
                row["group"],
                f"{row['n_parameters']:,}",
                row["of"],
                row["verdict"] or "-",
                interval(row, "alpha", "low", "high"),
                interval(row, "verdict_alpha", "verdict_low", "verdict_high"),
                f"{row['noise_norm_mean']:.2g}",
                f"{number(100 * row['gradient_zero_share'], 1)} %",
                f"{number(100 * row['noise_zero_share'], 1)} %",
            ]
            for row in table
        ],
    )  # fmt: skip
    reasons: dict[str, list[str]] = {}
    for row in table:
        if row["reason"]:
            reasons.setdefault(row["reason"], []).append(f"{row['group']} ({row['of']})")
    for reason, where in reasons.items():
        click.echo(f"No estimate for {', '.join(where)}: {reason}", err=True)
    click.echo(
        "alpha is that of the stable law that fits the centre best; below 2 alone it is not "
        "evidence of heavy tails. The verdict says whether it may be read as a tail index.",
        err=True,
    )
    if out is not None:
        click.echo(f"Wrote {out}; draw it with: noise-lens report {out}", err=True)
