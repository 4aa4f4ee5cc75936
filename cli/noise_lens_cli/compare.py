"""``noise-lens compare``."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import click

from noise_lens_cli.contrasts import (
    VIEWS,
    decompositions,
    echo_differences,
    echo_tuning,
    paired,
    views_of,
)
from noise_lens_cli.options import parsed_groups, probe_options, task_options
from noise_lens_cli.printing import Progress, echo_json, echo_table, number
from noise_lens_cli.translate import Interrupted, translated
from noise_lens_cli.verdicts import KINDS, labels_over_seeds


@click.command()
@task_options
@click.option(
    "--optimizers",
    default="sgd,adam,adal",
    show_default=True,
    help="Names with commas between; NAME@KEY=VALUE for options, as in padam@p=0.125.",
)
@click.option("--steps", type=int, default=1000, show_default=True, help="Training steps.")
@click.option(
    "--probe-steps",
    metavar="LIST",
    help="Steps at which to measure, with commas; 0, 10, 100, ... and the last by default.",
)
@click.option(
    "--seeds", type=click.IntRange(min=1), default=3, show_default=True,
    help="How many runs of every optimizer.",
)  # fmt: skip
@click.option("--lr", multiple=True, metavar="NAME=RATE", help="Learning rate of an optimizer.")
@click.option(
    "--tune",
    is_flag=True,
    help="Choose the other learning rates: 0.1 to 10 times each default, by the loss on a fifth of "
    "the training data held out for it.",
)
@click.option(
    "--tune-grid", multiple=True, metavar="NAME=RATE,RATE,...", help="A grid for one optimizer."
)
@click.option(
    "--baseline", metavar="NAME", help="What differences are from; sgd, else the first, by default."
)
@click.option(
    "--published", is_flag=True, help="Also the pooled estimator of the literature, same noise."
)
@click.option(
    "--groups", default="all", show_default=True, help="all, tensor, module, or patterns."
)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path),
    help="Run folder; runs/TASK by default. The same command resumes an interrupted one.",
)  # fmt: skip
@probe_options
@translated
def compare(
    task: str,
    task_arg: tuple[str, ...],
    optimizers: str,
    steps: int,
    probe_steps: str | None,
    seeds: int,
    lr: tuple[str, ...],
    tune: bool,
    tune_grid: tuple[str, ...],
    baseline: str | None,
    published: bool,
    n_minibatches: int,
    batch_size: int,
    view: tuple[str, ...],
    reference: str,
    groups: str,
    device: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Train a task under several optimizers and measure the noise on the way.

    For one seed all optimizers start from the same weights and see the same minibatches. With
    five seeds or more, differences may be claimed; with the view momentum it says how much of
    them averaging explains.

    \b
    Example:
        noise-lens compare --task digits-mlp --optimizers sgd,adam,adal --steps 1000 -o runs/demo
        noise-lens compare --task digits-mlp --optimizers sgd,adam,padam --seeds 5 --tune \\
            --view gradient --view momentum -n 4400 -o runs/averaging
    """
    from noise_lens import compare as compare_task
    from noise_lens.capture.schedule import logarithmic_steps
    from noise_lens.merging import read_run
    from noise_lens.tasks import load_task
    from noise_lens.tasks.task import parse_task_arguments

    loaded = load_task(task, parse_task_arguments(task_arg))
    folder = out or Path("runs") / loaded.name
    progress = Progress()
    names, rates = optimizers.split(","), dict(map(_rate, lr))
    try:
        with warnings.catch_warnings():
            # Said beside the rates that were tried, below.
            warnings.filterwarnings("ignore", message="the best learning rate of")
            found = compare_task(
                loaded,
                names,
                n_steps=steps,
                probe_steps=_integers(probe_steps) if probe_steps else logarithmic_steps(steps),
                n_minibatches=n_minibatches,
                batch_size=batch_size,
                seeds=range(seeds),
                views=view,
                groups=parsed_groups(groups),
                reference=reference,
                learning_rates=rates,
                tuning=_tuning(tune, tune_grid, names, list(rates)),
                baseline=baseline,
                published=published,
                device=device,
                out=folder,
                on_progress=progress,
            )
    except KeyboardInterrupt:
        n_saved = 0
        if (folder / "manifest.json").exists():
            run = read_run(folder)
            n_saved = sum(len({r["step"] for r in part.records}) for part in run.runs.values())
        raise Interrupted(
            f"Interrupted. {n_saved} finished measurements are in {folder}; "
            "the same command goes on from there."
        ) from None
    finally:
        progress.close()
    table = found.table()
    several = len(views_of(found)) > 1
    if as_json:
        parts = decompositions(found)
        echo_json(
            {
                "settings": found.settings,
                "folder": str(folder),
                "tuning": found.tuning,
                "diverged": found.diverged,
                "table": table,
                "summary": found.summary() if paired(found) else [],
                "differences": found.differences() if paired(found) else [],
                "decompositions": [row for one in parts for row in one.rows()],
                "predictions": [
                    {"optimizer": one.optimizer, "of": one.of, **prediction.row()}
                    for one in parts
                    for prediction in one.predictions
                ],
            }
        )
        return
    echo_tuning(found)
    echo_table(
        [*["view"][:several], "optimizer", "step", "seeds", "train loss", "test accuracy",
         "alpha of projections [95 %]", "verdict", "alpha of coordinates [95 %]", "verdict"],
        _rows_over_seeds(
            [row for row in table if row["group"] == "all"], set(found.diverged), several
        ),
    )  # fmt: skip
    echo_differences(found)
    for label, step in found.diverged.items():
        click.echo(f"{label} diverged before step {step}; it is left out", err=True)
    click.echo(
        "Means over seeds; intervals are Student's t over them, at least as wide as the probes' "
        "own. alpha is that of the stable law that fits the centre best; below 2 alone it is not "
        "evidence of heavy tails. Verdicts are given at the last step; for others: noise-lens "
        f"check RUN --step N.\nWrote {folder}",
        err=True,
    )
    if len(found.diverged) < len(found.runs):
        click.echo(f"Draw it with: noise-lens report {folder}", err=True)


