"""Ranks that train together decide together."""

from __future__ import annotations

import torch
from torch import distributed

from noise_lens.capture.ranks import ALONE, Ranks


def training_ranks() -> Ranks:
    """Return this process's place in the default process group; alone without one."""
    if distributed.is_available() and distributed.is_initialized():
        return Ranks(distributed.get_rank(), distributed.get_world_size())
    return ALONE


def agreed(number: int) -> int:
    """Return rank 0's `number`: one small broadcast, which every rank must enter.

    Parameters
    ----------
    number : int
        This rank's own.

    Returns
    -------
    int
        The same everywhere.
    """
    if training_ranks().world_size == 1:
        return number
    backend = str(distributed.get_backend())
    device = "cuda" if "nccl" in backend and "gloo" not in backend else "cpu"
    shared = torch.tensor([number], dtype=torch.int64, device=device)
    distributed.broadcast(shared, src=0)
    return int(shared.item())
