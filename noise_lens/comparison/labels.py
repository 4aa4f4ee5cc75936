"""Optimizers with options, as one word: ``padam@p=0.125``."""

from __future__ import annotations

import ast
from typing import Any

import torch

from noise_lens import optim


def parse_label(label: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the options of a label.

    Parameters
    ----------
    label : str
        A name of :func:`noise_lens.optim.names`, then ``@key=value`` for each option.

    Returns
    -------
    name : str
        Of the optimizer.
    options : dict
        Values that read as Python literals are numbers, booleans, tuples; others stay text.

    Raises
    ------
    ValueError
        An option is not ``key=value``, or is the learning rate, which has a place of its own.

    Examples
    --------
    >>> parse_label("padam@p=0.125@decoupled=True")
    ('padam', {'p': 0.125, 'decoupled': True})
    """
    name, *pairs = label.split("@")
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (equals and key.isidentifier()):
            raise ValueError(f"an optimizer is NAME or NAME@KEY=VALUE, got {label!r}")
        if key == "lr":
            raise ValueError(
                f"the learning rate of {name} is given apart from {label!r}: "
                "learning_rates= or --lr, by the whole label"
            )
        try:
            options[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[key] = value
    return name, options


def create_labelled(label: str, params: Any, **options: Any) -> torch.optim.Optimizer:
    """Return the optimizer of a label; see :func:`noise_lens.optim.create`.

    Parameters
    ----------
    label : str
        As for :func:`parse_label`.
    params : iterable
        Parameters or parameter groups.
    **options : Any
        Beside those of the label.

    Returns
    -------
    torch.optim.Optimizer
        Ready to step.
    """
    name, own = parse_label(label)
    return optim.create(name, params, **{**own, **options})


def default_rate(label: str) -> float:
    """Return the default learning rate of a label's optimizer."""
    return optim.default_learning_rate(parse_label(label)[0])
