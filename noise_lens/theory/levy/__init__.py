"""Stochastic differential equations driven by stable Levy noise, and their Euler schemes."""

from noise_lens.theory.levy.adam import AdamSystem, adam_system
from noise_lens.theory.levy.halving import StepHalving, step_halving
from noise_lens.theory.levy.increments import stable_increments
from noise_lens.theory.levy.sgd import epsilon_of_step_size, sgd_system
from noise_lens.theory.levy.simulate import Paths, simulate
from noise_lens.theory.levy.systems import GradientSystem, LevySystem, gradient_system

__all__ = [
    "AdamSystem",
    "GradientSystem",
    "LevySystem",
    "Paths",
    "StepHalving",
    "adam_system",
    "epsilon_of_step_size",
    "gradient_system",
    "sgd_system",
    "simulate",
    "stable_increments",
    "step_halving",
]
