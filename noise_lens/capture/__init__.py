"""From gradients to noise, on the device and in bounded memory."""

from noise_lens.capture.budget import budget_text
from noise_lens.capture.probe import ProbeOptions, probe, probe_views
from noise_lens.capture.sketch import GroupSketch, Sketch

__all__ = ["GroupSketch", "ProbeOptions", "Sketch", "budget_text", "probe", "probe_views"]
