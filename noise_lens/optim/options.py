"""What the options of an optimizer may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

from torch import Tensor

_AT_LEAST_ZERO: tuple[Callable[[float], bool], str] = (
    lambda value: 0 <= value < float("inf"),
    "be at least 0 and finite",
)
_DECAY: tuple[Callable[[float], bool], str] = (lambda value: 0 <= value < 1, "lie in [0, 1)")
_RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "lr": _AT_LEAST_ZERO,
    "eps": _AT_LEAST_ZERO,
    "weight_decay": _AT_LEAST_ZERO,
    "final_lr": _AT_LEAST_ZERO,
    "initial_accumulator": _AT_LEAST_ZERO,
    "momentum": _DECAY,
    "p": (lambda value: 0 < value <= 0.5, "lie in (0, 1/2]"),
}


def check_options(options: Mapping[str, Any]) -> None:
    """Raise unless every option that is known here is in its range.

    Parameters
    ----------
    options : mapping
        Option -> value. Names that are not known here are not looked at, and neither is a
        learning rate that is a tensor: some of torch's optimizers take one.

    Raises
    ------
    ValueError
        An option is out of range or no number; the message names it and what came.
    """
    for name, (holds, words) in _RANGES.items():
        value = options.get(name)
        if name not in options or isinstance(value, Tensor):
            continue
        if not isinstance(value, Real) or not holds(float(value)):
            raise ValueError(f"{name} must {words}, got {value!r}")
    betas = options.get("betas", (0.9, 0.999))
    if (
        not isinstance(betas, (tuple, list))
        or len(betas) != 2
        or not all(isinstance(beta, Real) and _DECAY[0](float(beta)) for beta in betas)
    ):
        raise ValueError(f"betas must be two numbers that {_DECAY[1]}, got {betas!r}")


def check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raise ValueError unless `value` is one of the words in `allowed`."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")
