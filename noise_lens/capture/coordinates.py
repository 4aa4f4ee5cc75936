"""Sampled coordinates: which entries of a gradient are kept raw."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noise_lens.capture.groups import Group
from noise_lens.capture.layout import Layout
from noise_lens.capture.seeding import derived_seed


def sample_coordinates(
    layout: Layout, group: Group, n_coordinates: int, seed: int
) -> NDArray[np.int64]:
    """Choose coordinates of a group, spread over its tensors in proportion to size.

    Every tensor gives at least one, in the group ``all`` at least two: where that needs more
    than `n_coordinates`, more are taken. The choice is made among the elements of the whole
    tensors: of a shard's coordinates those are returned that it holds, and all shards together
    hold what a single process would have chosen.

    Parameters
    ----------
    layout : Layout
        Where the tensors lie.
    group : Group
        Whose coordinates.
    n_coordinates : int
        How many, if the group has so many.
    seed : int
        The run's seed; each tensor's choice also depends on its name.

    Returns
    -------
    ndarray of shape (d,)
        Rising places in the layout.
    """
    mine = set(group.parameters)
    members = [index for index, name in enumerate(layout.names) if name in mine]
    wholes = layout.wholes[members]
    per_tensor = shares(wholes, n_coordinates, least=2 if group.name == "all" else 1)
    chosen = []
    for index, share in zip(members, per_tensor, strict=True):
        rng = np.random.default_rng(
            derived_seed(seed, "coordinates", group.name, layout.names[index])
        )
        held = rng.choice(layout.wholes[index], size=share, replace=False) - layout.firsts[index]
        held = held[(held >= 0) & (held < layout.numels[index])]
        chosen.append(layout.starts[index] + held)
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def shares(numels: NDArray[np.int64], total: int, least: int) -> NDArray[np.int64]:
    """Return `total` split over tensors: `least` each, the rest in proportion to what is left."""
    first = np.minimum(numels, least)
    rest = min(total, int(numels.sum())) - int(first.sum())
    left = numels - first
    if rest <= 0:
        return np.asarray(first)
    exact = rest * left / left.sum()
    extra = np.floor(exact).astype(np.int64)
    order = np.argsort(extra - exact, kind="stable")
    extra[order[: rest - int(extra.sum())]] += 1
    return np.asarray(first + extra)
