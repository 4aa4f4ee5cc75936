"""How much of the past an optimizer's first moment keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch


def _first_beta(group: Mapping[str, Any]) -> float:
    return float(group["betas"][0])


def _momentum(group: Mapping[str, Any]) -> float:
    return float(group["momentum"])


def _inertia(group: Mapping[str, Any]) -> float:
    return 1 - float(group["betas"][0])


def _none(group: Mapping[str, Any]) -> float:
    return 0.0


# By the name of a class or of one that it derives from, so that no library is imported to ask.
_DECAYS: dict[str, Callable[[Mapping[str, Any]], float]] = {
    **dict.fromkeys(("Adam", "AdamW", "Adamax", "NAdam", "RAdam", "SparseAdam"), _first_beta),
    **dict.fromkeys(("AdaL", "Padam", "Yogi", "AdaBound", "AdaBoundW"), _first_beta),
    **dict.fromkeys(("SGD", "RMSprop", "Muon"), _momentum),
    **dict.fromkeys(("Adai", "AdaiW"), _inertia),
    **dict.fromkeys(("Adagrad", "Adadelta", "Adafactor", "ASGD", "Rprop"), _none),
}


def first_moment_decay(optimizer: torch.optim.Optimizer) -> float:
    """Return the decay beta of an optimizer's first moment, 0 where it has none.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Any of `torch.optim` but L-BFGS, any of :func:`noise_lens.optim.names`, a class derived
        from one of these, or a wrapper that holds it as ``.optimizer``.

    Returns
    -------
    float
        ``betas[0]`` where the moment is an average of gradients. SGD's and Muon's momentum,
        whatever dampening or Nesterov's variant make of it: they scale the average, or look one
        step ahead, and it forgets as fast. RMSprop's momentum, which averages gradients that
        are already divided by their root mean square. Adai's ``1 - betas[0]``, its inertia where
        all second moments are equal; elsewhere that is ``1 - betas[0] vhat / mean(vhat)``.

    Raises
    ------
    ValueError
        Groups differ, or the optimizer is none of these.

    Examples
    --------
    >>> import torch
    >>> from noise_lens.optim import first_moment_decay
    >>> first_moment_decay(torch.optim.Adam([torch.nn.Parameter(torch.ones(2))]))
    0.9
    """
    inner = getattr(optimizer, "optimizer", None)
    while isinstance(inner, torch.optim.Optimizer):
        optimizer, inner = inner, getattr(inner, "optimizer", None)
    kind = type(optimizer)
    read = next((_DECAYS[c.__name__] for c in kind.__mro__ if c.__name__ in _DECAYS), None)
    if read is None:
        raise ValueError(
            f"the first moment of {kind.__name__} is not known here; give its decay as beta"
        )
    decays = sorted({read(group) for group in optimizer.param_groups})
    if len(decays) > 1:
        found = ", ".join(f"{decay:g}" for decay in decays)
        raise ValueError(
            f"the groups of {kind.__name__} have first moments that decay with {found}; "
            "give one as beta, or measure groups of one kind"
        )
    return decays[0]
