"""The multiscale estimator of Mohammadi, with blocks that may be believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_lens.errors import SamplesError
from noise_lens.estimators._samples import (
    Samples,
    as_array,
    check_values,
    columns_of,
    nonzero_counts,
)
from noise_lens.estimators.estimate import TailIndexEstimate, assembled, from_reciprocal

_Value = TypeVar("_Value", bound="np.generic[Any]")

DEFAULT_BLOCK_SIZE = 8
_FEWEST_BLOCKS = 2
_CHUNK = 262_144
_LARGEST_POWER = 8  # of a block sum: leaves magnitudes from 1e-35 to 1e35
# 2.2e-16, added inside both logarithms of the published code.
PUBLISHED_EPSILON = float(np.spacing(1))


def mohammadi(
    x: ArrayLike,
    block_size: int = DEFAULT_BLOCK_SIZE,
    *,
    compat: Literal["simsekli2019"] | None = None,
) -> TailIndexEstimate:
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
    compat : {"simsekli2019"}, optional
        Reproduce the arithmetic of the code released with [2]_ to 1e-6, whatever it is worth:
        all entries of `x` in one sequence (row by row), blocks of the largest divisor of their
        number that is not above its root, 2.2e-16 inside both logarithms, zeros kept. The
        result is labelled. `alpha` may be negative, and the interval is (inf, inf) then: no
        tail index explains it. The interval takes the entries for independent.

    Returns
    -------
    TailIndexEstimate
        ``alpha`` in (0, inf], inf where block sums are no larger than single samples; the
        interval is that of ``1/alpha``, Student's t with one degree less than the blocks.
        It is not cut at 2: a value above 2 is a warning about the assumptions.

    Raises
    ------
    ValueError
        `block_size` is out of range, or given with `compat`, which has its own.
    SamplesError
        `x` is not a finite real sample of one or two axes, repeats one magnitude, or `compat`
        is asked for and its number of entries has no divisor to block by (a prime).
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
    samples = as_array(x, "mohammadi")
    if compat is None and len(samples) >= _FEWEST_BLOCKS * 2:
        check_block_size(block_size, len(samples))
    needed = _FEWEST_BLOCKS * block_size
    if compat is not None or len(samples) < needed:
        check_values(samples, "mohammadi")
    if compat is not None:
        return _published(samples, block_size, compat)
    check_block_size(block_size, len(samples))
    # A first pass without any check: where all its results are finite there is no zero, no NaN
    # and no inf, and the sample is not read again.
    ratios = _log_ratios(samples.reshape(len(samples), -1), block_size)
    rest = samples[len(samples) // block_size * block_size :]
    plain = bool(np.isfinite(ratios).all() and np.isfinite(rest).all() and np.all(rest))
    if not (plain and samples.flat[0] != samples.flat[-1]):
        check_values(samples, "mohammadi")
    columns = columns_of(samples, "mohammadi", needed, all_nonzero=plain)
    if plain:
        ratios /= np.log(block_size)
        values, n_blocks = ratios, np.full(ratios.shape[1], len(ratios))
    else:
        del ratios
        contrasts = block_contrasts(columns.values, block_size)
        values, n_blocks = contrasts.values, contrasts.usable.sum(axis=0)
    reciprocal, error = _mean_and_error(values, n_blocks)
    for missing in columns.reasons:
        reciprocal[missing] = error[missing] = np.nan
    return assembled(
        scalar=columns.scalar,
        alpha=from_reciprocal(reciprocal),
        n=columns.n,
        method="mohammadi",
        n_zero=columns.n_zero,
        pivot="reciprocal",
        reciprocal=reciprocal,
        reciprocal_error=error,
        degrees_of_freedom=np.maximum(n_blocks - 1, 1).astype(np.float64),
        reasons=columns.reasons,
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
    whole = isinstance(block_size, int | np.integer) and not isinstance(block_size, bool)
    if not whole or not 2 <= block_size <= n // _FEWEST_BLOCKS:
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
    """

    values: NDArray[np.float64]
    usable: NDArray[np.bool_]


def block_contrasts(columns: Samples, block_size: int) -> BlockContrasts:
    """Sum blocks down each column, its zeros dropped before blocking.

    Parameters
    ----------
    columns : ndarray of shape (n, d)
        Finite samples.
    block_size : int
        m, samples a block.

    Returns
    -------
    BlockContrasts
        Of all columns.
    """
    n_blocks = len(columns) // block_size
    n_nonzero = nonzero_counts(columns)
    columns = _packed(columns, columns, n_nonzero)
    values = _log_ratios(columns, block_size)
    values /= np.log(block_size)
    # Samples can cancel to an exact zero sum (ties): such a block says nothing on 1/alpha.
    usable = np.isfinite(values)
    usable &= np.arange(n_blocks)[:, None] < n_nonzero // block_size
    values[~usable] = 0
    return BlockContrasts(values=values, usable=usable)


