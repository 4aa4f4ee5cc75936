"""Passive capture: what the gradients of training itself show, weights moving."""

from noise_lens.capture.passive.capture import PassiveCapture
from noise_lens.capture.passive.rows import TrainingRows

__all__ = ["PassiveCapture", "TrainingRows"]
