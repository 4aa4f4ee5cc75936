"""From names to views."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from noise_lens.capture.reference import Reference
from noise_lens.capture.views.momentum import Momentum
from noise_lens.capture.views.transformed import Transform, Transformed, transforms
from noise_lens.capture.views.update import Update
from noise_lens.capture.views.view import Gradient, View, vector_dtype
from noise_lens.errors import CaptureError

VIEWS = ("gradient", "momentum", "update", "transformed", "trajectory")
"""All names; ``trajectory`` is not made of frozen weights, and has a room of its own."""


def check_views(views: Sequence[str]) -> None:
    """Raise unless every view is known.

    Parameters
    ----------
    views : sequence of str
        Asked for.

    Raises
    ------
    CaptureError
        One is not, one is there twice, or there is none.
    """
    unknown = [] if isinstance(views, str) else [view for view in views if view not in VIEWS]
    if isinstance(views, str) or unknown or not views or len(set(views)) != len(views):
        raise CaptureError(f"views must be different ones of {', '.join(VIEWS)}; got {views!r}")


def needs_optimizer(views: Sequence[str], beta: float | None = None) -> bool:
    """Return whether any of the views is an optimizer's own; an average with a `beta` is not."""
    return any(v != "gradient" and not (v == "momentum" and beta is not None) for v in views)


def needs_beta(views: Sequence[str]) -> bool:
    """Return whether any of the views averages."""
    return "momentum" in views or "trajectory" in views


def build_views(
    names: Sequence[str],
    parameters: Sequence[nn.Parameter],
    optimizer: torch.optim.Optimizer | None,
    beta: float | None,
    *,
    needs_state: bool,
) -> list[View]:
    """Return the views of frozen weights.

    Parameters
    ----------
    names : sequence of str
        Of `VIEWS`; ``trajectory`` is left out.
    parameters : sequence of Parameter
        In the layout's order.
    optimizer : torch.optim.Optimizer or None
        Whose they are.
    beta : float or None
        Decay of the average, where one of `names` averages.
    needs_state : bool
        As for :class:`Update`.

    Returns
    -------
    list of View
        In the order of `names`.

    Raises
    ------
    CaptureError
        A view needs an optimizer or a decay and there is none, or they do not fit.
    """
    if needs_beta(names) and (beta is None or not 0 <= beta < 1):
        averages = [n for n in names if needs_beta([n])]
        raise CaptureError(
            f"the view {' and '.join(map(repr, averages))} averages with a decay beta in [0, 1), "
            f"got {beta}"
        )
    if optimizer is None and needs_optimizer(names, beta):
        own = [n for n in names if needs_optimizer([n], beta)]
        raise CaptureError(
            f"the views {', '.join(own)} are an optimizer's, and none was given. Name one with "
            "optimizer= or --optimizer."
        )
    views: list[View] = []
    for name in names:
        if name == "gradient":
            views.append(Gradient())
        elif name == "momentum" and beta is not None:
            views.append(_momentum(parameters, optimizer, beta))
        elif name == "update" and optimizer is not None:
            views.append(Update(optimizer, parameters, needs_state=needs_state))
        elif name == "transformed" and optimizer is not None:
            transform = Transform(optimizer, parameters)
            views.append(Transformed(transform, type(optimizer).__name__))
    return views


def common_reference(
    chosen: Reference, reason: str, asked: str, frozen: Sequence[View], names: Sequence[str]
) -> tuple[Reference, str]:
    """Return the reference of all views of a probe: off the stable law it changes the number.

    Parameters
    ----------
    chosen, reason
        For gradients, by :func:`~noise_lens.capture.reference.choose_reference`.
    asked : str
        What the user asked for.
    frozen : sequence of View
        Views of frozen weights.
    names : sequence of str
        All views.

    Returns
    -------
    reference : {"full", "pair", "mean"}
        For all of them.
    reason : str
        One sentence for the report.

    Raises
    ------
    CaptureError
        A full gradient was asked for where it is not the mean; or is needed and is not.
    """
    if "trajectory" in names and chosen != "full":
        if asked in ("pair", "mean"):
            raise CaptureError(
                f"the view 'trajectory' is noise against full gradients, and reference {asked!r} "
                "was asked for. Leave the view out, or use reference='full'."
            )
        raise CaptureError(
            f"the view 'trajectory' needs a full gradient at every step, and here there is none: "
            f"{reason}. Leave the view out, or measure with mode='eval'."
        )
    bent = [view.name for view in frozen if not view.linear]
    if chosen != "full" or not bent:
        return chosen, reason
    named = " and ".join(repr(name) for name in bent)
    if asked == "full":
        raise CaptureError(
            f"reference 'full' is not the mean of the view {named}, which is no linear function of "
            "the gradient. Use reference='pair' for all views, or 'mean'."
        )
    if "trajectory" in names:
        raise CaptureError(
            f"the view 'trajectory' is noise against full gradients and {named} has none: they do "
            "not compare. Measure them one after the other."
        )
    return "pair", f"the view {named} has no full gradient, and views compare on one reference"


def _momentum(
    parameters: Sequence[nn.Parameter],
    optimizer: torch.optim.Optimizer | None,
    beta: float,
) -> Momentum:
    transform = None
    if optimizer is not None and transforms(optimizer):
        transform = Transform(optimizer, parameters)
    return Momentum(
        beta,
        [parameter.shape for parameter in parameters],
        parameters[0].device,
        vector_dtype(parameters),
        optimizer=None if optimizer is None else type(optimizer).__name__,
        transform=transform,
    )
