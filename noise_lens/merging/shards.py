"""Merge sketches of ranks that hold other coordinates of the same minibatches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from noise_lens.errors import RunFolderError
from noise_lens.sketch import GroupSketch, Sketch


def merged_by_shards(parts: Sequence[Sketch]) -> Sketch:
    """Join the shards of each row.

    Signs and buckets of a coordinate are functions of the seed, its tensor's name and its index
    in the whole tensor, so projections of shards add up to those of the whole.

    Parameters
    ----------
    parts : sequence of Sketch
        One a rank: the same rows and minibatches, disjoint coordinates, `positions` by the index
        in the whole tensor, P chosen by the whole group. A rank that holds nothing of a group
        leaves it out, or gives it no parameters.

    Returns
    -------
    Sketch
        What one process that held all coordinates would have kept.

    Raises
    ------
    RunFolderError
        The parts are not of the same rows, or hold a coordinate twice.
    """
    first = parts[0]
    for part in parts[1:]:
        for what in ("n_minibatches", "reference"):
            if getattr(part, what) != getattr(first, what):
                raise RunFolderError(
                    f"shards of different {what} cannot be joined: {getattr(first, what)} and "
                    f"{getattr(part, what)}. Measure again into a new folder."
                )
    names = list(dict.fromkeys(group.name for part in parts for group in part.groups))
    losses = [part.losses for part in parts]
    indices = [part.example_indices for part in parts]
    same = all(_equal(own, indices[0]) for own in indices)
    return replace(
        first,
        groups=tuple(
            _group([group for part in parts for group in part.groups if group.name == name])
            for name in names
        ),
        # The loss of the whole minibatch on every rank, or the mean of the ranks' shares of it.
        losses=losses[0]
        if all(_equal(own, losses[0]) for own in losses)
        else np.mean(losses, axis=0),
        example_indices=indices[0] if same else None,
        places=None,
    )


def _equal(one: NDArray[np.generic] | None, other: NDArray[np.generic] | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one, other))


def _group(shards: Sequence[GroupSketch]) -> GroupSketch:
    parts = [shard for shard in shards if shard.n_parameters] or list(shards[:1])
    first = parts[0]
    for what in ("norms", "projections"):
        shapes = sorted({getattr(part, what).shape for part in parts})
        if len(shapes) > 1:
            raise RunFolderError(
                f"shards of group {first.name!r} have {what} of the shapes {shapes[0]} and "
                f"{shapes[-1]}: they are not of the same rows. Measure again into a new folder."
            )
    positions = np.concatenate([part.positions for part in parts])
    if len(np.unique(positions, axis=0)) != len(positions):
        raise RunFolderError(
            f"two shards of group {first.name!r} hold the same coordinate: they overlap, or are "
            "copies. Split the run by rows where every rank holds the whole model."
        )
    order = np.lexsort(positions.T[::-1])  # by tensor, then by index, as in one process
    numels = np.array([part.n_parameters for part in parts])

    def total(name: str) -> NDArray[np.float64]:
        found = np.sum([getattr(part, name) for part in parts], axis=0, dtype=np.float64)
        return np.asarray(found)

    def mean(name: str) -> NDArray[np.float64]:
        shares = np.stack([getattr(part, name) for part in parts])
        return np.asarray(numels @ shares / max(int(numels.sum()), 1))

    return GroupSketch(
        name=first.name,
        n_parameters=int(numels.sum()),
        coordinates=np.concatenate([part.coordinates for part in parts], axis=1)[:, order],
        positions=positions[order],
        projections=total("projections").astype(np.float32),
        norms=np.sqrt(np.sum([part.norms**2 for part in parts], axis=0)),
        gradient_squares=total("gradient_squares"),
        block_squares=total("block_squares"),
        reference_square=float(total("reference_square")),
        gradient_zero_shares=mean("gradient_zero_shares"),
        noise_zero_shares=mean("noise_zero_shares"),
        histogram=np.sum([part.histogram for part in parts], axis=0),
    )
