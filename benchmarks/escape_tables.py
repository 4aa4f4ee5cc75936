"""The tables of docs/theory/escape.md, for document_tables.py."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from noise_lens.theory.escape import Interval, linear_well_exit_time, predicted_escape_time

PATH = Path(__file__).parent / "results" / "escape_sgd_adam.json"
Table = tuple[list[str], list[list[str]]]


@cache
def cells() -> dict[tuple[Any, ...], dict[str, Any]]:
    found = json.loads(PATH.read_text(encoding="utf-8"))["cells"]
    return {(one["noise"], one["anisotropy"], one["alpha"], one["size"]): one for one in found}


def sgd_and_adam(_: str) -> Table:
    """Adam's mean escape time over SGD's; bold where the order is not that of the measures."""
    rows = []
    for lies, anisotropy, alpha in dict.fromkeys(key[:3] for key in sorted(cells())):
        sizes = [cells()[lies, anisotropy, alpha, size] for size in ("smaller", "larger")]
        rows.append(
            [
                f"{lies}, {anisotropy:g}, {alpha}",
                f"{sizes[0]['predicted_adam_over_sgd']:.2f}",
                *(shown(one) for one in sizes),
                *(f"{doubled(one):.2g}" for one in sizes),
            ]
        )
    header = ["noise, κ, α", "predicted", "simulated, smaller ε", "simulated, larger ε"]
    return [*header, "jumps that double v a unit of time, smaller ε", "larger ε"], rows


def shown(cell: dict[str, Any]) -> str:
    ratio, low, high = cell["simulated_adam_over_sgd"]
    bold = "" if cell["ordering"] in ("reproduced", "equal, as predicted") else "**"
    return f"{bold}{ratio:.2f}{bold} ({low:.2f} to {high:.2f})"


def doubled(cell: dict[str, Any]) -> float:
    """Jumps y of which the gradient H y exceeds Q; Q^-1 Sigma is the identity."""
    power = {"aligned": 0.25, "alike": 0.0, "opposed": -0.25}[cell["noise"]]
    kappa, alpha, epsilon = (cell[name] for name in ("anisotropy", "alpha", "epsilon"))
    return sum(
        float(predicted_escape_time(Interval(-q / h, q / h), alpha=alpha, epsilon=epsilon).rate)
        for h, q in ((1.0, kappa**-power), (kappa, kappa**power))
    )


def wide_noise(_: str) -> Table:
    """The exact mean in the linear well over its limit."""
    alphas = (1.5, 1.8, 1.95)
    rows = []
    for epsilon in (0.05, 0.1, 0.2, 0.3, 0.46):
        limits = (
            predicted_escape_time(Interval(-1, 1), alpha=alpha, epsilon=epsilon).mean_time
            for alpha in alphas
        )
        exact = (linear_well_exit_time(alpha, epsilon) for alpha in alphas)
        ratios = (f"{one / limit:.2f}" for one, limit in zip(exact, limits, strict=True))
        rows.append([f"{epsilon:g}", *ratios])
    return ["ε / (radius · curvature^(1/α))", *(f"α = {alpha}" for alpha in alphas)], rows


KINDS = (sgd_and_adam, wide_noise)
