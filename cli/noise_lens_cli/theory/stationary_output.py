"""What ``noise-lens theory stationary`` prints."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from noise_lens_cli.printing import echo_table, interval, number

if TYPE_CHECKING:
    from noise_lens.theory.kesten import KestenTail
    from noise_lens.theory.stationary import ProtocolCell, StationarySample, StationaryTail


_INTERVAL = "sampling alone, 95 %: another set of replicas, not the bias"


def theory_document(
    tail: KestenTail, batch_size: int, dim: int | None, sigma: float
) -> dict[str, Any]:
    """Return what theory says, for JSON; without `dim` no closed form holds."""
    from noise_lens.theory.kesten import critical_step_size, largest_step_size

    steps = (
        (None, None)
        if dim is None
        else (
            float(critical_step_size(batch_size, dim, sigma)),
            float(largest_step_size(batch_size, dim, sigma)),
        )
    )
    return {
        "alpha": _finite(tail.alpha),
        "standard_error": _finite(tail.standard_error),
        "regime": str(tail.regime),
        "lyapunov_exponent": _finite(tail.lyapunov_exponent),
        "critical_step_size": steps[0],
        "largest_step_size": steps[1],
        "said": str(tail),
    }


def sample_document(sample: StationarySample) -> dict[str, Any]:
    """Return what a simulation was, for JSON."""
    return {
        "regime": sample.regime,
        "n_replicas": len(sample.iterates) + sample.n_diverged,
        "n_diverged": sample.n_diverged,
        "n_steps": sample.n_steps,
        "burn_in": sample.burn_in,
        "needed_burn_in": sample.needed_burn_in,
        "average_last": sample.average_last,
        "lyapunov_exponent": _finite(sample.lyapunov_exponent),
        "measured_growth": _finite(sample.growth.mean),
        "measured_growth_error": _finite(sample.growth.standard_error),
        "centre": sample.centre.tolist(),
        "said": str(sample),
    }


def tail_entry(row: StationaryTail) -> dict[str, Any]:
    """Return one reading, for JSON; None stands for no number."""
    numbers = _reading(row.estimate)
    return {
        "of": row.of,
        "method": row.method,
        "setting": row.setting,
        **numbers,
        "interval_of": _INTERVAL,
        "theory": _finite(row.theory.alpha),
        "regime": str(row.theory.regime),
        "label": row.label,
        "bias": row.bias,
        "said": str(row),
    }


def cell_entry(cell: ProtocolCell) -> dict[str, Any]:
    """Return one cell of the published experiment, for JSON; None stands for no number."""
    growth = cell.growth
    return {
        "batch_size": cell.batch_size,
        "step_size": cell.step_size,
        **_reading(cell.estimate),
        "interval_of": _INTERVAL,
        "theory": _finite(cell.theory.alpha),
        "regime": str(cell.theory.regime),
        "lyapunov_exponent": _finite(cell.lyapunov_exponent),
        "measured_growth": _finite(growth.mean if growth else None),
        "measured_growth_error": _finite(growth.standard_error if growth else None),
        "diverging": cell.diverging,
        "mixed": cell.mixed,
        "n_diverged": cell.n_diverged,
        "median_norm": _finite(cell.median_norm),
        "said": str(cell),
    }


def echo_tails(entries: list[dict[str, Any]]) -> None:
    """Print readings as a table, then what each is biased towards."""
    header = ["reading", "of", "alpha [95 %, sampling]", "theory", "setting"]
    rows = [
        [
            entry["method"],
            entry["of"],
            _shown(entry),
            entry["regime"] if entry["theory"] is None else number(entry["theory"]),
            entry["setting"],
        ]
        for entry in entries
    ]
    echo_table(header, rows)
    if entries[0]["label"]:
        click.echo(f"These readings are {entries[0]['label']}.")
    click.echo(f"Intervals are of {_INTERVAL}:")
    for entry in entries:
        click.echo(f"{entry['method']} on {entry['of']}: {entry['bias']}")


def echo_cells(entries: list[dict[str, Any]]) -> None:
    """Print cells of the published experiment as a table."""
    header = [
        "b",
        "eta",
        "read alpha [95 %, sampling]",
        "theory",
        "rho",
        "measured rho",
        "what it is",
    ]
    rows = []
    for entry in entries:
        mixed = "stationary" if entry["mixed"] else "not mixed"
        rows.append(
            [
                str(entry["batch_size"]),
                f"{entry['step_size']:g}",
                _shown(entry),
                entry["regime"] if entry["theory"] is None else number(entry["theory"]),
                number(entry["lyapunov_exponent"], 4),
                number(entry["measured_growth"], 4),
                "diverging" if entry["diverging"] else mixed,
            ]
        )
    echo_table(header, rows)
    n_diverging = sum(entry["diverging"] for entry in entries)
    click.echo(
        f"{n_diverging} of {len(entries)} cells diverge: what is read there is no tail index of a "
        "stationary law, and changes with the number of steps."
    )


def _shown(entry: dict[str, Any]) -> str:
    high = math.inf if entry["high"] is None else entry["high"]
    return interval({**entry, "high": high}, "alpha", "low", "high")


def _reading(estimate: Any) -> dict[str, Any]:
    if estimate is None:
        return dict.fromkeys(("alpha", "low", "high", "standard_error"))
    low, high = estimate.confidence_interval()
    return {
        "alpha": _finite(estimate.alpha),
        "low": _finite(low),
        "high": _finite(high),
        "standard_error": _finite(estimate.standard_error),
    }


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
