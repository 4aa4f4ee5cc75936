"""The Kesten tail: how heavy SGD on linear regression makes its own iterates.

Gaussian inputs by quadrature, without torch; any inputs, and momentum, by Monte Carlo.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from noise_lens.theory.kesten.gaussian import (
    critical_step_size,
    kesten_tail_index,
    largest_step_size,
    lyapunov_exponent,
    moment_growth,
)
from noise_lens.theory.kesten.tail import LARGEST_INDEX, KestenTail

if TYPE_CHECKING:
    from noise_lens.theory.kesten.any_inputs import gaussian_inputs, kesten_tail_of_inputs

__all__ = [
    "LARGEST_INDEX",
    "KestenTail",
    "critical_step_size",
    "gaussian_inputs",
    "kesten_tail_index",
    "kesten_tail_of_inputs",
    "largest_step_size",
    "lyapunov_exponent",
    "moment_growth",
]


def __getattr__(name: str) -> Any:
    if name not in {"gaussian_inputs", "kesten_tail_of_inputs"}:
        raise AttributeError(f"module 'noise_lens.theory.kesten' has no attribute {name!r}")
    from noise_lens.theory.kesten import any_inputs  # it imports torch

    return getattr(any_inputs, name)
