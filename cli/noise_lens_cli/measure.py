"""``noise-lens measure``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from noise_lens_cli.options import parsed_groups, probe_options, task_options
from noise_lens_cli.printing import Progress, echo_json, echo_table, interval, number
from noise_lens_cli.translate import translated
from noise_lens_cli.verdicts import KINDS, echo_verdicts

if TYPE_CHECKING:
    from noise_lens import Measurement
    from noise_lens.tasks.checkpoint import Step


@click.command()
@click.argument("checkpoints", nargs=-1, metavar="[CHECKPOINT]...", type=click.Path(path_type=Path))
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
@click.option(
    "--steps",
    metavar="N,N,...",
    help="Training step of each checkpoint, if neither it nor its name says so.",
)
@click.option(
    "--optimizer", metavar="NAME",
    help="Whose views, with its state from the checkpoint: sgd, adam, adal, padam, adai, ...",
)  # fmt: skip
@click.option("--beta", type=float, help="Decay of averages, if not the optimizer's.")
@click.option(
    "--published", is_flag=True, help="Also the pooled estimator of the literature, same noise."
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write a run folder there.")
@probe_options
@translated
def measure(
    checkpoints: tuple[Path, ...],
    task: str,
    task_arg: tuple[str, ...],
    n_minibatches: int,
    batch_size: int,
    view: tuple[str, ...],
    reference: str,
    optimizer: str | None,
    beta: float | None,
    published: bool,
    groups: str,
    mode: str,
    seed: int,
    steps: str | None,
    device: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure the gradient noise of a task at the weights of each CHECKPOINT.

    CHECKPOINT is a .safetensors, .pt, .pth, .bin or .ckpt file with a state dict, a Hugging Face
    folder, or a folder of torch.distributed.checkpoint; without one the task's initial weights are
    measured. It prints a verdict on all parameters together, then a table of groups.

    Under torchrun ranks share the minibatches and meet in the folder of -o; rank 0 waits for the
    others and prints the measurement of all.

    Several checkpoints are steps of one run: they share minibatches and sampled coordinates, and
    the report draws their tail index against the training step.

    \b
    Example:
        noise-lens measure model.safetensors --task digits-mlp -b 32 -o runs/model
        noise-lens measure ckpt.pt --task digits-mlp --optimizer adam --view gradient --view update
        noise-lens measure ckpt/step-*.pt --task digits-mlp -o runs/training
        noise-lens measure --task my_project.tasks:cifar --task-arg depth=20 --json
        torchrun --nproc-per-node 4 --no-python noise-lens measure --task digits-mlp -o runs/model
    """
    import noise_lens as nl
    from noise_lens.capture.budget import budget_text
    from noise_lens.capture.ranks import ranks_here
    from noise_lens.tasks import load_task
    from noise_lens.tasks.task import parse_task_arguments

    def show_budget(lines: dict[str, int]) -> None:
        progress.close()
        click.echo(
            f"Memory on the device beside model and autograd:\n{budget_text(lines)}", err=True
        )

    progress = Progress()
    shown_here = ranks_here().rank == 0
    options: dict[str, Any] = {
        "n_minibatches": n_minibatches,
        "batch_size": batch_size,
        "views": view,
        "reference": reference,
        "optimizer": optimizer,
        "beta": beta,
        "published": published,
        "groups": parsed_groups(groups),
        "mode": mode,
        "seed": seed,
        "device": device,
        "out": out,
        "on_budget": show_budget if shown_here else None,
        "on_progress": progress if shown_here else None,
    }
    loaded = load_task(task, parse_task_arguments(task_arg))
    try:
        if len(checkpoints) > 1 or steps is not None:
            shown = _Trajectory(checkpoints, progress, out, quiet=as_json)
            measured = nl.measure_trajectory(
                loaded,
                checkpoints,
                steps=None if steps is None else _numbers(steps),
                on_steps=shown.echo_steps,
                on_measured=shown.echo_measured,
                **options,
            )
        else:
            measured = [nl.measure(loaded, checkpoints[0] if checkpoints else None, **options)]
            progress.close()
            if _is_part(measured[0]):
                return
            if not as_json:
                _echo_measurement(measured[0])
    except nl.NoiseLensError as error:
        progress.close()
        for note in getattr(error, "__notes__", ()):  # which of several checkpoints it was
            click.echo(note, err=True)
        raise
    finally:
        progress.close()
    if as_json:
        table = [row for measurement in measured for row in measurement.table()]
        folder = None if out is None else str(out)
        echo_json({**measured[0].manifest, "folder": folder, "table": table})
        return
    if len(measured) > 1:
        _echo_summary(measured)
    click.echo(
        "alpha is that of the stable law that fits the centre best; below 2 alone it is not "
        "evidence of heavy tails. The verdict says whether it may be read as a tail index.",
        err=True,
    )
    if out is not None:
        click.echo(f"Wrote {out}; draw it with: noise-lens report {out}", err=True)


