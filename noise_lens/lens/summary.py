"""The answer of a lens in a few lines, for ``print(lens)``."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from noise_lens.measurement import Measurement
from noise_lens.run import KINDS


def summary(
    measurements: Sequence[Measurement],
    trend: Sequence[Mapping[str, Any]],
    spent: Mapping[str, float | int],
    problems: Sequence[str],
    step: int,
) -> str:
    """Return what was found: the newest verdicts, the trend's last window, the time it took.

    Parameters
    ----------
    measurements : sequence of Measurement
        Probes, oldest first.
    trend : sequence of mapping
        Windows of passive capture.
    spent : mapping
        Of the pacer.
    problems : sequence of str
        What went wrong.
    step : int
        Optimizer steps done.

    Returns
    -------
    str
        Several lines; what to do where there is no answer.
    """
    lines = []
    if measurements:
        newest = measurements[-1]
        record = newest.records[0]
        lines.append(
            f"Step {record['step']:,}, minibatches of {record['batch_size'] or 'unequal size'}, "
            f"{record['n_rows']} rows of noise, all parameters:"
        )
        judged = newest.verdicts.get("all", {})
        lines.extend(textwrap.indent(f"{of}: {judged[of]}", "  ") for of in KINDS if of in judged)
        if not judged:
            lines.append("  a part of several ranks: read_run joins and judges the run folder")
        lines.append(cost_of(spent))
    else:
        lines.append(f"No verdict after {step:,} steps: {_why_none(spent, problems)}.")
    if trend:
        last = trend[-1]
        found = (
            last.get("reason", "no estimate")
            if last["alpha"] is None
            else f"alpha {last['alpha']:.2f} [{last['low']:.2f}, {last['high']:.2f}]"
        )
        lines.append(
            f"Passive trend, a trend only: steps {last['first_step']:,} to {last['last_step']:,}, "
            f"differences {last['differences']}: {found}."
        )
    return "\n".join(lines)


def _why_none(spent: Mapping[str, float | int], problems: Sequence[str]) -> str:
    if spent["n_probes"]:
        return (
            f"the {spent['n_probes']} probes came before this process; read the run folder, or ask "
            "for one more with closing="
        )
    if problems:
        return f"{problems[-1]}"
    return (
        "no probe was taken. It needs loss and data, and a preset with probes; one comes when the "
        "budget allows, and at a clean end of the loop"
    )


def cost_of(spent: Mapping[str, float | int]) -> str:
    """Return what probes took in a sentence.

    Parameters
    ----------
    spent : mapping
        Of the pacer.

    Returns
    -------
    str
        Their number, seconds and share of training's time.
    """
    probes = "1 probe" if spent["n_probes"] == 1 else f"{spent['n_probes']} probes"
    share = 100 * spent["share"]
    return (
        f"{probes} took {spent['probe_seconds']:.3g} s, {share:.{0 if share >= 10 else 1}f} % of "
        f"the {spent['training_seconds']:.3g} s of training."
    )
