"""Name -> optimizer."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import torch

from noise_lens.optim.adal import AdaL

_CATALOGUE: dict[str, tuple[Callable[..., torch.optim.Optimizer], float]] = {
    "sgd": (torch.optim.SGD, 0.1),
    "adam": (torch.optim.Adam, 1e-3),
    "adal": (AdaL, 1e-3),
}


def names() -> tuple[str, ...]:
    """Return the names that :func:`create` knows."""
    return tuple(_CATALOGUE)


def default_learning_rate(name: str) -> float:
    """Return the learning rate that `compare` uses for an optimizer unless told otherwise.

    Parameters
    ----------
    name : str
        One of :func:`names`.

    Returns
    -------
    float
        0.1 for SGD, 0.001 for Adam and AdaL.

    Raises
    ------
    ValueError
        The name is unknown; the message lists the near ones.
    """
    return _entry(name)[1]


def create(name: str, params: Any, **options: Any) -> torch.optim.Optimizer:
    """Return an optimizer by name.

    Parameters
    ----------
    name : str
        One of :func:`names`.
    params : iterable
        Parameters or parameter groups.
    **options : Any
        Passed on; ``lr`` is the default of :func:`default_learning_rate` if not given.

    Returns
    -------
    torch.optim.Optimizer
        Ready to step.

    Raises
    ------
    ValueError
        The name is unknown, or the optimizer does not take an option.
    """
    build, learning_rate = _entry(name)
    try:
        return build(params, **{"lr": learning_rate, **options})
    except TypeError as error:
        raise ValueError(f"{name} does not take these options: {error}") from error


def _entry(name: str) -> tuple[Callable[..., torch.optim.Optimizer], float]:
    if name not in _CATALOGUE:
        near = difflib.get_close_matches(name, _CATALOGUE, n=2)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(
            f"the optimizer must be one of {', '.join(_CATALOGUE)}; got {name!r}.{hint}"
        )
    return _CATALOGUE[name]
