"""Escape from a basin: how long it takes in theory, and in simulation.

``escape_rate`` and ``predicted_escape_time`` are the theory of jumps, ``mean_exit_time`` and
Kramers' formulas that of diffusion at alpha = 2, ``escape_times`` simulates.
"""

from noise_lens.theory.escape.adai import (
    DiffusionTime,
    adam_diffusion_time,
    momentum_diffusion_time,
    sgd_diffusion_time,
)
from noise_lens.theory.escape.basin import Basin
from noise_lens.theory.escape.basins import Ball, Box, Ellipsoid, Interval, LevelSet
from noise_lens.theory.escape.diffusion import (
    ball_exit_time,
    kramers_exit_time,
    kramers_level_set_time,
    mean_exit_time,
)
from noise_lens.theory.escape.exit_times import EscapeTimes, ExitTimeMean, ExponentialTest
from noise_lens.theory.escape.first_exit import escape_times, escape_times_from
from noise_lens.theory.escape.gaussian import GaussianEscape, gaussian_escape
from noise_lens.theory.escape.getoor import getoor_mean_exit_time
from noise_lens.theory.escape.jumps import isotropic_jump_rate, jump_density_constant
from noise_lens.theory.escape.linear_well import linear_well_exit_time
from noise_lens.theory.escape.predictions import (
    EscapePrediction,
    predicted_escape_time,
    zhou_theta,
)
from noise_lens.theory.escape.radon import (
    EscapingSet,
    JumpMeasure,
    escape_rate,
    radon_measure,
)
from noise_lens.theory.escape.sgd_and_adam import BasinComparison, compare_sgd_and_adam
from noise_lens.theory.escape.where import Where

__all__ = [
    "Ball",
    "Basin",
    "BasinComparison",
    "Box",
    "DiffusionTime",
    "Ellipsoid",
    "EscapePrediction",
    "EscapeTimes",
    "EscapingSet",
    "ExitTimeMean",
    "ExponentialTest",
    "GaussianEscape",
    "Interval",
    "JumpMeasure",
    "LevelSet",
    "Where",
    "adam_diffusion_time",
    "ball_exit_time",
    "compare_sgd_and_adam",
    "escape_rate",
    "escape_times",
    "escape_times_from",
    "gaussian_escape",
    "getoor_mean_exit_time",
    "isotropic_jump_rate",
    "jump_density_constant",
    "kramers_exit_time",
    "kramers_level_set_time",
    "linear_well_exit_time",
    "mean_exit_time",
    "momentum_diffusion_time",
    "predicted_escape_time",
    "radon_measure",
    "sgd_diffusion_time",
    "zhou_theta",
]
