"""What a lens will cost, before it costs anything."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from torch import nn

from noise_lens.capture.budget import budget_text, memory_budget
from noise_lens.capture.coordinates import sample_coordinates
from noise_lens.capture.groups import build_groups
from noise_lens.capture.layout import build_layout
from noise_lens.capture.sharded import shard_shape
from noise_lens.lens.presets import Preset
from noise_lens.lens.prober import ProbeSettings
from noise_lens.lens.summary import cost_of

_TRIAL_ELEMENTS = 4 * 2**20
_TRIALS = 5


def probe_lines(
    parameters: Mapping[str, nn.Parameter], settings: ProbeSettings, n_minibatches: int
) -> dict[str, int]:
    """Return the bytes that a probe will hold while it runs, line by line.

    Parameters
    ----------
    parameters : mapping of str to Parameter
        That are watched.
    settings : ProbeSettings
        Of the probes. Where the reference is "auto", pairs are assumed.
    n_minibatches : int
        Of one probe.

    Returns
    -------
    dict of str to int
        As :func:`noise_lens.capture.budget.memory_budget`.
    """
    shapes = {name: shard_shape(parameter) for name, parameter in parameters.items()}
    groups = build_groups(list(shapes), settings.groups)
    layout = build_layout(shapes, groups)
    reference = "pair" if settings.reference == "auto" else settings.reference
    chosen = [len(sample_coordinates(layout, group, 128, settings.seed)) for group in groups]
    return memory_budget(
        layout,
        n_rows=n_minibatches // 2 if reference == "pair" else n_minibatches,
        n_coordinates=sum(chosen),
        reference=reference,
        block_sums=settings.block_sums,
        device=next(iter(parameters.values())).device,
    )


def description(
    preset: Preset,
    parameters: Mapping[str, nn.Parameter],
    *,
    state: Mapping[str, int],
    probe: Mapping[str, int] | None,
    step_seconds: float | None,
    budget: float | None,
    spent: Mapping[str, float | int],
) -> str:
    """Return the dry run in words.

    Parameters
    ----------
    preset : Preset
        What was asked.
    parameters : mapping of str to Parameter
        That are watched.
    state : mapping of str to int
        Bytes between steps, line by line.
    probe : mapping of str to int, optional
        Bytes while a probe runs; None where there are none.
    step_seconds : float, optional
        A training step's, once some were seen.
    budget : float, optional
        Share of training time for probes; None with a schedule.
    spent : mapping
        Of the pacer.

    Returns
    -------
    str
        Several lines.
    """
    seconds = preset.reads * _seconds_a_read(parameters)
    if step_seconds:
        share = (
            f"{100 * seconds / step_seconds:.2g} % of the {1000 * step_seconds:.3g} ms of a step"
        )
    else:
        share = f"{100 * seconds / 0.1:.2g} % of a step of 100 ms"
    lines = [
        f"NoiseLens, preset {preset.name!r}",
        "State between steps:",
        budget_text(state),
        (
            f"Passive capture: about {preset.reads:g} reads of the gradient, "
            f"{1000 * seconds:.2g} ms a micro-batch, predicted: {share}"
        ),
    ]
    if probe is None:
        lines.append(
            "Probes: none, so no verdict; they need loss, data and preset 'standard' or 'full'"
        )
    else:
        when = (
            "by schedule"
            if budget is None
            else f"as many as take {100 * budget:g} % of training's time"
        )
        lines += [f"Probes: {when}. While one runs:", budget_text(probe)]
    if spent["n_probes"]:
        lines.append(cost_of(spent))
    return "\n".join(lines)


def _seconds_a_read(parameters: Mapping[str, nn.Parameter]) -> float:
    """Return the seconds that reading all gradients once takes, tried on 16 MB at most."""
    numel = sum(parameter.numel() for parameter in parameters.values())
    device = next(iter(parameters.values())).device
    trial = torch.ones(min(numel, _TRIAL_ELEMENTS), device=device)
    times = []
    for _ in range(_TRIALS):
        _wait_for(device)
        start = time.perf_counter()
        torch.linalg.vector_norm(trial)
        _wait_for(device)
        times.append(time.perf_counter() - start)
    return sorted(times)[_TRIALS // 2] * numel / len(trial)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
