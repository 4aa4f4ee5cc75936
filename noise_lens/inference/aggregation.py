"""The aggregation curve: the index of sums of m minibatches, against m."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_lens.errors import NoiseLensError
from noise_lens.inference.dependence import effective_columns, shared_scale
from noise_lens.inference.jackknife import group_labels, jackknife_error
from noise_lens.inference.replicates import Replicates, characteristic_function_replicates
from noise_lens.inference.rows import as_rows
from noise_lens.inference.stable_errors import StableErrors
from noise_lens.inference.standardise import standardise

_FEWEST_BLOCKS = 50
_FEWEST_ENTRIES = 400
_COLUMNS_THAT_COUNT = 64
_MOST_ORDERS = 8


@dataclass(frozen=True)
class AggregationCurve:
    """Alpha of sums of m minibatches.

    Attributes
    ----------
    block_sizes : ndarray of shape (L,)
        m = 1, 2, 4, ...
    alpha : ndarray of shape (L,)
        Flat under a stable law; rising to 2 where sums of minibatches become Gaussian. Cut at 2.
    low, high : ndarray of shape (L,)
        Ends of 95 % intervals: the indices under whose stable law, with the dependence that
        these rows show, such an estimate is not rare (``docs/verdict.md``).
    standard_error : ndarray of shape (L,)
        Delete-a-group jackknife over minibatches; close to 2, what so many blocks can tell.
    drift : float
        ``alpha[-1] - alpha[0]``, before the cut at 2.
    drift_standard_error : float
        Its jackknife error, with the same groups left out at both ends.
    drift_low, drift_high : ndarray of shape (L,)
        Between them lies the drift of stable rows from the first level to each, at least 98 times
        in a hundred a level; 0 at the first.
    degrees_of_freedom : int
        Groups less one.
    errors : StableErrors
        What the intervals and limits come from.
    uncut : ndarray of shape (L,)
        `alpha` before the cut at 2.
    """

    block_sizes: NDArray[np.int64]
    alpha: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    drift: float
    drift_standard_error: float
    drift_low: NDArray[np.float64]
    drift_high: NDArray[np.float64]
    degrees_of_freedom: int
    errors: StableErrors
    uncut: NDArray[np.float64]

    @property
    def drift_limits(self) -> tuple[float, float]:
        """The limits of the drift to the largest block size."""
        return float(self.drift_low[-1]), float(self.drift_high[-1])

    def bounds(self, level: int, confidence_level: float) -> tuple[float, float]:
        """Return the ends of the interval of one level.

        Parameters
        ----------
        level : int
            Its number; -1 for the largest block size.
        confidence_level : {0.9, 0.95}
            0.9 has the two one-sided 95 % bounds as its ends.

        Returns
        -------
        tuple of float
            Low and high, in [0, 2].
        """
        size = int(self.block_sizes[level])
        return self.errors.interval(float(self.uncut[level]), size, confidence_level)


def aggregation_curve(rows: ArrayLike, rng: np.random.Generator | None = None) -> AggregationCurve:
    """Return the tail index of sums of m minibatches for m = 1, 2, 4, ...

    Rows are put in random order, summed in blocks of m, and each level is standardised per
    coordinate by itself, because coordinates differ in shape as well as in scale. Levels above
    the first average over up to eight orders. The largest m leaves 50 blocks and 400 entries,
    correlated coordinates counted as the independent ones that they are worth. All levels have
    the same coordinates.

    Parameters
    ----------
    rows : array_like, shape (M, d)
        One row a minibatch, zero location. Exact zeros count as samples here: what is summed is
        the law with its atom, and an atom fades as minibatches are summed. (`pooled` drops
        them.)
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
    used = standardise(checked)[2]
    if used.any():  # the same coordinates at every level
        checked = checked[:, used]
    worth = effective_columns(checked)
    shuffled = checked[rng.permutation(len(checked))]
    labels = group_labels(len(shuffled))

    sizes, values, errors, replicates = [], [], [], []
    size = 1
    while size == 1 or enough_blocks(len(shuffled) // size, worth):
        try:
            found = [
                characteristic_function_replicates(blocks, block_labels, keep_zeros=True)
                for blocks, block_labels in _blocks(shuffled, labels, size, rng)
            ]
        except NoiseLensError:
            if size == 1:
                raise
            break  # too few sums that are not zero: the curve ends here
        level = _averaged(found)
        sizes.append(size)
        values.append(level.value)
        errors.append(level.error_near_2)
        replicates.append(level.leave_out)
        size *= 2
    uncut, drift = np.array(values), replicates[-1] - replicates[0]
    law = StableErrors(len(shuffled), worth, shared_scale(checked))
    intervals = [law.interval(value, m) for value, m in zip(values, sizes, strict=True)]
    limits = [law.drift_limits(values[0], m) for m in sizes]
    return AggregationCurve(
        block_sizes=np.array(sizes),
        alpha=np.minimum(uncut, 2.0),
        low=np.array([low for low, _ in intervals]),
        high=np.array([high for _, high in intervals]),
        standard_error=np.array(errors),
        drift=values[-1] - values[0],
        drift_standard_error=jackknife_error(drift),
        drift_low=np.array([low for low, _ in limits]),
        drift_high=np.array([high for _, high in limits]),
        degrees_of_freedom=len(drift) - 1,
        errors=law,
        uncut=uncut,
    )


def enough_blocks(n_blocks: int, n_columns: float) -> bool:
    """Return whether sums of so many blocks say enough: 50 blocks, 400 entries.

    Parameters
    ----------
    n_blocks : int
        Sums.
    n_columns : float
        Coordinates, or what they are worth where they are correlated; beyond 64 they add little
        where rows share a scale.

    Returns
    -------
    bool
        Whether a level is worth having.
    """
    entries = n_blocks * min(n_columns, _COLUMNS_THAT_COUNT)
    return n_blocks >= _FEWEST_BLOCKS and entries >= _FEWEST_ENTRIES


def n_orders(size: int) -> int:
    """Return how many orders of the rows a level averages over: no level costs more than m = 1."""
    return min(size, _MOST_ORDERS)


def _blocks(
    rows: NDArray[np.float64], labels: NDArray[np.int64], size: int, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    # Sums of `size` rows in several orders. Rows stay in their jackknife group, so that leaving
    # a group out leaves out the same minibatches in every order.
    n_blocks = len(rows) // size
    for index in range(n_orders(size)):
        order = np.lexsort((rng.random(len(rows)), labels)) if index else slice(None)
        used = rows[order][: n_blocks * size]
        yield used.reshape(n_blocks, size, -1).sum(axis=1), labels[: n_blocks * size : size]


def _averaged(found: list[Replicates]) -> Replicates:
    first = found[0]
    return Replicates(
        value=float(np.mean([one.value for one in found])),
        leave_out=np.mean([one.leave_out for one in found], axis=0),
        sigma=first.sigma,
        n=first.n,
        n_zero=first.n_zero,
        n_rows=first.n_rows,
    )
