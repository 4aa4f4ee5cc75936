"""The door of every estimator: any array in, a checked float64 sample out."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_lens.errors import NotEnoughDataError, SamplesError


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
    finite = np.isfinite(samples)
    if not finite.all():
        bad = samples.size - int(np.count_nonzero(finite))
        raise SamplesError(
            f"{method} needs finite samples, got {bad} NaN or inf among {samples.size}. "
            "Find the step that overflowed, or drop those rows and say so beside the number."
        )
    first = samples.flat[0]
    if bool(np.all(samples == first)):
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
