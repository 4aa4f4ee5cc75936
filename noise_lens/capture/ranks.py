"""Several ranks, one draw: who takes which minibatch, agreed on without talking."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from noise_lens.errors import CaptureError


class Ranks(NamedTuple):
    """Which of several processes this one is."""

    rank: int = 0
    world_size: int = 1


ALONE = Ranks()
_WATCHED = 4  # minibatches


def ranks_here() -> Ranks:
    """Return the rank of this process under ``torchrun`` or in a process group; (0, 1) alone.

    Only read, never made: no process group is needed, and none is created.

    Returns
    -------
    Ranks
        From ``torch.distributed`` if it is initialised, else from RANK and WORLD_SIZE.

    Raises
    ------
    CaptureError
        WORLD_SIZE says that there are others, and RANK does not say which this one is.
    """
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return checked_ranks(distributed.get_rank(), distributed.get_world_size())
    world_size, rank = os.environ.get("WORLD_SIZE", "1"), os.environ.get("RANK")
    if world_size == "1":
        return ALONE
    try:
        return checked_ranks(int(rank or ""), int(world_size))
    except ValueError as error:
        raise CaptureError(
            f"the environment says WORLD_SIZE={world_size} and RANK={rank or 'nothing'}: which "
            "of the ranks is this? Start with torchrun, or take WORLD_SIZE out of the environment."
        ) from error


def checked_ranks(rank: int, world_size: int) -> Ranks:
    """Return `rank` of `world_size`, if there can be such a one.

    Parameters
    ----------
    rank : int
        From 0.
    world_size : int
        How many there are.

    Returns
    -------
    Ranks
        Both.

    Raises
    ------
    CaptureError
        They do not fit.
    """
    if not 0 <= rank < world_size:
        raise CaptureError(f"ranks must be 0 <= rank < world_size, got {rank} of {world_size}")
    return Ranks(rank, world_size)


def places_of(n_minibatches: int, reference: str, ranks: Ranks) -> NDArray[np.int64]:
    """Return which minibatches of the draw a rank takes.

    Rows are dealt out in turn, so ranks side by side cover the draw evenly, and rows put back
    in their order are those of a single process.

    Parameters
    ----------
    n_minibatches : int
        Of all ranks together.
    reference : {"full", "pair", "mean"}
        What is subtracted. A pair of minibatches is one row and stays on one rank.
    ranks : Ranks
        Which one, of how many.

    Returns
    -------
    ndarray of shape (n,)
        Rising.

    Raises
    ------
    CaptureError
        There are fewer rows than ranks.
    """
    a_row = 2 if reference == "pair" else 1
    if n_minibatches // a_row < ranks.world_size:
        raise CaptureError(
            f"{n_minibatches} minibatches are {n_minibatches // a_row} rows with the reference "
            f"{reference!r}, too few for {ranks.world_size} ranks. Measure more, or start fewer."
        )
    places = np.arange(n_minibatches)
    return np.asarray(places[places // a_row % ranks.world_size == ranks.rank])


def seeded(
    batches: Iterator[Any], places: Sequence[int], seed: int, device: torch.device
) -> Iterator[Any]:
    """Yield minibatches, each after seeding the global generators by its place.

    What dropout and augmentation draw for a minibatch is then a function of its place in the
    draw: the same on whichever rank, and whatever was drawn before. The generators of NumPy and
    Python are seeded only if one of the first few minibatches draws from them: it would take
    3 % of a small model's time for nothing.

    Parameters
    ----------
    batches : iterator
        The minibatches of `places`.
    places : sequence of int
        In the draw.
    seed : int
        Of the model.
    device : torch.device
        Where the model computes.

    Yields
    ------
    Any
        A minibatch.
    """
    rng = np.random.default_rng(seed)
    seeds = rng.integers(2**32, size=max(places, default=-1) + 1)[list(places)].tolist()
    host_draws = False
    for index, own in enumerate(seeds):
        # Not torch.manual_seed: it takes 100 us, a fifth of a small model's gradient.
        torch.default_generator.manual_seed(own)
        if device.type == "cuda":
            torch.cuda.default_generators[device.index or 0].manual_seed(own)
        elif device.type != "cpu":
            torch.manual_seed(own)
        watched = index < _WATCHED and not host_draws
        if watched or host_draws:
            np.random.seed(own)  # noqa: NPY002 - user code may draw from it
            random.seed(own)
        before = _host_states() if watched else None
        yield next(batches)
        if watched:
            host_draws = _host_states() != before


def _host_states() -> tuple[object, ...]:
    state = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    return state["key"].tobytes(), state["pos"], random.getstate()
