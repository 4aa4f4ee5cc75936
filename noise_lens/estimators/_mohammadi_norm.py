"""The multiscale estimator on vectors: norms of rows against norms of their block sums."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

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
    n_rows, norms = len(vectors), np.linalg.norm(vectors, axis=1)
    n = int(np.count_nonzero(norms))
    n_blocks = n // block_size
    if n_blocks < 2:
        raise NotEnoughDataError("mohammadi_norm", n=n, needed=2 * block_size)
    if n < n_rows:
        vectors, norms = vectors[norms > 0], norms[norms > 0]
    used = n_blocks * block_size
    sums = np.linalg.norm(vectors[:used].reshape(n_blocks, block_size, -1).sum(axis=1), axis=1)
    singles = np.log(norms[:used]).reshape(n_blocks, block_size).mean(axis=1)
    contrasts = (np.log(sums[sums > 0]) - singles[sums > 0]) / np.log(block_size)
    if len(contrasts) < 2:
        raise SamplesError(
            f"mohammadi_norm needs block sums that are not zero, got {len(contrasts)} among "
            f"{n_blocks}: the rows cancel. Shuffle them, or choose another block_size."
        )
    reciprocal = float(contrasts.mean())
    error = float(contrasts.std(ddof=1) / np.sqrt(len(contrasts)))
    alpha = float(from_reciprocal(reciprocal))
    return TailIndexEstimate(
        alpha=alpha,
        standard_error=error * alpha**2,
        n=n,
        method="mohammadi_norm",
        n_zero=n_rows - n,
        pivot="reciprocal",
        reciprocal=reciprocal,
        reciprocal_error=error,
        degrees_of_freedom=float(len(contrasts) - 1),
    )
