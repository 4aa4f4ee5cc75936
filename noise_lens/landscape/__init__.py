"""The loss around and between weights: lines, curvature, and the tails of weights themselves."""

from noise_lens.landscape._curvature import curvature
from noise_lens.landscape._weight_tails import (
    TrainedTail,
    WeightTail,
    average_checkpoints,
    weight_tails,
)
from noise_lens.landscape.hessian import Curvature, load_curvature
from noise_lens.landscape.line import LossLine, loss_along_line
from noise_lens.landscape.step_sizes import weight_tails_over_steps

__all__ = [
    "Curvature",
    "LossLine",
    "TrainedTail",
    "WeightTail",
    "average_checkpoints",
    "curvature",
    "load_curvature",
    "loss_along_line",
    "weight_tails",
    "weight_tails_over_steps",
]
