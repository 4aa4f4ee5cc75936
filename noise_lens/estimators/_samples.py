"""The door of every estimator: any array in, a checked sample of float32 or float64 out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_lens.errors import NotEnoughDataError, SamplesError
from noise_lens.estimators.log_histogram import LogHistogram

Samples = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Columns:
    """A checked sample as columns, and which of them can be estimated.

    Attributes
    ----------
    values : ndarray of shape (rows, d)
        Samples in float32 or float64.
    n, n_zero : ndarray of shape (d,)
        Non-zero samples, and exact zeros.
    reasons : dict
        Column number -> why it cannot be estimated.
    good : ndarray of int
        The other columns.
    scalar : bool
        Whether the sample had one axis.
    """

    values: Samples
    n: NDArray[np.int64]
    n_zero: NDArray[np.int64]
    reasons: dict[int, str]
    good: NDArray[np.int64]
    scalar: bool

    @property
    def good_values(self) -> Samples:
        """The columns that can be estimated; no copy where that is all."""
        return self.values if len(self.good) == len(self.n) else self.values[:, self.good]

    def spread(self, found: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return one value a column, shape (d,): `found` for the good ones, NaN for the rest."""
        result = np.full(len(self.n), np.nan)
        result[self.good] = found
        return result


def as_columns(x: ArrayLike, method: str, needed: int) -> Columns:
    """Return `x` as columns, or raise if none can be estimated.

    Parameters
    ----------
    x : array_like
        Samples along the first axis.
    method : str
        The estimator that asks, for messages.
    needed : int
        The fewest non-zero samples that it takes.

    Returns
    -------
    Columns
        Columns with too few samples, or one magnitude repeated, have a reason.
    """
    return columns_of(as_samples(x, method), method, needed)


def columns_of(samples: Samples, method: str, needed: int, *, all_nonzero: bool = False) -> Columns:
    """Return a checked sample as columns; the second half of :func:`as_columns`."""
    values = samples.reshape(len(samples), -1)
    n = np.full(values.shape[1], len(values)) if all_nonzero else nonzero_counts(values)
    reasons = reasons_for(method, n, repeats(values, n), needed)
    good = np.setdiff1d(np.arange(len(n)), list(reasons))
    return Columns(values, n, len(values) - n, reasons, good, samples.ndim == 1)


def as_samples(x: ArrayLike, method: str) -> Samples:
    """Return `x` as floats of shape (n,) or (n, d), or say what is wrong with it.

    Parameters
    ----------
    x : array_like
        Samples along the first axis.
    method : str
        The estimator that asks, for the message.

    Returns
    -------
    ndarray
        Of shape (n,) or (n, d): float32 where that holds every value of the type of `x`, else
        float64. Shares memory with `x` where it already is one of them; estimators widen it
        piece by piece, so no second copy is held.

    Raises
    ------
    SamplesError
        `x` is not real numbers, has other than one or two axes, is empty, holds NaN or inf,
        or holds one value only.
    """
    samples = as_array(x, method)
    check_values(samples, method)
    return samples


def as_array(x: ArrayLike, method: str) -> Samples:
    """Return `x` as floats of one or two axes; the first half of :func:`as_samples`."""
    if isinstance(x, LogHistogram):
        raise SamplesError(
            f"{method} needs samples, got a log-histogram, which keeps no order and no sums. Use "
            "maximum_likelihood, log_moments, quantile, hill or moment."
        )
    if np.ma.isMaskedArray(x):
        raise SamplesError(
            f"{method} needs plain samples, got a masked array of shape {np.shape(x)}. "
            "Pass x.compressed(), or x.filled(0) to have masked values dropped as zeros."
        )
    try:
        array = np.asarray(x)
    except (ValueError, TypeError, RuntimeError) as error:
        raise SamplesError(
            f"{method} needs an array of numbers, got {type(x).__name__} that NumPy cannot take: "
            f"{str(error).splitlines()[0]} For a tensor pass x.detach().float().cpu()."
        ) from error
    if array.dtype.kind not in "biuf":
        kind = {"c": "complex numbers", "U": "text", "S": "text", "O": "Python objects"}.get(
            array.dtype.kind, f"{array.dtype}"
        )
        remedy = (
            "Estimate the real and the imaginary part one by one."
            if array.dtype.kind == "c"
            else "Convert it to an array of floats first."
        )
        raise SamplesError(f"{method} needs real numbers, got {kind}. {remedy}")
    if array.ndim not in (1, 2):
        raise SamplesError(
            f"{method} needs samples of shape (n,) or (n, d), got shape {array.shape}. "
            "Reshape it so that minibatches run along the first axis."
        )
    if array.size == 0:
        raise SamplesError(f"{method} needs samples, got an empty array of shape {array.shape}.")
    narrow = np.can_cast(array.dtype, np.float32)
    samples: Samples = array.astype(np.float32 if narrow else np.float64, copy=False)
    return samples


