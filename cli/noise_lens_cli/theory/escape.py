"""``noise-lens theory escape``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, cast

import click

from noise_lens_cli.printing import echo_json
from noise_lens_cli.theory.escape_options import Question, basin_of, numbers
from noise_lens_cli.translate import translated

if TYPE_CHECKING:
    from noise_lens.theory.escape import EscapeTimes


@click.command()
@click.option("--alpha", type=float, required=True, help="Tail index of the noise, in (0, 2].")
@click.option("--epsilon", type=float, help="Size of the noise.")
@click.option("--step-size", type=float, help="eta: epsilon is then eta^((alpha-1)/alpha).")
@click.option(
    "--basin",
    type=click.Choice(["interval", "ball", "ellipsoid", "level-set"]),
    default="interval",
    show_default=True,
    help="What is left. Paths start at 0, its minimum.",
)
@click.option("--low", type=float, help="Of the interval; -1 by default.")
@click.option("--high", type=float, help="Of the interval; 1 by default.")
@click.option("--radius", type=float, help="Of the ball; 1 by default.")
@click.option("--dim", type=int, help="Coordinates of the ball; 2 by default.")
@click.option("--semi-axes", metavar="A,...", help="Of the ellipsoid.")
@click.option(
    "--curvatures",
    metavar="H,...",
    help="Of the loss at its minimum, one a coordinate; 1 by default. They make the level set.",
)
@click.option(
    "--height", type=float, help="Of the level set: barrier above minimum; 0.5 by default."
)
@click.option(
    "--noise", metavar="S,...", help="Scale of the noise of each coordinate; 1 by default."
)
@click.option(
    "--jumps",
    type=click.Choice(["independent", "isotropic"]),
    default="independent",
    show_default=True,
    help="Each coordinate its own, as the theorem has it, or alike in all directions.",
)
@click.option(
    "--optimizer",
    type=click.Choice(["sgd", "adam"]),
    default="sgd",
    show_default=True,
    help="Adam divides the noise by its own scale, Q = diag(S).",
)
@click.option("--simulate", is_flag=True, help="Also simulate exit times.")
@click.option("--paths", type=int, default=1000, show_default=True, help="Simulated paths.")
@click.option(
    "--time-step",
    type=float,
    help="Of the simulation, also run at half of it; by default 0.05 / curvature.",
)
@click.option("--max-time", type=float, help="When waiting ends; by default 20 predicted times.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the noise.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@translated
def escape(
    alpha: float,
    epsilon: float | None,
    step_size: float | None,
    basin: str,
    low: float | None,
    high: float | None,
    radius: float | None,
    dim: int | None,
    semi_axes: str | None,
    curvatures: str | None,
    height: float | None,
    noise: str | None,
    jumps: str,
    optimizer: str,
    simulate: bool,
    paths: int,
    time_step: float | None,
    max_time: float | None,
    device: str,
    seed: int,
    as_json: bool,
) -> None:
    """Say how long SGD or Adam stays in a basin, by the theory of jumps, and simulate it.

    What the theorem needs and does not get is printed first, then the mean time of dX = -grad F dt
    + epsilon dL until a path leaves the basin (Zhou et al., 2020, Theorem 1). At alpha = 2 there
    are no jumps, and the answer is that of a diffusion. The loss is a quadratic. In JSON null
    stands for no number: never, or none known; the words say which.

    \b
    Example:
        noise-lens theory escape --alpha 1.5 --epsilon 0.1 --simulate
        noise-lens theory escape --alpha 1.5 --step-size 0.001 --basin level-set --curvatures 1,10
        noise-lens theory escape --alpha 2 --epsilon 0.3
    """
    if (epsilon is None) == (step_size is None):
        raise click.UsageError("give --epsilon or --step-size, one of the two")
    for name, value in (("--time-step", time_step), ("--max-time", max_time)):
        if value is not None and not simulate:
            raise click.UsageError(f"{name} is for --simulate")
        if value is not None and not value > 0:
            raise click.UsageError(f"{name} must be positive, got {value:g}")
    given = {"low": low, "high": high, "radius": radius, "dim": dim, "semi-axes": semi_axes,
             "height": height}  # fmt: skip
    if simulate and paths < 2:
        raise click.UsageError(f"--paths: a mean with its error needs at least 2, got {paths}")
    if not 0 < alpha <= 2:
        raise ValueError(f"alpha must lie in (0, 2], got {alpha:g}")
    place, pull = basin_of(basin, given, curvatures)
    question = Question(
        place, alpha, epsilon, step_size, cast("Literal['independent', 'isotropic']", jumps),
        optimizer, pull, numbers("--noise", noise, place.dim),
    )  # fmt: skip
    document: dict[str, Any] = {"settings": {**question.settings(), "seed": seed}}
    document["prediction"], words, predicted = question.answer()
    if not as_json:
        click.echo(f"basin: {place}, minimum at 0; {optimizer}, {question.noise_words()}")
        click.echo(words)
    if simulate:
        found = _simulated(question, predicted, paths, time_step, max_time, device, seed)
        document["simulation"], said = _simulation(found, predicted, jumps=alpha < 2)
        if not as_json:
            click.echo(f"\nsimulated, steps of {found.step_size:.3g}: {found}")
            for line in said:
                click.echo(line)
    if as_json:
        echo_json(document)


def _simulated(
    question: Question,
    predicted: float | None,
    paths: int,
    time_step: float | None,
    max_time: float | None,
    device: str,
    seed: int,
) -> EscapeTimes:
    from noise_lens.theory.escape import escape_times

    if time_step is not None:
        question.check_time_step(time_step)
    step = time_step if time_step is not None else 0.05 / question.sharpest()
    if max_time is None:
        if predicted is None or math.isinf(predicted):
            raise click.UsageError(
                "no escape time is predicted to wait for: say with --max-time when to stop"
            )
        max_time = 20 * predicted
        if max_time / step > 5e6:
            raise click.UsageError(
                f"20 predicted times are {max_time / step:.2g} steps of {step:.3g}. Take a larger "
                "--epsilon, or say with --max-time when to stop"
            )
    return escape_times(
        question.system(), question.basin, question.basin.centre,
        n_paths=paths, step_size=step, max_time=max_time, halving=True, seed=seed, device=device,
    )  # fmt: skip


def _simulation(
    found: EscapeTimes, predicted: float | None, *, jumps: bool
) -> tuple[dict[str, Any], list[str]]:
    """Return the simulation as a document, and what to say beside its own sentence."""
    mean = found.mean_with_error(law="exponential") if found.n_exits else found.mean_with_error()
    value, error, kind = mean.value, mean.standard_error, str(mean.kind)
    assert found.halving is not None
    doubt = found.halving.doubt
    if kind == "mean" and not doubt:
        # Exits between two looks are missed; the halved steps say how many.
        value, error = found.halving.extrapolated()
        kind = "mean, extrapolated to step size 0"
    entry: dict[str, Any] = {
        "n_paths": found.n_paths,
        "n_exits": found.n_exits,
        "n_censored": int(found.censored.sum()),
        "n_diverged": found.diverged,
        "step_size": found.step_size,
        "max_time": found.max_time,
        "mean": value if math.isfinite(value) else None,
        "standard_error": error if math.isfinite(error) else None,
        "kind": kind,
        "over_prediction": None,
        "over_prediction_error": None,
        "exponential_pvalue": None,
        "said": str(found),
        "halving": str(found.halving),
    }
    said = [f"steps halved: {found.halving}"]
    if doubt:
        said.append("no ratio to the prediction, for the same reason")
    elif found.n_exits and predicted is not None and math.isfinite(predicted):
        entry["over_prediction"] = value / predicted
        entry["over_prediction_error"] = error / predicted
        said.append(
            f"over the prediction: {value / predicted:.3f} ± {error / predicted:.2g} ({kind})"
        )
    if found.n_exits >= 5 and not doubt:
        entry["exponential_pvalue"] = found.exponential_test().pvalue
        law = "the limit law of jumps" if jumps else "the limit law of a high barrier"
        said.append(
            f"exponential exit law, {law}: Kolmogorov-Smirnov p = {entry['exponential_pvalue']:.3g}"
        )
    return entry, said
