"""``noise-lens theory predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from noise_lens_cli.printing import Progress, echo_json
from noise_lens_cli.translate import translated


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--task", metavar="NAME", help="What RUN measured, to compute its curvature.")
@click.option(
    "--task-arg", multiple=True, metavar="KEY=VALUE", help="Argument of the task's callable."
)
@click.option(
    "--checkpoint", type=click.Path(path_type=Path),
    help="The weights that RUN measured, for their curvature where RUN does not hold it yet, and "
    "for --towards; its task's initial ones without it.",
)  # fmt: skip
@click.option("--barrier", type=float, help="By how much the loss must rise to leave the basin.")
@click.option(
    "--towards", type=click.Path(path_type=Path), metavar="CHECKPOINT",
    help="Take the barrier from the straight line to these weights. Needs --task.",
)  # fmt: skip
@click.option("--learning-rate", type=float, help="Of training, where RUN does not say it.")
@click.option(
    "--optimizer", type=click.Choice(["sgd", "adam"]), help="Whose theory; RUN's own if it can be."
)
@click.option("--step", type=int, help="A measured step; the last one without it.")
@click.option("--group", default="all", show_default=True, help="Whose noise.")
@click.option("--device", help="cpu, cuda, cuda:1; a GPU if there is one by default.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@translated
def predict(
    run: Path,
    task: str | None,
    task_arg: tuple[str, ...],
    checkpoint: Path | None,
    barrier: float | None,
    towards: Path | None,
    learning_rate: float | None,
    optimizer: str | None,
    step: int | None,
    group: str,
    device: str | None,
    as_json: bool,
) -> None:
    """Say what the theory of Levy-driven escape gives for RUN, and what RUN violates of it first.

    Tail index and noise scales are those of the run folder. The curvature is taken from it, too;
    where it is not there yet, it is computed at the same weights with --task and --checkpoint, and
    kept in the folder.

    \b
    Example:
        noise-lens theory predict runs/model --task digits-mlp --checkpoint model.safetensors \\
            --learning-rate 0.1
        noise-lens theory predict runs/model --learning-rate 0.1 --barrier 0.5 --json
    """
    from dataclasses import asdict

    from noise_lens.landscape import loss_along_line
    from noise_lens.prediction import check_given, curvature_of_run
    from noise_lens.prediction import predict as predicted
    from noise_lens.tasks import load_task
    from noise_lens.tasks.task import parse_task_arguments

    if task is None and (checkpoint is not None or towards is not None or task_arg):
        raise click.UsageError(
            "--checkpoint, --towards and --task-arg need --task: it has the model and the data of "
            "the loss"
        )
    if barrier is not None and towards is not None:
        raise click.UsageError("--barrier and --towards both give the barrier; leave one out")
    known = line = None
    where: dict[str, Any] = {} if device is None else {"device": device}
    if task is not None:
        loaded = load_task(task, parse_task_arguments(task_arg))
        check_given(
            run, step=step, group=group, barrier=barrier, learning_rate=learning_rate,
            optimizer=optimizer,
        )  # fmt: skip
        progress = Progress()
        try:
            known = curvature_of_run(
                run, loaded, checkpoint, step=step, group=group, on_progress=progress,
                **where,
            )  # fmt: skip
        finally:
            progress.close()
        if towards is not None:
            if checkpoint is None and known.checkpoint_sha256 is not None:
                raise click.UsageError(
                    f"--towards needs --checkpoint {known.checkpoint}, too: the line starts at the "
                    f"weights that {run} measured, and a run folder keeps their curvature but not "
                    "the weights. Or give --barrier, which needs neither"
                )
            start = loaded.build_model(known.seed) if checkpoint is None else checkpoint
            line = loss_along_line(loaded, start, towards, device=device)
            click.echo(str(line), err=True)
    found = predicted(
        run,
        known,
        step=step,
        group=group,
        barrier=barrier if line is None else line,
        learning_rate=learning_rate,
        optimizer=optimizer,
    )
    if as_json:
        violations = [one._asdict() for one in found.violations]
        ends = ("mean", "low", "high")
        escapes = [
            {**asdict(one), "iterations": dict(zip(ends, one.iterations, strict=True))}
            for one in found.escapes
        ]
        content = {**asdict(found), "violations": violations, "escapes": escapes}
        echo_json({"violations": content.pop("violations"), **content})
        return
    click.echo(str(found))
