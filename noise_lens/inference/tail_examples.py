"""Which examples carry the tail: the rows with the largest noise, and what was in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_lens.errors import NotEnoughDataError, SamplesError

_METHOD = "tail_examples"


@dataclass(frozen=True)
class TailExamples:
    """The heaviest rows of a probe and the examples in them.

    With one example a row (`examples_a_row` is 1) each example was measured by itself. With more
    a minibatch was measured, or the difference of two, never an example: `excess` says what goes
    with an example on average. Companions of a heavy example have some of it too, and one that
    was drawn once cannot be told from its companions.

    Attributes
    ----------
    n_rows : int
        Rows there are, R.
    examples_a_row : int
        Examples a row, e: the batch size, or twice that for pairs.
    top_share : float
        Share in [0, 1] that the heaviest 1 % of the rows (rounded up) have of the sum of all
        squared norms. Equal norms give their number over R.
    rows : ndarray of shape (K,)
        Numbers of the heaviest rows, heaviest first.
    row_norms : ndarray of shape (K,)
        Their noise norms, in the gradient's unit.
    row_shares : ndarray of shape (K,)
        Their shares of the sum of all squared norms.
    row_examples : ndarray of shape (K, e)
        Their examples, as positions in the data set.
    row_excess : ndarray of shape (K, e)
        Excess of each of those.
    examples : ndarray of shape (E,)
        Distinct examples, heaviest first: by `norms` with one example a row, else by
        ``sqrt(n_drawn) * excess``, the excess in units of its error: a companion that shares
        some rows of a heavy example ranks below it.
    n_drawn : ndarray of shape (E,)
        Rows that hold the example; a row that holds it twice counts once.
    norms : ndarray of shape (E,)
        Root mean square of the noise norms of those rows, in the gradient's unit.
    shares : ndarray of shape (E,)
        Share of those rows together in the sum of all squared norms; with more than one example
        a row shares overlap.
    excess : ndarray of shape (E,)
        Mean squared norm of those rows less the mean of all rows, in the gradient's unit
        squared.
    """

    n_rows: int
    examples_a_row: int
    top_share: float
    rows: NDArray[np.int64]
    row_norms: NDArray[np.float64]
    row_shares: NDArray[np.float64]
    row_examples: NDArray[np.int64]
    row_excess: NDArray[np.float64]
    examples: NDArray[np.int64]
    n_drawn: NDArray[np.int64]
    norms: NDArray[np.float64]
    shares: NDArray[np.float64]
    excess: NDArray[np.float64]


def tail_examples(norms: ArrayLike, example_indices: ArrayLike, top: int = 10) -> TailExamples:
    """Return the examples in the rows with the largest noise norms.

    Parameters
    ----------
    norms : array_like, shape (R,)
        Euclidean norm of each row's noise.
    example_indices : array_like, shape (M, b)
        Examples of each minibatch, integers. M = R; or M = 2 R or 2 R + 1 for pairs, where row r
        holds the minibatches 2r and 2r + 1 and a last odd one was not used.
    top : int
        How many rows and how many examples to return at most.

    Returns
    -------
    TailExamples
        Equal norms are in the order of rows, equal examples in that of their positions.

    Raises
    ------
    SamplesError
        Norms are not finite or below 0, indices are no integers, or their shapes do not fit.
    NotEnoughDataError
        No norm is above 0.
    ValueError
        `top` is below 1.

    Examples
    --------
    >>> found = tail_examples([1.0, 3.0, 1.0, 3.0], [[5], [7], [6], [7]], top=2)
    >>> found.examples, found.n_drawn, found.shares  # 9 + 9 of 1 + 9 + 1 + 9
    (array([7, 5]), array([2, 1]), array([0.9 , 0.05]))
    """
    if top < 1:
        raise ValueError(f"top must be at least 1, got {top}")
    lengths = _checked_norms(norms)
    held = _checked_indices(example_indices, len(lengths))
    unit = float(lengths.max())
    squares = (lengths / unit) ** 2
    total = float(squares.sum())
    order = np.argsort(-lengths, kind="stable")
    heaviest = order[:top]

    names, inverse = np.unique(held, return_inverse=True)
    inverse = inverse.reshape(held.shape)
    # Each example once a row: (row, example) pairs without repeats.
    pairs = np.unique(np.arange(len(held))[:, None] * len(names) + inverse)
    row_of, example_of = np.divmod(pairs, len(names))
    n_drawn = np.bincount(example_of, minlength=len(names))
    sums = np.bincount(example_of, weights=squares[row_of], minlength=len(names))
    means = sums / n_drawn
    excess = means - squares.mean()
    weight = means if held.shape[1] == 1 else np.sqrt(n_drawn) * excess
    chosen = np.argsort(-weight, kind="stable")[:top]
    n_top = -(-len(lengths) // 100)
    return TailExamples(
        n_rows=len(lengths),
        examples_a_row=held.shape[1],
        top_share=float(squares[order[:n_top]].sum() / total),
        rows=heaviest,
        row_norms=lengths[heaviest],
        row_shares=squares[heaviest] / total,
        row_examples=held[heaviest],
        row_excess=excess[inverse[heaviest]] * unit**2,
        examples=names[chosen],
        n_drawn=n_drawn[chosen],
        norms=np.sqrt(means[chosen]) * unit,
        shares=sums[chosen] / total,
        excess=excess[chosen] * unit**2,
    )


def _checked_norms(norms: ArrayLike) -> NDArray[np.float64]:
    lengths = np.asarray(norms, dtype=np.float64)
    if lengths.ndim != 1:
        raise SamplesError(f"{_METHOD} needs one norm a row, got shape {lengths.shape}.")
    bad = np.count_nonzero(~((lengths >= 0) & np.isfinite(lengths)))
    if bad:
        raise SamplesError(
            f"{_METHOD} needs finite norms of at least 0, got {bad} others of {len(lengths)}. "
            "Find the minibatch that overflowed."
        )
    if not lengths.any():
        raise NotEnoughDataError(_METHOD, n=0, needed=1, what="norms above 0")
    return lengths


def _checked_indices(example_indices: ArrayLike, n_rows: int) -> NDArray[np.int64]:
    indices = np.asarray(example_indices)
    if indices.dtype.kind not in "iu" or indices.ndim != 2 or indices.shape[1] == 0:
        raise SamplesError(
            f"{_METHOD} needs the examples of each minibatch as integers of shape (M, b), got "
            f"{indices.dtype} of shape {indices.shape}. A sketch keeps them for a batch size of "
            "at most 8, from a map-style data set."
        )
    held = indices.astype(np.int64)
    if len(held) == n_rows:
        return held
    if len(held) // 2 != n_rows:
        raise SamplesError(
            f"{_METHOD} needs as many minibatches as rows, or twice as many for pairs; got "
            f"{len(held)} minibatches and {n_rows} rows."
        )
    return held[: 2 * n_rows].reshape(n_rows, -1)
