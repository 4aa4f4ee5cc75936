"""The door of every estimator: any array in, a checked float64 sample out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_lens.errors import NotEnoughDataError, SamplesError


@dataclass(frozen=True)
class Columns:
    """A checked sample as columns, and which of them can be estimated.

    Attributes
    ----------
    values : ndarray of shape (rows, d)
        Float64 samples.
    n, n_zero : ndarray of shape (d,)
        Non-zero samples, and exact zeros.
    reasons : dict
        Column number -> why it cannot be estimated.
    good : ndarray of int
        The other columns.
    scalar : bool
        Whether the sample had one axis.
    """

    values: NDArray[np.float64]
    n: NDArray[np.int64]
    n_zero: NDArray[np.int64]
    reasons: dict[int, str]
    good: NDArray[np.int64]
    scalar: bool

    @property
    def good_values(self) -> NDArray[np.float64]:
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
    samples = as_samples(x, method)
    values = samples.reshape(len(samples), -1)
    n = np.count_nonzero(values, axis=0).astype(np.int64)
    reasons = reasons_for(method, n, repeats(values, n), needed)
    good = np.setdiff1d(np.arange(len(n)), list(reasons))
    return Columns(values, n, len(values) - n, reasons, good, samples.ndim == 1)


def as_samples(x: ArrayLike, method: str) -> NDArray[np.float64]:
    """Return `x` as float64 of shape (n,) or (n, d), or say what is wrong with it.

    Parameters
    ----------
    x : array_like
        Samples along the first axis.
    method : str
        The estimator that asks, for the message.

    Returns
    -------
    ndarray
        Of shape (n,) or (n, d); shares memory with `x` where it already is float64.

    Raises
    ------
    SamplesError
        `x` is not real numbers, has other than one or two axes, is empty, holds NaN or inf,
        or holds one value only.
    """
    array = np.asarray(x)
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
    samples = array.astype(np.float64, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(samples.sum())  # one pass; not finite if any sample is not
    bad = 0 if np.isfinite(total) else samples.size - int(np.count_nonzero(np.isfinite(samples)))
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
    return samples


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
    columns: NDArray[np.float64], n: NDArray[np.int64], probabilities: tuple[float, ...]
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
        Interpolated between order statistics, as ``numpy.quantile`` does.
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
        result[:, members] = (1 - share) * magnitudes[below] + share * magnitudes[above]
    return result


def repeats(columns: NDArray[np.float64], n: NDArray[np.int64]) -> NDArray[np.bool_]:
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
    largest = np.maximum(columns.max(axis=0), -columns.min(axis=0))
    found = np.zeros(len(n), dtype=bool)
    # Only a column whose first non-zero magnitude is its largest can be one value repeated.
    first = columns[(columns != 0).argmax(axis=0), np.arange(len(n))]
    for column in np.flatnonzero((np.abs(first) == largest) & (n > 0)):
        magnitudes = np.abs(columns[:, column])
        found[column] = bool(np.all((magnitudes == largest[column]) | (magnitudes == 0)))
    return found
