"""``noise-lens theory weights``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from noise_lens_cli.options import task_options
from noise_lens_cli.printing import echo_json, echo_table
from noise_lens_cli.translate import translated


@click.command()
@click.argument(
    "checkpoints", nargs=-1, required=True, metavar="CHECKPOINT...",
    type=click.Path(path_type=Path),
)  # fmt: skip
@task_options
@click.option(
    "--every-tensor",
    is_flag=True,
    help="Also biases and scales of norms, if they are large enough.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@translated
def weights(
    checkpoints: tuple[Path, ...],
    task: str,
    task_arg: tuple[str, ...],
    every_tensor: bool,
    as_json: bool,
) -> None:
    """Estimate tail indices of the weights in each CHECKPOINT's layers; of several, of their mean.

    Beside them stand those of the task's initial weights: what no training at all reads.

    \b
    Example:
        noise-lens theory weights step-*.pt --task digits-mlp
    """
    from noise_lens.landscape import average_checkpoints, weight_tails
    from noise_lens.landscape._weight_tails import WARNING
    from noise_lens.tasks import load_task
    from noise_lens.tasks.task import parse_task_arguments

    loaded = load_task(task, parse_task_arguments(task_arg))
    mean = average_checkpoints(loaded, checkpoints)
    found = weight_tails(mean, layers_only=not every_tensor)
    initial = weight_tails(loaded.build_model(0), layers_only=not every_tensor)
    if as_json:
        echo_json(
            {
                "task": loaded.name,
                "checkpoints": [str(path) for path in checkpoints],
                "warning": WARNING,
                "tails": [asdict(tail) for tail in found],
                "initial": [asdict(tail) for tail in initial],
            }
        )
        return
    several = f"the mean of {len(checkpoints)} checkpoints"
    click.echo(f"{loaded.name}, {several if len(checkpoints) > 1 else checkpoints[0].name}")
    starts = {tail.tensor: tail for tail in initial}
    echo_table(
        ["layer", "weights", "published", "shuffled", "stable fit [95 %]", "Hill 5 % [95 %]",
         "excess kurtosis", "at init: published", "stable fit"],
        [
            [
                tail.tensor,
                f"{tail.n_weights:,}",
                f"{tail.published:.2f}",
                f"{tail.shuffled:.2f}",
                f"{tail.alpha:.2f} [{tail.low:.2f}, {tail.high:.2f}]",
                f"{tail.hill:.2f} [{tail.hill_low:.2f}, {tail.hill_high:.2f}]",
                f"{tail.excess_kurtosis:.2f}",
                f"{starts[tail.tensor].published:.2f}" if tail.tensor in starts else "-",
                f"{starts[tail.tensor].alpha:.2f}" if tail.tensor in starts else "-",
            ]
            for tail in found
        ],
    )  # fmt: skip
    click.echo(WARNING, err=True)
