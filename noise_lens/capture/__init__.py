"""From gradients to noise, on the device and in bounded memory."""

from noise_lens.capture.budget import budget_text
from noise_lens.capture.probe import GroupSketch, Sketch, probe

__all__ = ["GroupSketch", "Sketch", "budget_text", "probe"]