def middle_rows(columns: Samples, block_size: int) -> NDArray[np.int64]:
    """Return the row of the sample in the middle of each block of :func:`block_contrasts`.

    Parameters
    ----------
    columns : ndarray of shape (n, d)
        Samples.
    block_size : int
        m, samples a block.

    Returns
    -------
    ndarray of shape (n // m, d)
        Beyond a column's last full block any row.
    """
    rows = np.broadcast_to(np.arange(len(columns))[:, None], columns.shape)
    packed = _packed(rows, columns, nonzero_counts(columns))
    return packed[block_size // 2 : len(columns) // block_size * block_size : block_size]


def _packed(
    values: NDArray[_Value], columns: Samples, n_nonzero: NDArray[np.int64]
) -> NDArray[_Value]:
    """Move what belongs to a column's zeros behind the rest, whose order stays; zeros there."""
    if (n_nonzero == len(columns)).all():
        return values
    # By masks: an index of all samples would be larger than a float32 sample itself.
    kept = np.arange(len(columns))[:, None] < n_nonzero
    packed = np.zeros(values.shape, dtype=values.dtype)
    packed.T[kept.T] = values.T[(columns != 0).T]
    return packed


def _log_ratios(columns: Samples, block_size: int) -> NDArray[np.float64]:
    """Return ``log|Y| - mean log|X|`` a block, of shape (n // m, d); not finite for lack of one."""
    n_blocks = len(columns) // block_size
    ratios = np.empty((n_blocks, columns.shape[1]))
    step = max(1, _CHUNK // (block_size * columns.shape[1]))
    for start in range(0, n_blocks, step):
        stop = min(start + step, n_blocks)
        blocks = columns[start * block_size : stop * block_size]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios[start:stop] = _log_ratios_of_chunk(blocks, block_size)
    return ratios


def _log_ratios_of_chunk(blocks: Samples, block_size: int) -> NDArray[np.float64]:
    if block_size <= _LARGEST_POWER:
        try:
            with np.errstate(over="raise", under="raise"):
                return _log_power_ratios(blocks, block_size)
        except FloatingPointError:
            pass  # a product left the range of a float64
    logs = np.log(np.abs(blocks, dtype=np.float64))
    sums, mean = (
        sum(part[place::block_size].astype(np.float64) for place in range(block_size))
        for part in (blocks, logs)
    )
    return np.asarray(np.log(np.abs(sums)) - mean / block_size)


def _log_power_ratios(blocks: Samples, block_size: int) -> NDArray[np.float64]:
    # log(|Y|**m / |X_1 ... X_m|) / m: one logarithm a block instead of m + 1, one read.
    sums = blocks[::block_size].astype(np.float64)
    product = sums.copy()
    for place in range(1, block_size):
        row = blocks[place::block_size]
        sums += row
        product *= row
    power = sums.copy()
    for _ in range(1, block_size):
        power *= sums
    power /= product
    return np.asarray(np.log(np.abs(power, out=power), out=power) / block_size)


def _published(samples: Samples, block_size: int, compat: str) -> TailIndexEstimate:
    """Return what the code released with Simsekli et al. (2019) returns, with its error."""
    if compat != "simsekli2019":
        raise ValueError(f'compat must be "simsekli2019" or None, got {compat!r}')
    if block_size != DEFAULT_BLOCK_SIZE:
        raise ValueError(
            f'compat="simsekli2019" has its own block size, got block_size={block_size}. '
            "Leave one of the two out."
        )
    x = samples.ravel().astype(np.float64)
    m = max(m for m in range(1, int(np.sqrt(len(x))) + 1) if len(x) % m == 0)
    if m == 1:
        raise SamplesError(
            f"mohammadi with compat='simsekli2019' blocks by the largest divisor up to the root "
            f"of the number of entries, and {len(x)} is prime: the published code divides by "
            "log(1) = 0 there. Leave out one entry, or leave out compat."
        )
    singles = np.log(np.abs(x) + PUBLISHED_EPSILON).mean()
    sums = np.log(np.abs(x.reshape(-1, m).sum(axis=1)) + PUBLISHED_EPSILON)
    reciprocal = float((sums.mean() - singles) / np.log(m))
    error = float(sums.std(ddof=1) / np.log(m) / np.sqrt(len(sums)))
    alpha = 1 / reciprocal if reciprocal else np.inf
    return TailIndexEstimate(
        alpha=alpha,
        standard_error=error * alpha**2,
        n=len(x),
        method="mohammadi, compat simsekli2019",
        pivot="reciprocal",
        reciprocal=reciprocal,
        reciprocal_error=error,
        degrees_of_freedom=float(len(sums) - 1),
    )


def _mean_and_error(
    contrasts: NDArray[np.float64], n_blocks: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n = np.maximum(n_blocks, 1)
    mean = contrasts.sum(axis=0) / n
    # Unusable blocks are stored as 0 and would add mean**2 each.
    square = np.einsum("ij,ij->j", contrasts, contrasts) - n * mean**2
    variance = np.maximum(square, 0) / np.maximum(n - 1, 1)
    return mean, np.sqrt(variance / n)
