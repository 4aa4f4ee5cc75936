"""The symmetric alpha-stable law."""

from noise_lens.stable.law import SymmetricStable

__all__ = ["SymmetricStable"]
