"""The multiscale estimator of Mohammadi, with blocks that may be believed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_lens.estimators._samples import as_samples, reasons_for
from noise_lens.estimators.estimate import TailIndexEstimate

_FEWEST_BLOCKS = 2


def mohammadi(x: ArrayLike, block_size: int = 8) -> TailIndexEstimate:
    """Estimate the stability index from sums of blocks (Mohammadi, Mohammadpour & Ogata, 2015).

    For i.i.d. strictly stable X the sum Y of m of them has the law of m**(1/alpha) X, so
    ``1/alpha = (mean log|Y| - mean log|X|) / log m`` [1]_ (Corollary 2.4 as used by [2]_).

    Parameters
    ----------
    x : array_like, shape (n,) or (n, d)
        Noise samples with zero location, any unit; columns are estimated one by one. Blocks
        run along the first axis, inside a column. Exact zeros are counted and dropped before
        blocking; NaN and inf are not allowed.
    block_size : int
        m, how many samples are summed, at least 2. The error is smallest near e**2; the
        published sqrt(n) wastes most of the sample.

    Returns
    -------
    TailIndexEstimate
        ``alpha`` in (0, inf], inf where block sums are no larger than single samples; the
        interval is that of ``1/alpha``, Student's t with one degree less than the blocks.
        It is not cut at 2: a value above 2 is a warning about the assumptions.

    Raises
    ------
    ValueError
        `block_size` is out of range.
    SamplesError
        `x` is not a finite real sample of one or two axes.
    NotEnoughDataError
        No column has two full blocks of non-zero samples.

    Notes
    -----
    It assumes independent samples, zero location and a stable law. It reads near 1.06 on
    Gaussian AR(0.9) noise, 0.94 on Gaussian noise with a mean of one standard deviation, and
    above 2 on noise centred by the mean of the same few rows. Laplace noise reads 1.6.

    References
    ----------
    .. [1] M. Mohammadi, A. Mohammadpour, H. Ogata, "On estimating the tail index and the
       spectral measure of multivariate alpha-stable distributions", Metrika 78, 2015.
       doi:10.1007/s00184-014-0515-7
    .. [2] U. Simsekli, L. Sagun, M. Gurbuzbalaban, ICML 2019, arXiv:1901.06053

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([1.0, 3.0, -1.0, 5.0])  # |Y| = 4, 4; mean log|Y/X| over log 2
    >>> round(mohammadi(x, block_size=2).alpha, 4)
    0.9773
    """
    samples = as_samples(x, "mohammadi")
    columns = samples.reshape(samples.shape[0], -1)
    check_block_size(block_size, samples.shape[0])
    n = np.count_nonzero(columns, axis=0).astype(np.int64)
    reasons = reasons_for(
        "mohammadi", n, np.zeros(len(n), dtype=bool), needed=_FEWEST_BLOCKS * block_size
    )
    contrasts = block_contrasts(columns, block_size)
    n_blocks = contrasts.usable.sum(axis=0)
    reciprocal, error = _mean_and_error(contrasts.values, n_blocks)
    with np.errstate(divide="ignore", invalid="ignore"):
        alpha = np.where(reciprocal > 0, 1 / reciprocal, np.inf)
        standard_error = np.where(reciprocal > 0, error * alpha**2, error)
    alpha[list(reasons)] = np.nan
    standard_error[list(reasons)] = np.nan
    degrees = np.maximum(n_blocks - 1, 1).astype(np.float64)
    n_zero = samples.shape[0] - n
    if samples.ndim == 1:
        return TailIndexEstimate(
            alpha=float(alpha[0]),
            standard_error=float(standard_error[0]),
            n=int(n[0]),
            method="mohammadi",
            n_zero=int(n_zero[0]),
            pivot="reciprocal",
            degrees_of_freedom=float(degrees[0]),
        )
    return TailIndexEstimate(
        alpha=alpha,
        standard_error=standard_error,
        n=n,
        method="mohammadi",
        n_zero=n_zero,
        pivot="reciprocal",
        degrees_of_freedom=degrees,
        reasons=reasons,
    )


def check_block_size(block_size: int, n: int) -> None:
    """Raise unless two blocks of `block_size` fit in `n` samples.

    Parameters
    ----------
    block_size : int
        Samples a block.
    n : int
        Samples there are.

    Raises
    ------
    ValueError
        `block_size` is below 2 or above n / 2.
    """
    if not 2 <= block_size <= n // _FEWEST_BLOCKS:
        raise ValueError(
            f"block_size must satisfy 2 <= block_size <= n / 2, got block_size={block_size} "
            f"with n={n} samples"
        )


@dataclass(frozen=True)
class BlockContrasts:
    """One estimate of 1/alpha a block: ``(log|Y| - mean log|X|) / log m``.

    Attributes
    ----------
    values : ndarray of shape (n // m, d)
        The contrasts; 0 where there is none.
    usable : ndarray of shape (n // m, d)
        False beyond a column's last full block, and where samples cancel to an exact zero sum.
    middle_rows : ndarray of shape (n // m, d)
        The row of the sample in the middle of each block.
    """

    values: NDArray[np.float64]
    usable: NDArray[np.bool_]
    middle_rows: NDArray[np.int64]


def block_contrasts(columns: NDArray[np.float64], block_size: int) -> BlockContrasts:
    """Sum blocks down each column, its zeros dropped before blocking.

    Parameters
    ----------
    columns : ndarray of shape (n, d)
        Samples.
    block_size : int
        m, samples a block.

    Returns
    -------
    BlockContrasts
        Of all columns.
    """
    n_rows, n_columns = columns.shape
    nonzero = columns != 0
    rows = np.broadcast_to(np.arange(n_rows)[:, None], columns.shape)
    if not nonzero.all():
        # Move each column's zeros behind its samples and keep the order of the rest.
        rows = np.argsort(~nonzero, axis=0, kind="stable")
        columns = np.take_along_axis(columns, rows, axis=0)
    n_blocks = n_rows // block_size
    blocks = columns[: n_blocks * block_size].reshape(n_blocks, block_size, n_columns)
    full = np.arange(n_blocks)[:, None] < nonzero.sum(axis=0) // block_size
    with np.errstate(divide="ignore"):
        singles = np.log(np.abs(blocks)).mean(axis=1)
        sums = np.log(np.abs(blocks.sum(axis=1)))
    # Samples can cancel to an exact zero sum (ties): such a block says nothing on 1/alpha.
    usable = full & np.isfinite(sums)
    differences = np.subtract(sums, singles, out=np.zeros_like(sums), where=usable)
    return BlockContrasts(
        values=differences / np.log(block_size),
        usable=usable,
        middle_rows=rows[block_size // 2 : n_blocks * block_size : block_size],
    )


def _mean_and_error(
    contrasts: NDArray[np.float64], n_blocks: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n = np.maximum(n_blocks, 1)
    mean = contrasts.sum(axis=0) / n
    # Unusable blocks are stored as 0 and would add mean**2 each.
    square = (contrasts**2).sum(axis=0) - n * mean**2
    variance = np.maximum(square, 0) / np.maximum(n - 1, 1)
    return mean, np.sqrt(variance / n)
