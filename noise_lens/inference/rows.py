"""Rows: the noise of minibatches, one row each, as estimates take them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_lens.errors import NotEnoughDataError, SamplesError
from noise_lens.estimators._samples import as_samples
from noise_lens.inference.standardise import MINIMUM_ROWS


def judged_rows(rows: NDArray[np.float32], reference: str) -> NDArray[np.float64]:
    """Return the rows that estimates are made of.

    Parameters
    ----------
    rows : ndarray of shape (R, d)
        Rows of a sketch.
    reference : {"full", "pair", "mean"}
        What was subtracted. Rows centred by their own mean are not independent: their disjoint
        pair differences are taken, from which the mean cancels.

    Returns
    -------
    ndarray of shape (R, d) or (R // 2, d)
        In float64.
    """
    wide = rows.astype(np.float64)
    if reference != "mean":
        return wide
    even = len(wide) // 2 * 2
    return np.asarray(wide[0:even:2] - wide[1:even:2])


def as_rows(rows: ArrayLike, method: str, *, fewest: int = MINIMUM_ROWS) -> NDArray[np.float64]:
    """Return `rows` as checked float64 of shape (M, d).

    Parameters
    ----------
    rows : array_like
        One row a minibatch.
    method : str
        Who asks, for the message.
    fewest : int
        Rows it needs.

    Returns
    -------
    ndarray of shape (M, d)
        The rows.

    Raises
    ------
    SamplesError
        Not a finite real array of two axes.
    NotEnoughDataError
        Fewer than `fewest` rows.
    """
    checked = as_samples(rows, method).astype(np.float64, copy=False)
    if checked.ndim != 2:
        raise SamplesError(
            f"{method} needs one row a minibatch, shape (M, d), got shape {checked.shape}. "
            "For a single series pass x[:, None]."
        )
    if len(checked) < fewest:
        shape = " x ".join(map(str, checked.shape))
        raise NotEnoughDataError(
            method, n=len(checked), needed=fewest, what=f"rows (one a minibatch) in {shape}"
        )
    return checked
