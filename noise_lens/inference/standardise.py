"""Per-coordinate scale, and the calibration of estimates on self-standardised samples."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

MINIMUM_ROWS = 20
"""Fewer non-zero samples than this do not give a coordinate a scale."""


def standardise(
    rows: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    """Divide each column by the geometric mean of its own non-zero magnitudes.

    The geometric mean exists for every stable law, where a standard deviation does not.

    Parameters
    ----------
    rows : ndarray of shape (M, d)
        Noise; exact zeros stay zero.

    Returns
    -------
    standardised : ndarray of shape (M, d_used)
        The usable columns, in units of their own scale.
    n : ndarray of shape (d_used,)
        Non-zero samples a column.
    used : ndarray of shape (d,)
        False for columns with fewer than 20 non-zero samples or one repeated magnitude.
    """
    logs, nonzero = log_magnitudes(rows)
    n = nonzero.sum(axis=0)
    means = logs.sum(axis=0) / np.maximum(n, 1)
    # One repeated magnitude is 1 after scaling, up to the rounding of its own logarithm.
    varies = np.abs(np.where(nonzero, logs - means, 0.0)).max(axis=0, initial=0.0) > 1e-9
    used = (n >= MINIMUM_ROWS) & varies
    return rows[:, used] / np.exp(means[used]), n[used], used


def log_magnitudes(
    rows: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return log of the magnitudes, 0 where the sample is an exact zero, and which are not.

    Parameters
    ----------
    rows : ndarray
        Noise, any shape.

    Returns
    -------
    logs, nonzero : ndarray
        Both of the shape of `rows`.
    """
    nonzero = rows != 0
    logs = np.log(np.abs(rows), out=np.zeros(rows.shape), where=nonzero)
    return logs, nonzero


def uncalibrated(
    alpha: NDArray[np.float64], n_rows: float, method: str = "characteristic_function"
) -> NDArray[np.float64]:
    """Return what a method reads on stable columns of true index `alpha`.

    Dividing a column by its own geometric mean pulls its few largest values in a little and
    its scale error spreads the rest: at 20 rows the characteristic function reads 1.95 for
    alpha = 2, at 1000 rows 2.00.

    Parameters
    ----------
    alpha : ndarray
        True stability indices in [0.5, 2].
    n_rows : float
        Non-zero samples a column, at least 20.
    method : {"characteristic_function", "maximum_likelihood", "quantile"}
        The estimator.

    Returns
    -------
    ndarray
        Of the shape of `alpha`.
    """
    grid, shift = _calibration(n_rows, method)
    return np.asarray(alpha + np.interp(alpha, grid, shift))


def calibrate(
    reading: NDArray[np.float64], n_rows: float, method: str = "characteristic_function"
) -> NDArray[np.float64]:
    """Return the index whose self-standardised columns read `reading`.

    Parameters
    ----------
    reading : ndarray
        Estimates on pooled self-standardised columns.
    n_rows : float
        Non-zero samples a column (the harmonic mean where columns differ), at least 20.
    method : {"characteristic_function", "maximum_likelihood", "quantile"}
        What read it.

    Returns
    -------
    ndarray
        Of the shape of `reading`; beyond the table (alpha in [0.5, 2]) the shift of its end.
    """
    grid, shift = _calibration(n_rows, method)
    return np.asarray(reading - np.interp(reading, grid + shift, shift))


def _calibration(n_rows: float, method: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    table = _table()
    inverse = 1 / np.asarray(table["n_rows"])  # falling; the shift vanishes like 1/n
    shifts = np.asarray(table["shift"][method])
    order = np.argsort(inverse)
    at = min(max(1 / n_rows, 0.0), float(inverse.max()))
    known = np.concatenate([[0.0], inverse[order]])
    shift = np.array(
        [np.interp(at, known, np.concatenate([[0.0], column[order]])) for column in shifts.T]
    )
    return np.asarray(table["alpha"]), shift


@cache
def _table() -> dict[str, Any]:
    text = resources.files("noise_lens.inference").joinpath("self_standardisation.json")
    loaded: dict[str, Any] = json.loads(text.read_text(encoding="utf-8"))
    return loaded
