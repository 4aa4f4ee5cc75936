"""What of a parameter is held on this rank."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from noise_lens.capture.passive.picks import Pick
from noise_lens.errors import CaptureError


class Box(NamedTuple):
    """The part of a whole tensor that a rank holds: `shape` elements from `offset` on."""

    offset: tuple[int, ...]
    shape: tuple[int, ...]


class IndexPick:
    """Coordinates of a shard that is not a contiguous stretch of its whole tensor.

    Parameters
    ----------
    name : str
        The parameter.
    positions : ndarray of shape (count,)
        Indices in the flattened shard.
    whole : ndarray of shape (count,)
        The same coordinates in the flattened whole tensor.
    """

    def __init__(self, name: str, positions: NDArray[np.int64], whole: NDArray[np.int64]) -> None:
        self.name, self.positions, self.whole = name, positions, whole
        self.count = len(positions)
        self._index: torch.Tensor | None = None

    def view(self, flat: torch.Tensor) -> torch.Tensor:
        """Return the coordinates.

        Parameters
        ----------
        flat : torch.Tensor
            The flattened shard.

        Returns
        -------
        torch.Tensor
            Shape (count,).
        """
        if self._index is None or self._index.device != flat.device:
            self._index = torch.from_numpy(self.positions).to(flat.device)
        return flat[self._index]


def whole_shape(parameter: nn.Parameter) -> torch.Size:
    """Return the shape of the whole parameter: that of a DTensor is global already."""
    return parameter.shape


def is_distributed(tensor: torch.Tensor) -> bool:
    """Return whether `tensor` is a DTensor."""
    return hasattr(tensor, "device_mesh")


def local_part(tensor: torch.Tensor) -> torch.Tensor:
    """Return what this rank holds: the tensor itself, or the shard of a DTensor."""
    if not is_distributed(tensor):
        return tensor
    shard: Any = tensor
    with torch.no_grad():
        local = shard.to_local()
    wait = getattr(local, "trigger_wait", None)  # what a collective has yet to bring
    found: torch.Tensor = local if wait is None else wait()
    return found


def box_of(tensor: torch.Tensor) -> Box | None:
    """Return which part of a whole tensor lies here.

    Parameters
    ----------
    tensor : torch.Tensor
        Whole, or a DTensor.

    Returns
    -------
    Box or None
        None where another rank holds the same: of copies along a mesh dimension the first one
        counts, so that all ranks together hold every element once.

    Raises
    ------
    CaptureError
        The DTensor is placed in another way than by Shard and Replicate.
    """
    offset, shape = [0] * tensor.dim(), list(tensor.shape)
    if not is_distributed(tensor):
        return Box(tuple(offset), tuple(shape))
    shard: Any = tensor
    mesh, placements = shard.device_mesh, shard.placements
    coordinates = mesh.get_coordinate()
    if coordinates is None:
        return None  # this rank is no part of the mesh
    held = True
    for axis, placement in enumerate(placements):
        if type(placement).__name__ == "Shard":
            dim = placement.dim
            length = -(-shape[dim] // mesh.size(axis))
            start = min(coordinates[axis] * length, shape[dim])
            offset[dim] += start
            shape[dim] = min(length, shape[dim] - start)
        elif placement.is_replicate():
            held = held and coordinates[axis] == 0
        else:
            raise CaptureError(
                f"a parameter is placed by {placement}; only Shard and Replicate can be read. "
                "Save checkpoints and run `noise-lens measure` on them."
            )
    return Box(tuple(offset), tuple(shape)) if held else None


def stretch_of(box: Box, whole: torch.Size) -> tuple[int, int] | None:
    """Return the stretch of the flattened whole tensor that a box is.

    Parameters
    ----------
    box : Box
        Part of it.
    whole : torch.Size
        Its shape.

    Returns
    -------
    (int, int) or None
        First index, and the end; None where the box is no single stretch.
    """
    cut = [dim for dim in range(len(whole)) if box.shape[dim] != whole[dim]]
    if not cut:
        return 0, whole.numel()
    last = cut[-1]
    if torch.Size(whole[:last]).numel() != 1 and torch.Size(box.shape).numel():
        return None
    start = box.offset[last] * torch.Size(whole[last + 1 :]).numel()
    return start, start + torch.Size(box.shape).numel()


def local_pick(parameter: nn.Parameter, pick: Pick) -> Pick | IndexPick:
    """Return the coordinates of `pick` that this rank holds, with indices in its shard.

    Parameters
    ----------
    parameter : torch.nn.Parameter
        Whole, or a DTensor.
    pick : Pick
        With indices in the whole tensor.

    Returns
    -------
    Pick or IndexPick
        Its count may be 0.
    """
    box = box_of(parameter)
    if box is None:
        return nothing_of(pick)
    whole = whole_shape(parameter)
    stretch = stretch_of(box, whole)
    if stretch is not None:
        return pick.within(*stretch)[1]
    places = np.stack(np.unravel_index(pick.positions, tuple(whole))).T - np.array(box.offset)
    inside = ((places >= 0) & (places < np.array(box.shape))).all(axis=1)
    local = np.ravel_multi_index(tuple(places[inside].T), box.shape)
    return IndexPick(pick.name, local.astype(np.int64), pick.positions[inside])


def nothing_of(pick: Pick) -> Pick:
    """Return no coordinate of a parameter: another rank holds it."""
    return Pick(pick.name, 0, 1, 0)


def copies_elsewhere(parameters: Iterable[torch.Tensor]) -> bool:
    """Return whether another rank counts the plain tensors of a tensor-parallel model.

    Parameters
    ----------
    parameters : iterable of torch.Tensor
        Of the model. Those that are no DTensor are the same on all ranks of the mesh.

    Returns
    -------
    bool
        True on all ranks of the mesh but its first.
    """
    for parameter in parameters:
        if is_distributed(parameter):
            coordinates = parameter.device_mesh.get_coordinate()  # type: ignore[attr-defined]
            return coordinates is None or any(coordinates)
    return False
