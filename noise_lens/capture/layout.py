"""One flat buffer for all gradients: which element is whose.

Parameters are laid one after another, each padded to whole lines of 64 elements. Parameters
that belong to the same groups form a *cell*, and cells are contiguous, so that every statistic
is kept once a cell and a group is a sum of cells.
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
    """Where each parameter lies in the flat buffer.

    Attributes
    ----------
    names : tuple of str
        Parameters in the order of the buffer.
    shapes : tuple of torch.Size
        Their shapes.
    numels : ndarray of shape (T,)
        Their element counts.
    starts : ndarray of shape (T,)
        First element of each, a multiple of 64.
    size : int
        Elements of the buffer, padding included.
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
    size: int
    cell_lines: NDArray[np.int64]
    cell_numels: NDArray[np.int64]
    membership: NDArray[np.int64]

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.cell_numels)

    def views(self, flat: torch.Tensor) -> list[torch.Tensor]:
        """Return each parameter's part of `flat`, in its own shape."""
        return [
            flat[start : start + numel].view(shape)
            for start, numel, shape in zip(self.starts, self.numels, self.shapes, strict=True)
        ]

    def group_numels(self) -> NDArray[np.int64]:
        """Return the element count of each group, shape (G,)."""
        return self.membership @ self.cell_numels


def build_layout(shapes: Mapping[str, torch.Size], groups: Sequence[Group]) -> Layout:
    """Lay the parameters out, cell by cell.

    Parameters
    ----------
    shapes : mapping of str to torch.Size
        The trainable parameters, in the model's order.
    groups : sequence of Group
        Groups of those parameters; together they cover all.

    Returns
    -------
    Layout
        For a flat buffer of ``layout.size`` elements.
    """
    signature = {name: tuple(name in set(group.parameters) for group in groups) for name in shapes}
    cells = list(dict.fromkeys(signature.values()))
    names = tuple(sorted(shapes, key=lambda name: cells.index(signature[name])))
    numels = np.array([shapes[name].numel() for name in names], dtype=np.int64)
    lines = -(-numels // LINE)
    first_lines = np.concatenate([[0], np.cumsum(lines)]).astype(np.int64)
    cell_of = np.array([cells.index(signature[name]) for name in names])
    cell_lines = [first_lines[np.searchsorted(cell_of, cell)] for cell in range(len(cells))]
    return Layout(
        names=names,
        shapes=tuple(shapes[name] for name in names),
        numels=numels,
        starts=first_lines[:-1] * LINE,
        size=int(first_lines[-1] * LINE),
        cell_lines=np.array([*cell_lines, first_lines[-1]], dtype=np.int64),
        cell_numels=np.bincount(cell_of, weights=numels).astype(np.int64),
        membership=np.array(cells, dtype=np.int64).T,
    )
