"""The aggregation curve: the index of sums of m minibatches, against m."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_lens.errors import NoiseLensError
from noise_lens.inference.jackknife import group_labels, jackknife_error
from noise_lens.inference.replicates import characteristic_function_replicates
from noise_lens.inference.rows import as_rows

_FEWEST_BLOCKS = 50
_FEWEST_ENTRIES = 400
_COLUMNS_THAT_COUNT = 64


@dataclass(frozen=True)
class AggregationCurve:
    """Alpha of sums of m minibatches.

    Attributes
    ----------
    block_sizes : ndarray of shape (L,)
        m = 1, 2, 4, ...
    alpha : ndarray of shape (L,)
        Flat under a stable law; rising to 2 where sums of minibatches become Gaussian. Cut at 2.
    standard_error : ndarray of shape (L,)
        Delete-a-group jackknife over minibatches; close to 2, what so many blocks can tell.
    drift : float
        ``alpha[-1] - alpha[0]``, before the cut at 2.
    drift_standard_error : float
        Its jackknife error, with the same groups left out at both ends.
    degrees_of_freedom : int
        Groups less one.
    """

    block_sizes: NDArray[np.int64]
    alpha: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    drift: float
    drift_standard_error: float
    degrees_of_freedom: int


def aggregation_curve(rows: ArrayLike, rng: np.random.Generator | None = None) -> AggregationCurve:
    """Return the tail index of sums of m minibatches for m = 1, 2, 4, ...

    Rows are put in random order, summed in blocks of m, and each level is standardised per
    coordinate by itself, because coordinates differ in shape as well as in scale. The largest
    m leaves 50 blocks and 400 entries.

    Parameters
    ----------
    rows : array_like, shape (M, d)
        One row a minibatch, zero location.
    rng : numpy.random.Generator, optional
        For the order of the rows; fresh entropy if not given.

    Returns
    -------
    AggregationCurve
        At least the level m = 1.

    Raises
    ------
    SamplesError
        `rows` is not a finite real array of two axes.
    NotEnoughDataError
        Fewer than 20 rows, or no usable coordinate.
    NoiseLensError
        Another reason why single rows have no estimate.
    """
    checked = as_rows(rows, "aggregation_curve")
    rng = np.random.default_rng() if rng is None else rng
    shuffled = checked[rng.permutation(len(checked))]
    labels = group_labels(len(shuffled))

    sizes, values, errors, replicates = [], [], [], []
    size = 1
    while size == 1 or _enough(len(shuffled) // size, shuffled.shape[1]):
        n_blocks = len(shuffled) // size
        blocks = shuffled[: n_blocks * size].reshape(n_blocks, size, -1).sum(axis=1)
        try:
            found = characteristic_function_replicates(blocks, labels[: n_blocks * size : size])
        except NoiseLensError:
            if size == 1:
                raise
            break  # too few sums that are not zero: the curve ends here
        sizes.append(size)
        values.append(found.value)
        errors.append(found.error_near_2)
        replicates.append(found.leave_out)
        size *= 2
    drift = replicates[-1] - replicates[0]
    return AggregationCurve(
        block_sizes=np.array(sizes),
        alpha=np.minimum(values, 2.0),
        standard_error=np.array(errors),
        drift=values[-1] - values[0],
        drift_standard_error=jackknife_error(drift),
        degrees_of_freedom=len(drift) - 1,
    )


def _enough(n_blocks: int, n_columns: int) -> bool:
    entries = n_blocks * min(n_columns, _COLUMNS_THAT_COUNT)
    return n_blocks >= _FEWEST_BLOCKS and entries >= _FEWEST_ENTRIES
