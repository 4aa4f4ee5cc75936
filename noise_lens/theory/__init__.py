"""What the papers' theorems say, as functions: closed forms, simulations, and where they part.

Names are loaded when they are used: ``averaging`` and the closed forms of ``kesten`` need no
torch, simulations do.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from noise_lens.theory import averaging, escape, kesten, levy, stationary
    from noise_lens.theory.averaging import (
        ema_weights,
        equivalent_minibatches,
        excess_kurtosis_factor,
        stable_scale_ratio,
        variance_factor,
    )
    from noise_lens.theory.escape import (
        Ball,
        Box,
        Ellipsoid,
        EscapePrediction,
        EscapeTimes,
        Interval,
        LevelSet,
        Where,
        compare_sgd_and_adam,
        escape_rate,
        escape_times,
        getoor_mean_exit_time,
        kramers_exit_time,
        mean_exit_time,
        predicted_escape_time,
        radon_measure,
    )
    from noise_lens.theory.kesten import (
        KestenTail,
        critical_step_size,
        gaussian_inputs,
        kesten_tail_index,
        kesten_tail_of_inputs,
        largest_step_size,
        lyapunov_exponent,
        moment_growth,
    )
    from noise_lens.theory.levy import (
        adam_system,
        epsilon_of_step_size,
        gradient_system,
        sgd_system,
        simulate,
        stable_increments,
    )
    from noise_lens.theory.stationary import (
        published_protocol,
        simulate_stationary,
        stationary_tails,
    )

_HOMES = {
    "averaging": (
        "ema_weights",
        "equivalent_minibatches",
        "excess_kurtosis_factor",
        "stable_scale_ratio",
        "variance_factor",
    ),
    "escape": (
        "Ball",
        "Box",
        "Ellipsoid",
        "EscapePrediction",
        "EscapeTimes",
        "Interval",
        "LevelSet",
        "Where",
        "compare_sgd_and_adam",
        "escape_rate",
        "escape_times",
        "getoor_mean_exit_time",
        "kramers_exit_time",
        "mean_exit_time",
        "predicted_escape_time",
        "radon_measure",
    ),
    "kesten": (
        "KestenTail",
        "critical_step_size",
        "gaussian_inputs",
        "kesten_tail_index",
        "kesten_tail_of_inputs",
        "largest_step_size",
        "lyapunov_exponent",
        "moment_growth",
    ),
    "levy": (
        "adam_system",
        "epsilon_of_step_size",
        "gradient_system",
        "sgd_system",
        "simulate",
        "stable_increments",
    ),
    "stationary": (
        "published_protocol",
        "simulate_stationary",
        "stationary_tails",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Ball",
    "Box",
    "Ellipsoid",
    "EscapePrediction",
    "EscapeTimes",
    "Interval",
    "KestenTail",
    "LevelSet",
    "Where",
    "adam_system",
    "averaging",
    "compare_sgd_and_adam",
    "critical_step_size",
    "ema_weights",
    "epsilon_of_step_size",
    "equivalent_minibatches",
    "escape",
    "escape_rate",
    "escape_times",
    "excess_kurtosis_factor",
    "gaussian_inputs",
    "getoor_mean_exit_time",
    "gradient_system",
    "kesten",
    "kesten_tail_index",
    "kesten_tail_of_inputs",
    "kramers_exit_time",
    "largest_step_size",
    "levy",
    "lyapunov_exponent",
    "mean_exit_time",
    "moment_growth",
    "predicted_escape_time",
    "published_protocol",
    "radon_measure",
    "sgd_system",
    "simulate",
    "simulate_stationary",
    "stable_increments",
    "stable_scale_ratio",
    "stationary",
    "stationary_tails",
    "variance_factor",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return import_module(f"noise_lens.theory.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'noise_lens.theory' has no attribute {name!r}")
    return getattr(import_module(f"noise_lens.theory.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
