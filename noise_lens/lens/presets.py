"""What a lens does, by what it costs."""

from __future__ import annotations

from typing import NamedTuple

from noise_lens.errors import CaptureError


class Preset(NamedTuple):
    """One of the three.

    ``n_coordinates`` of all parameters are kept of every micro-batch, with each tensor's norm;
    ``probes``: bursts at frozen weights are taken; ``every_coordinate``: sums, squares and
    log-histograms of all elements, 8 bytes a parameter. ``reads`` is what a micro-batch costs on
    a CPU, in reads of its gradient, as ``benchmarks/training_cost.py`` measures it.
    """

    name: str
    n_coordinates: int
    probes: bool
    every_coordinate: bool
    reads: float


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("light", 65_536, probes=False, every_coordinate=False, reads=2.5),
        Preset("standard", 65_536, probes=True, every_coordinate=False, reads=2.5),
        Preset("full", 65_536, probes=True, every_coordinate=True, reads=14),
    )
}


def preset_of(name: str) -> Preset:
    """Return a preset by name.

    Parameters
    ----------
    name : str
        "light", "standard" or "full".

    Returns
    -------
    Preset
        What it does.

    Raises
    ------
    CaptureError
        There is none of that name.
    """
    if name not in PRESETS:
        raise CaptureError(f"preset must be one of {', '.join(PRESETS)}; got {name!r}")
    return PRESETS[name]
