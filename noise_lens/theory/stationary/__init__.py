"""SGD on linear regression as it runs: many replicas, their tails, and the published experiment."""

from noise_lens.theory.stationary.multiscale import (
    PUBLISHED_BLOCK_SIZES,
    median_over_block_sizes,
)
from noise_lens.theory.stationary.protocol import (
    PUBLISHED_BATCH_SIZES,
    PUBLISHED_STEP_SIZES,
    ProtocolCell,
    published_protocol,
)
from noise_lens.theory.stationary.sample import Growth, StationarySample
from noise_lens.theory.stationary.simulation import simulate_stationary
from noise_lens.theory.stationary.tails import StationaryTail, stationary_tails, theoretical_tail

__all__ = [
    "PUBLISHED_BATCH_SIZES",
    "PUBLISHED_BLOCK_SIZES",
    "PUBLISHED_STEP_SIZES",
    "Growth",
    "ProtocolCell",
    "StationarySample",
    "StationaryTail",
    "median_over_block_sizes",
    "published_protocol",
    "simulate_stationary",
    "stationary_tails",
    "theoretical_tail",
]
