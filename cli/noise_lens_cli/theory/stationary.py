"""``noise-lens theory stationary``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from noise_lens_cli.printing import Progress, echo_json, number
from noise_lens_cli.theory.stationary_output import (
    cell_entry,
    echo_cells,
    echo_tails,
    sample_document,
    tail_entry,
    theory_document,
)
from noise_lens_cli.translate import translated

if TYPE_CHECKING:
    from noise_lens.theory.kesten import KestenTail


@click.command()
@click.option("--step-size", type=float, help="eta of SGD.")
@click.option("--batch-size", type=int, help="b, rows a minibatch.")
@click.option("--dim", type=int, help="d, coordinates; not with --data.")
@click.option(
    "--sigma", type=float, show_default="1.0", help="Of inputs N(0, sigma^2); not with --data."
)
@click.option("--momentum", type=float, default=0.0, show_default=True, help="As torch.optim.SGD.")
@click.option(
    "--data",
    metavar="FILE",
    help="Minibatches of this array instead of fresh rows; its last column is the target.",
)
@click.option("--replicas", type=int, default=100_000, show_default=True, help="Independent runs.")
@click.option("--steps", type=int, help="Of each run; 20 / |Lyapunov exponent| by default.")
@click.option("--no-simulation", is_flag=True, help="The theory alone.")
@click.option(
    "--protocol", is_flag=True, help="The published experiment instead: 70 cells, some minutes."
)
@click.option(
    "--cells", metavar="B:ETA,...", help="Of the protocol: these alone, such as 1:0.02,5:0.1."
)
@click.option("--runs", type=int, help="Of the protocol: 1600 as published.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything.")
@click.option("--plot", metavar="FILE.svg", help="Draw the tail index against the step size.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@translated
def stationary(
    step_size: float | None,
    batch_size: int | None,
    dim: int | None,
    sigma: float | None,
    momentum: float,
    data: str | None,
    replicas: int,
    steps: int | None,
    no_simulation: bool,
    protocol: bool,
    cells: str | None,
    runs: int | None,
    device: str,
    seed: int,
    plot: str | None,
    as_json: bool,
) -> None:
    """Say how heavy SGD makes its own iterates on linear regression, and simulate it.

    Inputs are fresh Gaussian rows, or the rows of a data set. First what theory says: the tail
    index of the stationary law, or that there is none. Then what estimators read on simulated
    replicas, each with what it is biased towards. These are tails of iterates, not of gradient
    noise.

    --protocol repeats the published experiment (Gurbuzbalaban et al., 2021) and says beside each
    of its readings what theory says of that cell. In JSON null stands for no number: the words
    beside it say why.

    \b
    Example:
        noise-lens theory stationary --step-size 0.6 --batch-size 1 --dim 2
        noise-lens theory stationary --step-size 0.1 --batch-size 5 --dim 100 --no-simulation
        noise-lens theory stationary --protocol --cells 5:0.02,5:0.1 --json
    """
    if protocol:
        given = {"--step-size": step_size, "--batch-size": batch_size, "--dim": dim, "--data": data,
                 "--steps": steps, "--plot": plot}  # fmt: skip
        _refuse(given, "sets a single simulation, and --protocol has its own grid: see --cells")
        _protocol(cells, runs, device, seed, no_simulation=no_simulation, as_json=as_json)
        return
    _refuse({"--cells": cells, "--runs": runs}, "is for --protocol")
    if step_size is None or batch_size is None or (dim is None and data is None):
        raise click.UsageError(
            "--step-size, --batch-size and --dim are needed (or --data for --dim), or --protocol"
        )
    if plot and (data is not None or momentum):
        raise click.UsageError("--plot draws the theory of fresh Gaussian rows without momentum")
    if plot and not plot.endswith(".svg"):
        raise click.UsageError(f"--plot writes an .svg file, got {plot}: name it so")
    if plot and not Path(plot).absolute().parent.is_dir():
        raise ValueError(f"{plot} cannot be written: there is no folder {Path(plot).parent}")
    if data is not None:
        _refuse({"--sigma": sigma}, "describes fresh rows, and --data has its own: leave it out")
    sigma = 1.0 if sigma is None else sigma
    table = _table(data, dim)
    rows = None
    if table is not None or not no_simulation:
        # All that is asked, before anything is printed.
        from noise_lens.theory.stationary.arguments import checked

        rows, _ = checked(
            step_size, batch_size, dim, sigma=sigma, data=_pair(table), momentum=momentum,
            n_replicas=1 if no_simulation else replicas, n_steps=steps,
            device="cpu" if no_simulation else device, seed=seed,
        )  # fmt: skip
    tail = _theory(step_size, batch_size, dim, sigma, momentum, rows if data else None)
    gaussian = table is None and not momentum
    stated = theory_document(tail, batch_size, dim if gaussian else None, sigma)
    document: dict[str, Any] = {
        "settings": {
            "step_size": step_size,
            "batch_size": batch_size,
            "dim": dim if table is None else table.shape[1] - 1,
            "sigma": sigma if table is None else None,
            "momentum": momentum,
            "data": data,
            "seed": seed,
        },
        "theory": stated,
        "simulation": None,
        "tails": [],
    }
    if not as_json:
        click.echo(f"theory: {stated['said']}")
        if stated["largest_step_size"] is not None:
            click.echo(
                f"infinite variance above step size {number(stated['critical_step_size'], 4)}, no "
                f"stationary law above {number(stated['largest_step_size'], 4)}"
            )
    if not no_simulation:
        from noise_lens.theory.stationary import simulate_stationary, stationary_tails

        progress = Progress()
        sample = simulate_stationary(
            step_size,
            batch_size,
            dim,
            sigma=sigma,
            data=_pair(table),
            momentum=momentum,
            n_replicas=replicas,
            n_steps=steps,
            device=device,
            seed=seed,
            on_progress=lambda done, total: progress("replicas", done, total),
        )
        progress.close()
        tails = stationary_tails(sample, theory=tail)
        document["simulation"] = sample_document(sample)
        document["tails"] = [tail_entry(row) for row in tails]
        if not as_json:
            click.echo(f"\nsimulation: {sample}")
            echo_tails(document["tails"])
    if plot:
        _plot(plot, document, batch_size, dim or 1, sigma)
    if as_json:
        echo_json(document)


def _refuse(options: dict[str, Any], why: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise click.UsageError(f"{name} {why}")


def _table(data: str | None, dim: int | None) -> Any:
    """Return the data set with its target as the last column; None without one."""
    if data is None:
        return None
    from noise_lens_cli.arrays import read_array

    found = read_array(data, None)
    if found.ndim != 2 or found.shape[1] < 2 or found.dtype.kind not in "fiu":
        raise ValueError(
            f"{data} holds {found.dtype} of shape {found.shape}: a data set is numbers of shape "
            "(n, d + 1), the target in the last column"
        )
    if dim is not None and dim != found.shape[1] - 1:
        raise ValueError(
            f"--dim is {dim}, and {data} has {found.shape[1] - 1} columns beside its target: "
            "leave --dim out"
        )
    return found


def _pair(table: Any) -> Any:
    return None if table is None else (table[:, :-1], table[:, -1])


def _theory(
    step_size: float, batch_size: int, dim: int | None, sigma: float, momentum: float, data: Any
) -> KestenTail:
    from noise_lens.theory.kesten import kesten_tail_index

    if data is None and not momentum and dim is not None:
        return kesten_tail_index(step_size, batch_size, dim, sigma)
    from noise_lens.theory.kesten import gaussian_inputs, kesten_tail_of_inputs
    from noise_lens.theory.kesten.tail import without_noise

    inputs = gaussian_inputs(dim or 1, sigma) if data is None else data.inputs
    found: KestenTail = kesten_tail_of_inputs(
        inputs, step_size, batch_size, momentum=momentum, replace=False
    )
    return without_noise(found) if data is not None and data.noiseless(batch_size) else found


def _protocol(
    cells: str | None,
    runs: int | None,
    device: str,
    seed: int,
    *,
    no_simulation: bool,
    as_json: bool,
) -> None:
    from noise_lens.theory.stationary import published_protocol
    from noise_lens.theory.stationary.arguments import checked
    from noise_lens.theory.stationary.multiscale import FEWEST_ROWS

    if not no_simulation:
        if runs is not None and runs < FEWEST_ROWS:
            raise click.UsageError(
                f"--runs {runs} is too few for the published reading: at least {FEWEST_ROWS}"
            )
        checked(0.1, 1, 1, device=device, seed=seed)
    progress = Progress()
    found = published_protocol(
        cells=None if cells is None else _pairs(cells),
        n_runs=1600 if runs is None else runs,
        device=device,
        seed=seed,
        simulate=not no_simulation,
        on_progress=lambda done, total: progress("cells", done, total),
    )
    progress.close()
    entries = [cell_entry(one) for one in found]
    if as_json:
        echo_json({"settings": {"runs": runs or 1600, "seed": seed}, "cells": entries})
        return
    echo_cells(entries)


def _pairs(text: str) -> list[tuple[int, float]]:
    pairs = []
    for part in text.split(","):
        b, _, eta = part.partition(":")
        try:
            pairs.append((int(b), float(eta)))
        except ValueError:
            raise click.UsageError(
                f"--cells takes minibatch and step sizes, such as 1:0.02,5:0.1, got {part!r}"
            ) from None
    return pairs


def _plot(target: str, document: dict[str, Any], batch_size: int, dim: int, sigma: float) -> None:
    from noise_lens.figures import SimulatedTail, plot_stationary_tail, stationary_curve
    from noise_lens.report.svg import drawing, write_svg

    stationary = (document["simulation"] or {}).get("regime") == "stationary"
    points = [
        SimulatedTail(
            batch_size, document["settings"]["step_size"], row["alpha"], row["low"], row["high"],
            stationary,
        )
        for row in document["tails"]
        if row["method"] == "hill" and row["alpha"] is not None
    ]  # fmt: skip
    with drawing(Path(target).name):
        ax = plot_stationary_tail([stationary_curve(batch_size, dim, sigma)], points)
        ax.legend()
        try:
            write_svg(ax.figure, Path(target))  # type: ignore[arg-type]
        except OSError as error:
            raise ValueError(f"{target} cannot be written: {error.strerror}") from error
    click.echo(f"wrote {target}", err=True)
