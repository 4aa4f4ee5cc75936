"""What follows on paper: closed forms that measurements are held against. NumPy only."""

from noise_lens.theory.averaging import (
    ema_weights,
    equivalent_minibatches,
    excess_kurtosis_factor,
    stable_scale_ratio,
    variance_factor,
)

__all__ = [
    "ema_weights",
    "equivalent_minibatches",
    "excess_kurtosis_factor",
    "stable_scale_ratio",
    "variance_factor",
]
