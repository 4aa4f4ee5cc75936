"""The sketch under the name it has for those who make one; it needs no torch, so it lies above."""

from noise_lens.sketch import LARGEST_INDEXED_BATCH, GroupSketch, Sketch

__all__ = ["LARGEST_INDEXED_BATCH", "GroupSketch", "Sketch"]
