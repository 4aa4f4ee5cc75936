"""NoiseLens: look at the noise of a training loop without changing it."""

from noise_lens.lens.lens import NoiseLens

__all__ = ["NoiseLens"]
