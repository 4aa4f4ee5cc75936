"""Whose views: from a name, an optimizer or a function to an optimizer with its state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from noise_lens import optim
from noise_lens.capture.views import needs_beta, needs_optimizer
from noise_lens.capture.views.transformed import transforms
from noise_lens.errors import CaptureError
from noise_lens.tasks.checkpoint.optimizer_state import (
    fill_optimizer,
    load_optimizer_state,
    optimizer_state,
)

OptimizerSpec = str | torch.optim.Optimizer | Callable[[nn.Module], torch.optim.Optimizer]


def optimizer_of(
    asked: OptimizerSpec | None,
    model: nn.Module,
    checkpoint: str | Path | None,
    views: Sequence[str],
    beta: float | None = None,
) -> tuple[torch.optim.Optimizer | None, bool]:
    """Return the optimizer whose views are asked for.

    Parameters
    ----------
    asked : str or torch.optim.Optimizer or callable or None
        As for :func:`noise_lens.measure`.
    model : torch.nn.Module
        At the weights to measure.
    checkpoint : str or Path or None
        Where its state may be.
    views : sequence of str
        What is asked for.
    beta : float or None
        Decay, if not the optimizer's.

    Returns
    -------
    optimizer : torch.optim.Optimizer or None
        None where no view needs one and none was given.
    loaded : bool
        Whether its state is that of training: it was found, or the optimizer was given as it is.

    Raises
    ------
    CaptureError
        A view needs an optimizer, or it is of another model.
    CheckpointError
        Its state does not fit.
    """
    if asked is None:
        if needs_optimizer(views, beta):
            own = [view for view in views if needs_optimizer([view], beta)]
            raise CaptureError(
                f"the views {', '.join(own)} are an optimizer's, and none was given. Name one with "
                f"optimizer= or --optimizer: {', '.join(optim.names())}."
            )
        return None, False
    if isinstance(asked, torch.optim.Optimizer):
        known = {id(p) for p in model.parameters()}
        if not any(id(p) in known for group in asked.param_groups for p in group["params"]):
            raise CaptureError(
                f"the {type(asked).__name__} given is of other parameters than the measured "
                "model's: a task's factory and a checkpoint make a model of their own. Give a "
                "function that takes the model and returns the optimizer, or a task with your "
                "built module and no checkpoint."
            )
        return asked, True
    if isinstance(asked, str):
        found = optim.create(asked, model.parameters())
    elif not callable(asked):
        raise CaptureError(
            "optimizer must be a name, a torch.optim.Optimizer, or a function that takes the model "
            f"and returns one; got {type(asked).__name__}"
        )
    else:
        found = asked(model)
        if not isinstance(found, torch.optim.Optimizer):
            raise CaptureError(
                f"optimizer(model) returned {type(found).__name__}, not a torch.optim.Optimizer"
            )
    # Not only a step depends on what was saved: decays and options stand there as well.
    asked_for = set(views) - {"gradient"}
    given = asked_for <= {"momentum"} and beta is not None and not transforms(found)
    wanted = bool(asked_for) and not given
    state = optimizer_state(checkpoint) if wanted and checkpoint is not None else None
    if state is None:
        return found, False
    if isinstance(asked, str):
        load_optimizer_state(found, model, state)
    else:
        fill_optimizer(found, state)
    return found, True


def beta_of(
    optimizer: torch.optim.Optimizer | None, beta: float | None, views: Sequence[str]
) -> float | None:
    """Return the decay of the average that the views need.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer or None
        Whose views.
    beta : float or None
        Asked for instead.
    views : sequence of str
        What is asked for.

    Returns
    -------
    float or None
        None where no view averages.

    Raises
    ------
    CaptureError
        It is out of range, or the optimizer's is not known.
    """
    if not needs_beta(views):
        return None
    if beta is None and optimizer is not None:
        try:
            beta = optim.first_moment_decay(optimizer)
        except ValueError as error:
            raise CaptureError(str(error)) from error
    if beta is None or not 0 <= beta < 1:
        raise CaptureError(f"beta must lie in [0, 1), got {beta}")
    return beta


def name_of(asked: OptimizerSpec | None) -> str | None:
    """Return how a manifest names what was asked for."""
    if asked is None or isinstance(asked, str):
        return asked
    if isinstance(asked, torch.optim.Optimizer):
        return type(asked).__name__
    return getattr(asked, "__qualname__", type(asked).__name__)
