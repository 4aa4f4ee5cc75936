"""Name -> optimizer."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import torch

from noise_lens.optim.options import check_options

# What torch and its schedulers write into a parameter group, and names that people give.
_NO_OPTIONS = ("params", "param_names", "name", "initial_lr")


@dataclass(frozen=True)
class _Entry:
    """Where an optimizer is, and what makes it the one that a name stands for.

    `options` are defaults that a caller may change; `fixed` are not the caller's. `arrange`
    rewrites parameters and options for a constructor that would read them in another way.
    """

    home: str
    kind: str
    learning_rate: float
    options: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    arrange: Callable[[Any, dict[str, Any]], tuple[Any, dict[str, Any]]] | None = None


def _without_floor(params: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return groups and options with which the library's Adai uses eps for one thing only."""
    # The group's eps bounds the inertia, as in the paper. The constructor's own is also a floor
    # under the mean second moment, which is 1e-6 and less in a network: with a floor of 1e-3 the
    # inertia would be 0.999 everywhere. The smallest normal number only keeps 0 / 0 out.
    given = list(params)
    groups = given if given and isinstance(given[0], dict) else [{"params": given}]
    groups = [{"eps": options["eps"], **group} for group in groups]
    return groups, {**options, "eps": torch.finfo(torch.float32).tiny}


_TORCH, _LIBRARY = "torch.optim", "pytorch_optimizer"
_ADAI = {"eps": 1e-3}
# The library decouples weight decay unless told otherwise; the papers' own code does not.
_COUPLED = {"weight_decouple": False}

_CATALOGUE: dict[str, _Entry] = {
    "sgd": _Entry(_TORCH, "SGD", 0.1),
    "sgd-momentum": _Entry(_TORCH, "SGD", 0.01, {"momentum": 0.9}),
    "adam": _Entry(_TORCH, "Adam", 1e-3),
    "amsgrad": _Entry(_TORCH, "Adam", 1e-3, fixed={"amsgrad": True}),
    "adamw": _Entry(_TORCH, "AdamW", 1e-3),
    "adal": _Entry("noise_lens.optim.adal", "AdaL", 1e-3),
    "padam": _Entry("noise_lens.optim.padam", "Padam", 0.1),
    "adai": _Entry(_LIBRARY, "Adai", 0.1, _ADAI, {"weight_decouple": False}, _without_floor),
    "adaiw": _Entry(_LIBRARY, "Adai", 0.1, _ADAI, {"weight_decouple": True}, _without_floor),
    # The library starts both moments at 1e-6; the paper starts them at 0.
    "yogi": _Entry(_LIBRARY, "Yogi", 0.01, {"initial_accumulator": 0.0, **_COUPLED}),
    "adabound": _Entry(_LIBRARY, "AdaBound", 1e-3, _COUPLED),
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
        0.1 for SGD, Adai and Padam, 0.01 for SGD with momentum and Yogi, 0.001 for the others.

    Raises
    ------
    ValueError
        The name is unknown; the message lists the near ones.
    """
    return _entry(name).learning_rate


def default_options(name: str) -> dict[str, Any]:
    """Return what :func:`create` sets for a name and the class itself would not.

    Parameters
    ----------
    name : str
        One of :func:`names`.

    Returns
    -------
    dict
        The learning rate, and what makes the class the optimizer of that name.

    Raises
    ------
    ValueError
        The name is unknown; the message lists the near ones.
    """
    entry = _entry(name)
    return {"lr": entry.learning_rate, **entry.options, **entry.fixed}


def create(name: str, params: Any, **options: Any) -> torch.optim.Optimizer:
    """Return an optimizer by name.

    Parameters
    ----------
    name : str
        One of :func:`names`.
    params : iterable
        Parameters or parameter groups.
    **options : Any
        Passed on; what is not given is that of :func:`default_options`, then the class's own.

    Returns
    -------
    torch.optim.Optimizer
        Ready to step.

    Raises
    ------
    ValueError
        The name is unknown, the optimizer does not take an option (also one of a parameter
        group), or an option is out of range.
    """
    entry = _entry(name)
    kind = getattr(import_module(entry.home), entry.kind)
    takes = _options_of(kind, entry)
    _refuse_unknown(name, options, takes)
    settings = {"lr": entry.learning_rate, **entry.options, **options, **entry.fixed}
    check_options(settings)
    if entry.arrange:
        params, settings = entry.arrange(params, settings)
    optimizer: torch.optim.Optimizer = kind(params, **settings)
    for group in optimizer.param_groups:
        # torch keeps whatever stands in a group, read or not, and looks at no value in it.
        fixed = [key for key, value in entry.fixed.items() if group[key] != value]
        own = set(group) - set(_NO_OPTIONS) - set(optimizer.defaults)
        _refuse_unknown(name, [*fixed, *sorted(own)], takes)
        check_options(group)
    return optimizer


def _options_of(kind: type, entry: _Entry) -> list[str]:
    """Return what the constructor reads; what a ``**kwargs`` would swallow is not among it."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(kind).parameters.values()
    taken = [p.name for p in parameters if p.kind in named and p.name != "params"]
    return [option for option in taken if option not in entry.fixed]


def _refuse_unknown(name: str, options: Any, takes: list[str]) -> None:
    unknown = [option for option in options if option not in takes]
    if unknown:
        raise ValueError(f"{name} does not take {', '.join(unknown)}; it takes {', '.join(takes)}")


def _entry(name: str) -> _Entry:
    if name not in _CATALOGUE:
        written = str(name).lower().replace("_", "-")
        near = difflib.get_close_matches(written, _CATALOGUE, n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(
            f"the optimizer must be one of {', '.join(_CATALOGUE)}; got {name!r}.{hint}"
        )
    return _CATALOGUE[name]