class _Trajectory:
    """Shows several checkpoints while they are measured."""

    def __init__(
        self, checkpoints: Sequence[Path], progress: Progress, out: Path | None, *, quiet: bool
    ) -> None:
        self._checkpoints, self._progress = checkpoints, progress
        self._out, self._quiet = out, quiet
        self._steps: Sequence[Step] = ()
        self._n_measured = 0

    def echo_steps(self, steps: Sequence[Step]) -> None:
        """Say on stderr which step each checkpoint is, and who says so."""
        self._steps = steps
        for path, step in zip(self._checkpoints, steps, strict=True):
            click.echo(f"{path}: step {step.number}, from {step.source}", err=True)

    def echo_measured(self, found: Measurement) -> None:
        """Print one measurement when it is done, so that a later failure does not hide it."""
        self._progress.close()
        path, step = self._checkpoints[self._n_measured], self._steps[self._n_measured]
        self._n_measured += 1
        kept = "" if self._out is None else f", kept in {self._out}"
        click.echo(
            f"Measured {self._n_measured} of {len(self._checkpoints)}: {path}{kept}", err=True
        )
        if not self._quiet:
            click.echo(f"Step {step.number}: {path}")
            _echo_measurement(found)
            click.echo()


def _numbers(steps: str) -> list[int]:
    try:
        return [int(step) for step in steps.split(",")]
    except ValueError:
        raise click.BadParameter(
            f"{steps!r} is no list of whole numbers such as 0,100,1000", param_hint="--steps"
        ) from None


def _is_part(found: Measurement) -> bool:
    """Return whether these are rows of one of several ranks, and say who has the verdict."""
    n_ranks = found.manifest.get("world_size", 1)
    if n_ranks > 1:
        record = found.records[0]
        click.echo(
            f"Rank {record['rank']} of {n_ranks}: {record['n_rows']} rows; rank 0 judges all.",
            err=True,
        )
    return bool(n_ranks > 1)


def _echo_measurement(found: Measurement) -> None:
    first = found.records[0]
    click.echo(
        f"{found.manifest['settings']['task']}: {first['n_rows']} rows of noise from "
        f"{first['n_minibatches']} minibatches of {first['batch_size'] or 'unequal size'}, "
        f"{first['sampling']}; mode {first['mode']}, loss {first['loss']:.4g}\n"
        f"subtracted: {first['reference']} ({first['reference_reason']})"
    )
    for name, part in found.views.items():
        if len(found.views) > 1:
            click.echo(f"\nView {name}: {_made_of(part)}")
        echo_verdicts(part)
    if first["published_alpha"] is not None:
        click.echo(
            f"\nThe literature's pooled estimator reads {first['published_alpha']:.2f} on the same "
            f"noise (blocks of {first['published_block_size']:,} neighbouring coordinates); it "
            "reads far below 2 on Gaussian noise too, and is no evidence."
        )
    table = found.table()
    several = len(found.views) > 1
    echo_table(
        [*["view"][:several], "group", "parameters", "of", "verdict", "alpha [95 %]",
         "alpha of sums [95 %]", "noise norm", "zeros: gradient", "noise"],
        [
            [
                *[row["view"]][:several],
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
            named = f"{row['group']} ({row['of']})"
            named = f"{row['view']} of {named}" if several else named
            reasons.setdefault(row["reason"], []).append(named)
    for reason, where in reasons.items():
        click.echo(f"No estimate for {', '.join(where)}: {reason}", err=True)


def _made_of(part: Measurement) -> str:
    """Return in words what the rows of a view are."""
    record = part.records[0]
    whose = f" of {record['optimizer']}" if record["optimizer"] else ""
    rows = f"{record['n_rows']} rows{whose}"
    if record["window"] > 1:
        rows += f", each of {record['window']} minibatches (beta {record['beta']:g})"
    if part.verdicts:
        return rows
    return f"{rows}; fewer than 200 give an estimate, no verdict"


def _echo_summary(measured: Sequence[Measurement]) -> None:
    rows = [row for found in measured for row in found.table() if row["group"] == "all"]
    header = ["step", "of", "verdict", "alpha [95 %]", "alpha of sums [95 %]", "noise norm", "loss"]
    cells = [
        [
            f"{row['step']:,}",
            row["of"],
            row["verdict"] or "-",
            interval(row, "alpha", "low", "high"),
            interval(row, "verdict_alpha", "verdict_low", "verdict_high"),
            f"{row['noise_norm_mean']:.2g}",
            f"{row['loss']:.4g}",
        ]
        for of in KINDS
        for row in sorted(rows, key=lambda row: int(row["step"]))
        if row["of"] == of
    ]
    click.echo("All parameters together, by step:")
    echo_table(header, cells)
