"""``noise-lens theory line``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from noise_lens_cli.options import task_options
from noise_lens_cli.printing import echo_json, echo_table
from noise_lens_cli.translate import translated


@click.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@task_options
@click.option(
    "--points", type=click.IntRange(min=3), default=41, show_default=True,
    help="From end to end, both included.",
)  # fmt: skip
@click.option(
    "--beyond", type=float, default=0.0, show_default=True,
    help="Go on so far behind both ends, in units of their distance.",
)  # fmt: skip
@click.option(
    "--buffers", type=click.Choice(["recomputed", "interpolated"]), default="recomputed",
    show_default=True, help="Running statistics of BatchNorm.",
)  # fmt: skip
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE.svg", help="Also draw it."
)  # fmt: skip
@click.option("--device", help="cpu, cuda, cuda:1; a GPU if there is one by default.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@translated
def line(
    first: Path,
    second: Path,
    task: str,
    task_arg: tuple[str, ...],
    points: int,
    beyond: float,
    buffers: Literal["recomputed", "interpolated"],
    plot: Path | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Say whether a ridge lies on the straight line between two checkpoints FIRST and SECOND.

    \b
    Example:
        noise-lens theory line step-1000.pt step-2000.pt --task digits-mlp --plot line.svg
    """
    from noise_lens.landscape import loss_along_line
    from noise_lens.tasks import load_task
    from noise_lens.tasks.task import parse_task_arguments
    from noise_lens_cli.theory.drawing import check_target, save

    check_target(plot)
    loaded = load_task(task, parse_task_arguments(task_arg))
    found = loss_along_line(
        loaded, first, second, n_points=points, beyond=beyond, buffers=buffers, device=device
    )
    if plot is not None:
        from noise_lens.figures import plot_loss_line

        save(lambda: plot_loss_line(found), plot)
    if as_json:
        echo_json(
            {
                "task": found.task,
                "first": found.first,
                "second": found.second,
                "barrier": found.barrier,
                "ridge": found.ridge,
                "ridge_at": found.ridge_at,
                "excess_over_chord": found.excess,
                "rise_from_first": found.rise_from_first,
                "rise_from_second": found.rise_from_second,
                "one_basin": found.one_basin,
                "distance": found.distance,
                "batch_norm": found.batch_norm,
                "fractions": found.fractions,
                "train_loss": found.train,
                "test_loss": found.test,
                "metrics": found.metrics,
            }
        )
        return
    click.echo(str(found))
    click.echo(
        f"rise from the first end {found.rise_from_first:.4g}, from the second "
        f"{found.rise_from_second:.4g}; above the chord {found.excess:.4g}; BatchNorm statistics: "
        f"{found.batch_norm}"
    )
    columns = {"train loss": found.train}
    if found.test is not None:
        columns["test loss"] = found.test
    columns |= {name.replace("/", " "): values for name, values in found.metrics.items()}
    shown = range(0, len(found.fractions), max(1, (len(found.fractions) - 1) // 10))
    echo_table(
        ["t", *columns],
        [
            [f"{found.fractions[i]:.2f}", *(f"{values[i]:.4g}" for values in columns.values())]
            for i in shown
        ],
    )
