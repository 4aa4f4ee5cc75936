"""The multiscale estimator on vectors: norms of rows against norms of their block sums."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_lens.errors import NotEnoughDataError, SamplesError
from noise_lens.estimators._mohammadi import check_block_size
from noise_lens.estimators._samples import as_samples
from noise_lens.estimators.estimate import TailIndexEstimate, from_reciprocal


def mohammadi_norm(rows: ArrayLike, block_size: int = 8) -> TailIndexEstimate:
    """Estimate one stability index of vectors from norms of block sums (Mohammadi et al., 2015).

    For i.i.d. strictly stable vectors the sum Y of m of them has the law of m**(1/alpha) X, so
    ``1/alpha = (mean log ||Y|| - mean log ||X||) / log m`` [1]_, [2]_ (Corollary 2.4 there).

    Parameters
    ----------
    rows : array_like, shape (M, d)
        One vector a row, zero location. Rows of zeros are counted and dropped before blocking.
    block_size : int
        m, how many rows are summed, at least 2.

    Returns
    -------
    TailIndexEstimate
        Scalars; ``n`` and ``n_zero`` count rows. ``alpha`` in (0, inf]; the interval is that of
        1/alpha, Student's t with one degree less than the blocks.

    Raises
    ------
    ValueError
        `block_size` is out of range.
    SamplesError
        `rows` is not a finite real array of two axes.
    NotEnoughDataError
        There are not two full blocks of non-zero rows.

    Notes
    -----
    It assumes independent rows, zero location and one alpha for all directions; neither isotropy
    nor independent coordinates. Coordinates of large scale dominate the norm: divide each column
    by its own scale first, or use ``noise_lens.pooled(rows, "mohammadi_norm")``, which does.
    Independent heavy coordinates of finite variance read 2 in many dimensions.

    References
    ----------
    .. [1] M. Mohammadi, A. Mohammadpour, H. Ogata, Metrika 78, 2015.
       doi:10.1007/s00184-014-0515-7
    .. [2] M. Gurbuzbalaban, U. Simsekli, L. Zhu, ICML 2021, arXiv:2006.04740 (its estimator of
       the stationary tail index)

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.array([[3.0, 4.0], [0.0, 5.0], [5.0, 0.0], [4.0, 3.0]])  # norms 5
    >>> found = mohammadi_norm(rows, block_size=2)  # sums (3, 9) and (9, 3): norms sqrt(90)
    >>> bool(np.isclose(1 / found.alpha, np.log(np.sqrt(90) / 5) / np.log(2)))
    True
    """
    vectors = np.asarray(as_samples(rows, "mohammadi_norm"), dtype=np.float64)
    if vectors.ndim != 2:
        raise SamplesError(
            f"mohammadi_norm needs one vector a row, shape (M, d), got shape {vectors.shape}. "
            "For one coordinate use mohammadi."
        )
    check_block_size(block_size, len(vectors))
    contrasts, _, n = norm_contrasts(vectors, block_size)
    reciprocal = float(contrasts.mean())
    error = float(contrasts.std(ddof=1) / np.sqrt(len(contrasts)))
    alpha = float(from_reciprocal(reciprocal))
    return TailIndexEstimate(
        alpha=alpha,
        standard_error=error * alpha**2,
        n=n,
        method="mohammadi_norm",
        n_zero=len(vectors) - n,
        pivot="reciprocal",
        reciprocal=reciprocal,
        reciprocal_error=error,
        degrees_of_freedom=float(len(contrasts) - 1),
    )


def norm_contrasts(
    vectors: NDArray[np.float64], block_size: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
    """Return one estimate of 1/alpha a block of rows, rows of zeros dropped before blocking.

    Parameters
    ----------
    vectors : ndarray of shape (M, d)
        Finite rows.
    block_size : int
        Rows a block.

    Returns
    -------
    contrasts : ndarray of shape (b,)
        ``(log ||Y|| - mean log ||X||) / log m`` of blocks whose sum is not zero.
    middle_rows : ndarray of shape (b,)
        The row in the middle of each.
    n : int
        Rows that are not zero.

    Raises
    ------
    NotEnoughDataError
        There are not two full blocks of non-zero rows.
    SamplesError
        Fewer than two block sums are not zero.
    """
    norms = np.linalg.norm(vectors, axis=1)
    rows = np.flatnonzero(norms)
    n_blocks = len(rows) // block_size
    if n_blocks < 2:
        raise NotEnoughDataError("mohammadi_norm", n=len(rows), needed=2 * block_size)
    used = rows[: n_blocks * block_size]
    starts = np.arange(n_blocks) * block_size
    sums = np.linalg.norm(
        np.add.reduceat(vectors if len(used) == len(vectors) else vectors[used], starts, axis=0),
        axis=1,
    )
    singles = np.log(norms[used]).reshape(n_blocks, block_size).mean(axis=1)
    cancelled = sums == 0
    if n_blocks - cancelled.sum() < 2:
        raise SamplesError(
            f"mohammadi_norm needs block sums that are not zero, got {cancelled.sum()} zero sums "
            f"in {n_blocks} blocks: the rows cancel. Shuffle them, or choose another block_size."
        )
    contrasts = (np.log(sums[~cancelled]) - singles[~cancelled]) / np.log(block_size)
    return contrasts, used[starts + block_size // 2][~cancelled], len(rows)