def _rows_over_seeds(
    table: list[dict[str, Any]], diverged: set[str], several: bool
) -> list[list[str]]:
    from noise_lens.inference.seeds import over_seeds

    kept = [row for row in table if f"{row['optimizer']}-s{row['seed']}" not in diverged]
    lines = []
    keys = ("view", "optimizer", "step")
    for place in sorted(dict.fromkeys(tuple(row[key] for key in keys) for row in kept), key=_view):
        here = [row for row in kept if tuple(row[key] for key in keys) == place]
        view, optimizer, step = place
        cells = []
        for of in KINDS:
            rows = [row for row in here if row["of"] == of]
            values, lows, highs = ([row[key] for row in rows] for key in ("alpha", "low", "high"))
            mean = over_seeds(values, lows, highs, upper=2.0)
            cells.append(f"{number(mean.mean)} [{number(mean.low)}, {number(mean.high)}]")
            cells.append(labels_over_seeds(rows))
        metrics = [
            number(sum(row[key] for row in here) / len(here), 3) if key in here[0] else "-"
            for key in ("train/loss", "test/accuracy")
        ]
        lines.append([*[view][:several], optimizer, f"{step:,}", str(len(rows)), *metrics, *cells])
    return lines


def _view(place: tuple[Any, ...]) -> int:
    return VIEWS.index(place[0])


def _tuning(
    tune: bool, grids: tuple[str, ...], optimizers: list[str], named: list[str]
) -> bool | dict[str, list[float]]:
    if not grids:
        return tune
    from noise_lens.comparison.tuning import grid_of

    found = dict(map(_grid, grids))
    rest = [name for name in optimizers if name not in found and name not in named]
    return {**(grid_of(rest, True) if tune else {}), **found}


def _grid(pair: str) -> tuple[str, list[float]]:
    name, _, rates = pair.rpartition("=")
    try:
        return name, [float(rate) for rate in rates.split(",")]
    except ValueError as error:
        raise ValueError(
            f"--tune-grid takes NAME=RATE,RATE such as sgd=0.03,0.1,0.3, got {pair!r}"
        ) from error


def _integers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ValueError(f"--probe-steps takes whole numbers with commas, got {text!r}") from error


def _rate(pair: str) -> tuple[str, float]:
    name, _, rate = pair.rpartition("=")
    try:
        return name, float(rate)
    except ValueError as error:
        raise ValueError(f"--lr takes NAME=RATE such as sgd=0.1, got {pair!r}") from error
