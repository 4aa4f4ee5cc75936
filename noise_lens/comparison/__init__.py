"""The same task under several optimizers: same initial weights, same minibatches."""

from noise_lens.comparison.campaign import compare
from noise_lens.comparison.result import Comparison

__all__ = ["Comparison", "compare"]
