"""The order in which all gradients are read: which element is whose.

Parameters are laid one after another, each padded to whole lines of 64 elements. Parameters
that belong to the same groups form a *cell*, and cells are contiguous, so that every statistic
is kept once a cell and a group is a sum of cells. Nothing as long as the layout is ever
allocated for it: gradients pass through one :mod:`window <noise_lens.capture.windows>` of it at
a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from noise_lens.capture.groups import Group

LINE = 64


@dataclass(frozen=True)
class Layout:
    """Where each parameter lies in the order of reading.

    A shard of a tensor begins at the place in its line that its first element has in the whole
    tensor, so that place in a line means index modulo 64 of the whole tensor everywhere.

    Attributes
    ----------
    names : tuple of str
        Parameters in that order.
    shapes : tuple of torch.Size
        Shapes of what is held here.
    numels : ndarray of shape (T,)
        Their element counts.
    starts : ndarray of shape (T,)
        Place of the first element of each; a multiple of 64 for a whole tensor.
    firsts : ndarray of shape (T,)
        Index in the whole tensor of the first element of each; 0 where nothing is sharded.
    wholes : ndarray of shape (T,)
        Element counts of the whole tensors.
    size : int
        Places, padding included.
    cell_lines : ndarray of shape (C + 1,)
        First line of each cell, and the end.
    cell_numels : ndarray of shape (C,)
        Elements a cell, without padding.
    membership : ndarray of shape (G, C)
        1 where a group holds a cell.
    """

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    numels: NDArray[np.int64]
    starts: NDArray[np.int64]
    firsts: NDArray[np.int64]
    wholes: NDArray[np.int64]
    size: int
    cell_lines: NDArray[np.int64]
    cell_numels: NDArray[np.int64]
    membership: NDArray[np.int64]

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.cell_numels)

    def group_numels(self) -> NDArray[np.int64]:
        """Return the element count of each group, shape (G,)."""
        return self.membership @ self.cell_numels

    def indices(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return whose elements lie at places.

        Parameters
        ----------
        positions : ndarray of shape (d,)
            Places of elements, not of padding.

        Returns
        -------
        ndarray of shape (d, 2)
            Number of the tensor, and the index in the whole of it.
        """
        tensor = np.searchsorted(self.starts, positions, side="right") - 1
        inside = positions - self.starts[tensor] + self.firsts[tensor]
        return np.stack([tensor, inside], axis=1)


def build_layout(
    shapes: Mapping[str, torch.Size],
    groups: Sequence[Group],
    first: Mapping[str, int] | None = None,
    whole: Mapping[str, int] | None = None,
) -> Layout:
    """Lay the parameters out, cell by cell.

    Parameters
    ----------
    shapes : mapping of str to torch.Size
        The trainable parameters, in the model's order; of a shard, what is held here.
    groups : sequence of Group
        Groups of those parameters; together they cover all.
    first : mapping of str to int, optional
        For contiguous shards: index in the whole tensor, flattened, of the first element that is
        held here. Parameters that it leaves out begin at 0.
    whole : mapping of str to int, optional
        Elements of the whole tensors, of all that `first` names.

    Returns
    -------
    Layout
        Statistics of the shards of a tensor, each with its own layout, add up to its own.

    Raises
    ------
    ValueError
        A shard reaches beyond its whole tensor, or the size of that is not given.
    """
    members = [set(group.parameters) for group in groups]
    signature = {name: tuple(name in member for member in members) for name in shapes}
    cells = list(dict.fromkeys(signature.values()))
    number = {cell: index for index, cell in enumerate(cells)}
    names = tuple(sorted(shapes, key=lambda name: number[signature[name]]))
    numels = np.array([shapes[name].numel() for name in names], dtype=np.int64)
    firsts = np.array([(first or {}).get(name, 0) for name in names], dtype=np.int64)
    wholes = numels.copy()
    for index, name in enumerate(names):
        if name in (first or {}):
            wholes[index] = (whole or {}).get(name, -1)
            if firsts[index] < 0 or firsts[index] + numels[index] > wholes[index]:
                raise ValueError(
                    f"the shard of {name} holds {numels[index]} elements from {firsts[index]} on, "
                    f"of {wholes[index] if name in (whole or {}) else 'an unknown number'}. Give "
                    "whole[name], the elements of the whole tensor."
                )
    leads = np.where(numels > 0, firsts % LINE, 0)
    lines = -(-(leads + numels) // LINE)
    first_lines = np.concatenate([[0], np.cumsum(lines)]).astype(np.int64)
    cell_of = np.array([number[signature[name]] for name in names])
    cell_lines = [first_lines[np.searchsorted(cell_of, cell)] for cell in range(len(cells))]
    return Layout(
        names=names,
        shapes=tuple(shapes[name] for name in names),
        numels=numels,
        starts=first_lines[:-1] * LINE + leads,
        firsts=firsts,
        wholes=wholes,
        size=int(first_lines[-1] * LINE),
        cell_lines=np.array([*cell_lines, first_lines[-1]], dtype=np.int64),
        cell_numels=np.bincount(cell_of, weights=numels).astype(np.int64),
        membership=np.array(cells, dtype=np.int64).T,
    )