def check_values(samples: Samples, method: str) -> None:
    """Raise if a sample is not finite, or all are one value; the other half."""
    bad = 0 if _all_finite(samples) else np.count_nonzero(~np.isfinite(samples))
    if bad:
        raise SamplesError(
            f"{method} needs finite samples, got {bad} NaN or inf among {samples.size}. "
            "Find the step that overflowed, or drop those rows and say so beside the number."
        )
    first = samples.flat[0]
    if samples.flat[-1] == first and bool(np.all(samples == first)):
        raise SamplesError(
            f"{method} needs samples that vary, got {samples.size} times the value {first:g}. "
            "A constant has no tail; check that the noise reached this array."
        )


def _all_finite(samples: Samples) -> bool:
    # A sum is not finite if a term is not; where it overflows, the exact test decides.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(samples.sum())) or bool(np.isfinite(samples).all())


def reasons_for(
    method: str,
    n: NDArray[np.int64],
    degenerate: NDArray[np.bool_],
    needed: int,
) -> dict[int, str]:
    """Return column number -> why it cannot be estimated, or raise if no column can.

    Parameters
    ----------
    method : str
        The estimator that asks.
    n : ndarray of shape (d,)
        Non-zero samples a column.
    degenerate : ndarray of shape (d,)
        Columns whose non-zero magnitudes are all equal.
    needed : int
        The fewest non-zero samples that the method takes.

    Returns
    -------
    dict
        Empty when every column can be estimated.

    Raises
    ------
    NotEnoughDataError
        No column has `needed` non-zero samples.
    SamplesError
        Every column repeats one magnitude.
    """
    short = n < needed
    bad = np.flatnonzero(short | degenerate)
    if len(bad) == len(n):
        if short.any():
            raise NotEnoughDataError(method, n=int(n.max()), needed=needed)
        raise SamplesError(
            f"{method} needs magnitudes that vary, got one magnitude repeated in every column. "
            "Such noise has no tail; look for signs or quantised gradients."
        )
    return {
        int(column): (
            f"{n[column]} non-zero samples, {method} needs {needed}"
            if short[column]
            else "one magnitude repeated"
        )
        for column in bad
    }


def nonzero_quantiles(
    columns: Samples, n: NDArray[np.int64], probabilities: tuple[float, ...]
) -> NDArray[np.float64]:
    """Return quantiles of the non-zero magnitudes of each column.

    Parameters
    ----------
    columns : ndarray of shape (rows, d)
        Samples.
    n : ndarray of shape (d,)
        Non-zero samples a column, at least 1.
    probabilities : tuple of float
        In (0, 1).

    Returns
    -------
    ndarray of shape (len(probabilities), d)
        Interpolated between order statistics, as ``numpy.quantile`` does; float64.
    """
    rows = len(columns)
    result = np.empty((len(probabilities), len(n)))
    sizes, group = np.unique(n, return_inverse=True)
    for index, size in enumerate(sizes):
        # Columns with the same number of zeros are partitioned together.
        members = np.flatnonzero(group == index)
        place = rows - size + np.asarray(probabilities) * (size - 1)
        below = np.floor(place).astype(np.int64)
        above = np.minimum(below + 1, rows - 1)
        magnitudes = np.abs(columns[:, members] if len(sizes) > 1 else columns)
        magnitudes.partition(np.unique(np.concatenate([below, above])), axis=0)
        share = (place - below)[:, None]
        low, high = magnitudes[below].astype(np.float64), magnitudes[above].astype(np.float64)
        result[:, members] = (1 - share) * low + share * high
    return result


def nonzero_counts(columns: Samples) -> NDArray[np.int64]:
    """Return the non-zero samples of each column, shape (d,)."""
    rows, d = columns.shape
    if np.count_nonzero(columns) == columns.size:  # one fast pass; by column it needs a mask
        return np.full(d, rows, dtype=np.int64)
    return np.asarray(np.count_nonzero(columns, axis=0), dtype=np.int64)


def repeats(columns: Samples, n: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the columns whose non-zero magnitudes are all equal.

    Parameters
    ----------
    columns : ndarray of shape (rows, d)
        Samples.
    n : ndarray of shape (d,)
        Non-zero samples a column.

    Returns
    -------
    ndarray of shape (d,)
        True for columns that are constant up to sign and zeros.
    """
    found = np.zeros(len(n), dtype=bool)
    first, second = np.abs(columns[0]), np.abs(columns[min(1, len(columns) - 1)])
    # Most columns are cleared by their first two samples.
    for column in np.flatnonzero((n > 0) & ((first == second) | (first == 0) | (second == 0))):
        magnitudes = np.abs(columns[:, column])
        largest = magnitudes.max()
        found[column] = np.count_nonzero(magnitudes == largest) == n[column]
    return found
