"""What a probe keeps: NumPy arrays, on the host; torch is not needed to read them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class GroupSketch:
    """What a probe keeps of one group; NumPy arrays, R rows.

    Attributes
    ----------
    name : str
        The group.
    n_parameters : int
        Its elements.
    coordinates : ndarray of shape (R, d)
        Noise of the sampled coordinates, float32, in the gradient's unit.
    positions : ndarray of shape (d, 2)
        Number of the tensor in the probe's `tensors`, and the index in it.
    projections : ndarray of shape (R, P)
        Sums of all coordinates with random signs, float32.
    norms : ndarray of shape (R,)
        Euclidean norm of the noise, in the gradient's unit.
    gradient_squares : ndarray of shape (R,)
        Squared Euclidean norm of each row's raw minibatch gradient; of a pair's two, the sum.
    block_squares : ndarray of shape (g,)
        Squared Euclidean norm of the sum of all raw gradients of each group of rows of
        ``noise_lens.inference.jackknife.group_labels``; what is left of it without
        `gradient_squares` is the inner products of different minibatches. Empty for "full".
    reference_square : float
        Squared Euclidean norm of what was subtracted: of the exact gradient for "full", of the
        mean over the probe for "mean"; NaN for "pair".
    gradient_zero_shares : ndarray of shape (R,)
        Exact zeros among the elements of each row's raw minibatch gradient, or of its two.
    noise_zero_shares : ndarray of shape (R,)
        Exact zeros among the elements of each row's noise.
    histogram : ndarray of shape (8192,)
        The log-histogram of all elements of all rows.
    """

    name: str
    n_parameters: int
    coordinates: NDArray[np.float32]
    positions: NDArray[np.int64]
    projections: NDArray[np.float32]
    norms: NDArray[np.float64]
    gradient_squares: NDArray[np.float64]
    block_squares: NDArray[np.float64]
    reference_square: float
    gradient_zero_shares: NDArray[np.float64]
    noise_zero_shares: NDArray[np.float64]
    histogram: NDArray[np.int64]


LARGEST_INDEXED_BATCH = 8
"""Larger minibatches do not have their examples kept: 64 bytes a minibatch are the most."""


@dataclass(frozen=True)
class Sketch:
    """The result of a probe.

    Attributes
    ----------
    groups : tuple of GroupSketch
        ``all`` first.
    tensors : tuple of str
        Names that `positions` refer to.
    n_minibatches : int
        What was drawn; of a rank, what it drew.
    batch_size : int or None
        Examples a minibatch; None where a stream's sizes differ.
    reference, reference_reason : str
        What was subtracted, and why that.
    mode : str
        "train", "eval", or "as training".
    sampling : str
        How minibatches were drawn.
    losses : ndarray of shape (n_minibatches,)
        Minibatch losses at the frozen weights.
    budget : dict of str to int
        Bytes held on the device, line by line.
    example_indices : ndarray of shape (n_minibatches, batch_size) or None
        Which examples of the data set each minibatch held, int64, in the order of drawing;
        row r of a pair sketch is of the minibatches 2r and 2r + 1. Kept for a batch size of at
        most 8, so at most 64 bytes a minibatch on the host; None for larger ones and for a
        stream, whose examples have no number.
    places : ndarray of shape (n_minibatches,) or None
        Place of each minibatch in the draw that several ranks share; None where one process
        took all.
    view : str
        Which noise.
    optimizer : str or None
        Class of the optimizer whose view it is; None for ``gradient``.
    beta : float or None
        Decay of the average; None where nothing is averaged.
    window : int
        Minibatch gradients a vector.
    published : (float, int) or None
        The literature's pooled estimate of this noise, and its block size, where asked for.
    row_blocks : ndarray of shape (R,) or None
        Which of a group's `block_squares` each row is in; None for the contiguous groups of
        ``noise_lens.inference.jackknife.group_labels``. Rows of several ranks have their own.
    """

    groups: tuple[GroupSketch, ...]
    tensors: tuple[str, ...]
    n_minibatches: int
    batch_size: int | None
    reference: str
    reference_reason: str
    mode: str
    sampling: str
    losses: NDArray[np.float64]
    budget: dict[str, int]
    example_indices: NDArray[np.int64] | None
    places: NDArray[np.int64] | None = None
    row_blocks: NDArray[np.int64] | None = None
    view: str = "gradient"
    optimizer: str | None = None
    beta: float | None = None
    window: int = 1
    published: tuple[float, int] | None = None
