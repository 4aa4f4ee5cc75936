"""Merge sketches of ranks that took different minibatches of one draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from noise_lens.errors import RunFolderError
from noise_lens.inference.jackknife import group_labels
from noise_lens.sketch import GroupSketch, Sketch

_TOLERANCE = 1e-4  # of the squared full gradient: float64 sums of float32 gradients


def merged_by_rows(parts: Sequence[Sketch]) -> Sketch:
    """Put the rows of several ranks back into the order of the draw.

    Parameters
    ----------
    parts : sequence of Sketch
        One a rank, each with `places`; their numbers of minibatches may differ, and ranks may be
        missing.

    Returns
    -------
    Sketch
        What one process would have kept of these minibatches. Only `block_squares` are
        different: squared norms of sums over ranks are in no part, so every rank keeps its own
        blocks, and `row_blocks` says which.

    Raises
    ------
    RunFolderError
        The parts are not of one measurement.
    """
    first = parts[0]
    a_row = 2 if first.reference == "pair" else 1
    _check_alike(parts)
    places = [_places_of(part) for part in parts]
    drawn = np.concatenate(places)
    if len(np.unique(drawn)) != len(drawn):
        raise RunFolderError(
            "two ranks hold the same minibatch: they were told the same RANK, or another number of "
            "ranks. Measure again into a new folder."
        )
    in_draw = np.argsort(drawn)
    # An odd draw leaves a last minibatch without a partner, and without a row.
    of_rows = [own[: len(own) // a_row * a_row : a_row] for own in places]
    order = np.argsort(np.concatenate(of_rows))
    sizes = {part.batch_size for part in parts}
    indices = [part.example_indices for part in parts]
    return Sketch(
        groups=tuple(
            _group([part.groups[index] for part in parts], order)
            for index in range(len(first.groups))
        ),
        tensors=first.tensors,
        n_minibatches=len(drawn),
        batch_size=sizes.pop() if len(sizes) == 1 else None,
        reference=first.reference,
        reference_reason=first.reference_reason,
        mode=first.mode,
        sampling=first.sampling,
        losses=np.concatenate([part.losses for part in parts])[in_draw],
        budget=first.budget,
        example_indices=None
        if any(own is None for own in indices)
        else np.concatenate([own for own in indices if own is not None])[in_draw],
        row_blocks=None if first.reference == "full" else _row_blocks(of_rows)[order],
    )


def _places_of(part: Sketch) -> NDArray[np.int64]:
    if part.places is None:
        raise RunFolderError(
            "a part of a rank does not say which minibatches it holds: it was written by one "
            "process alone. Measure again into a new folder."
        )
    return part.places


def _check_alike(parts: Sequence[Sketch]) -> None:
    first = parts[0]
    for part in parts[1:]:
        if part.reference != first.reference:
            raise RunFolderError(
                f"one rank subtracted {first.reference!r}, another {part.reference!r} "
                f"({part.reference_reason}). Ask for the reference by name and measure again."
            )
        if [group.name for group in part.groups] != [group.name for group in first.groups]:
            raise RunFolderError(
                "the ranks have different groups: they did not measure the same model. Start all "
                "with the same arguments."
            )
        for own, other in zip(first.groups, part.groups, strict=True):
            squares = own.reference_square, other.reference_square
            if not np.array_equal(own.positions, other.positions) or not np.allclose(
                *squares, rtol=_TOLERANCE, atol=0, equal_nan=True
            ):
                raise RunFolderError(
                    f"the ranks did not measure the same weights, data and coordinates of group "
                    f"{own.name!r}. Start all with the same checkpoint, data and seed."
                )


def _group(parts: Sequence[GroupSketch], order: NDArray[np.int64]) -> GroupSketch:
    first = parts[0]

    def rows(name: str) -> NDArray[np.float64]:
        return np.asarray(np.concatenate([getattr(part, name) for part in parts])[order])

    return GroupSketch(
        name=first.name,
        n_parameters=first.n_parameters,
        coordinates=rows("coordinates").astype(np.float32, copy=False),
        positions=first.positions,
        projections=rows("projections").astype(np.float32, copy=False),
        norms=rows("norms"),
        gradient_squares=rows("gradient_squares"),
        block_squares=np.concatenate([part.block_squares for part in parts]),
        reference_square=first.reference_square,
        gradient_zero_shares=rows("gradient_zero_shares"),
        noise_zero_shares=rows("noise_zero_shares"),
        histogram=np.sum([part.histogram for part in parts], axis=0),
    )


def _row_blocks(of_rows: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    labels, n_blocks = [], 0
    for own in of_rows:
        labels.append(group_labels(len(own)) + n_blocks)
        n_blocks = int(labels[-1][-1]) + 1
    return np.concatenate(labels)
