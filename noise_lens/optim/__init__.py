"""Optimizers by name, and those that no library has."""

from noise_lens.optim.adal import AdaL
from noise_lens.optim.catalogue import create, default_learning_rate, names

__all__ = ["AdaL", "create", "default_learning_rate", "names"]
