"""Optimizers by name, and those that no library has."""

from noise_lens.optim.adal import AdaL
from noise_lens.optim.catalogue import create, default_learning_rate, default_options, names
from noise_lens.optim.first_moment import first_moment_decay
from noise_lens.optim.padam import Padam

__all__ = [
    "AdaL",
    "Padam",
    "create",
    "default_learning_rate",
    "default_options",
    "first_moment_decay",
    "names",
]
