"""The published reading of a tail index: the median of one estimator over several block sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from noise_lens.errors import NotEnoughDataError
from noise_lens.estimators._mohammadi_norm import norm_contrasts
from noise_lens.estimators.estimate import TailIndexEstimate, from_reciprocal

PUBLISHED_BLOCK_SIZES = (2, 5, 10, 20, 40, 50, 100)
"""Of the released notebook of Gurbuzbalaban et al., 2021."""

_GROUP = 200  # rows: whole blocks of every published size
_MOST_GROUPS = 20

FEWEST_ROWS = 2 * max(_GROUP, 2 * max(PUBLISHED_BLOCK_SIZES))
"""Below these there is no reading with the published block sizes."""


def median_over_block_sizes(
    rows: NDArray[np.float64], block_sizes: Sequence[int] = PUBLISHED_BLOCK_SIZES
) -> TailIndexEstimate:
    """Estimate a tail index as the median of ``mohammadi_norm`` over block sizes [1]_.

    Parameters
    ----------
    rows : ndarray of shape (M, d)
        Independent vectors around zero, any unit, finite.
    block_sizes : sequence of int
        m, how many rows are summed.

    Returns
    -------
    TailIndexEstimate
        Its error is a jackknife over up to 20 groups of rows, so that it counts the choice of the
        median; the interval is that of 1/alpha.

    Raises
    ------
    NotEnoughDataError
        There are fewer than two groups: of 200 rows, or of two of the largest blocks.

    References
    ----------
    .. [1] M. Gurbuzbalaban, U. Simsekli, L. Zhu, ICML 2021, section 4. arXiv:2006.04740

    Examples
    --------
    >>> rows = np.random.default_rng(0).standard_normal((20_000, 3))
    >>> round(median_over_block_sizes(rows).alpha, 1)
    2.0
    """
    smallest = max(_GROUP, 2 * max(block_sizes))
    n_groups = min(_MOST_GROUPS, len(rows) // smallest)
    if n_groups < 2:
        raise NotEnoughDataError(
            "the median over block sizes", n=len(rows), needed=2 * smallest, what="replicas"
        )
    length = len(rows) / n_groups
    # Squares of diverging iterates overflow; another unit changes no estimate.
    sizes = np.abs(rows).max(axis=1)
    middle = np.median(sizes)
    unit = rows / middle if middle > 0 else rows
    whole, left_out = [], []
    for m in block_sizes:
        contrasts, middles, n = norm_contrasts(unit, m)
        group = np.minimum((middles // length).astype(np.int64), n_groups - 1)
        sums = np.bincount(group, contrasts, minlength=n_groups)
        counts = np.bincount(group, minlength=n_groups)
        whole.append(contrasts.mean())
        left_out.append((sums.sum() - sums) / (counts.sum() - counts))
    reciprocal = float(np.median(whole))
    others = np.median(left_out, axis=0)
    error = float(np.sqrt((n_groups - 1) * np.var(others)))
    alpha = float(from_reciprocal(reciprocal))
    return TailIndexEstimate(
        alpha=alpha,
        standard_error=error * alpha**2,
        n=n,
        method="mohammadi_norm",
        n_zero=len(rows) - n,
        pivot="reciprocal",
        reciprocal=reciprocal,
        reciprocal_error=error,
        degrees_of_freedom=float(n_groups - 1),
    )
