"""What scales give away: those of columns, those of rows, and how rows grow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from noise_lens.inference.artefacts.artefact import Artefact
from noise_lens.inference.artefacts.values import FALSE_ALARM
from noise_lens.inference.dependence import shared_scale
from noise_lens.inference.standardise import MINIMUM_ROWS, log_magnitudes

_SPREAD = 0.5
_SHARED_ERRORS = 4.5  # products of logs have a long tail, seen where columns are few
_MOST_COLUMNS = 256
_GROWTH_ERRORS, _GROWTH, _TENTH = 4.0, 2.0, 10

Array = NDArray[Any]


def scale_spread(z: Array, means: Array) -> Iterator[Artefact]:
    """Measure how unequal the scales of columns are: sd of the log geometric mean.

    What the columns' own errors add is taken off, and must not explain it.
    False alarms: 6e-5 without a spread, fewer where columns depend on each other.

    Parameters
    ----------
    z : ndarray of shape (M, d)
        Columns in units of their geometric mean magnitude.
    means : ndarray of shape (d,)
        Those geometric means.

    Yields
    ------
    Artefact
        "scale_spread" with the sd of their logarithms.
    """
    d = len(means)
    if d < 2:
        return
    seen = float(np.log(means).var(ddof=1))
    error = float(((log_magnitudes(z)[0] ** 2).sum(axis=0) / (z != 0).sum(axis=0) ** 2).mean())
    spread = float(np.sqrt(max(seen - error, 0.0)))
    if spread >= _SPREAD and (d - 1) * seen > error * special.chdtri(d - 1, FALSE_ALARM):
        yield Artefact(
            "scale_spread",
            spread,
            f"the scales of columns differ (sd of the log scale {spread:.2f}). Entries pooled as "
            "they are would read as heavy-tailed for that alone: Gaussian noise reads alpha = 1.65 "
            "at 0.5, 1.13 at 1 and 0.64 at 2. Estimates here standardise each column first.",
        )


def shared_scales(z: Array) -> Iterator[Artefact]:
    """Compare the magnitudes of one row with each other.

    Correlated Gaussian columns have correlated magnitudes too: the correlation of log|x| is the
    square of that of the signs. That much is taken off before the test. Its error is the one of
    columns that depend by their signs alone, plus that of the signs: one radius a row, which is
    to be found, would make its own error large.
    False alarms: 6e-5 at most, for independent or Gaussian columns.

    Parameters
    ----------
    z : ndarray of shape (M, d)
        Columns in units of their geometric mean magnitude.

    Yields
    ------
    Artefact
        "shared_scale" with the intraclass correlation of ``log|x|``, nothing taken off.
    """
    part = z[:, :: -(-z.shape[1] // _MOST_COLUMNS)]
    n, d = part.shape
    if d < 2:
        return
    logs, nonzero = log_magnitudes(part)
    filled = nonzero.astype(np.float64)
    logs /= np.sqrt((logs**2).sum(axis=0) / filled.sum(axis=0))
    signs = np.sign(part)
    both = filled.T @ filled  # rows in which two columns are not zero
    between = signs.T @ signs / np.maximum(both, 1)
    np.fill_diagonal(between, 0.0)
    squares = between**2 - (both > 0) / np.maximum(both, 1)  # 1/n of it is chance
    np.fill_diagonal(squares, 0.0)
    together = float((logs.sum(axis=1) ** 2 - (logs**2).sum(axis=1)).sum())
    excess = together - float((both * squares).sum())
    # Variance of the pairs of one row under correlations `squares`: 2 trace((A R)^2), A = 1 - I.
    linked = squares + np.eye(d)
    pairs = linked.sum() ** 2 - 2 * (linked.sum(axis=1) ** 2).sum() + (linked**2).sum()
    n_pairs = both.sum() - np.trace(both)
    of_logs = np.sqrt(2 * max(pairs, d * (d - 1)) * n_pairs / (d * (d - 1)))
    of_signs = 2 * np.sqrt(n) * float((signs * (signs @ between)).sum(axis=1).std())
    if excess > _SHARED_ERRORS * (of_logs + of_signs):
        correlation = shared_scale(z).correlation
        yield Artefact(
            "shared_scale",
            correlation,
            f"the magnitudes of one row go together (intraclass correlation of log|x| "
            f"{correlation:.2f}): rows share a scale. Errors count rows, not entries; a scale "
            "mixture is suspected, so look at sums of rows (nl.aggregation_curve).",
        )


def divergence(rows: Array) -> Iterator[Artefact]:
    """Ask whether norms of rows grow along the sequence.

    Spearman's correlation with the index by 4 errors, and a last tenth of twice the first.
    False alarms: 3e-5 at most.

    Parameters
    ----------
    rows : ndarray of shape (M, d)
        In the order of drawing; rows of zeros are left out.

    Yields
    ------
    Artefact
        "divergence" with the median norm of the last tenth over that of the first.
    """
    largest = float(np.abs(rows).max(initial=0.0))
    norms = np.sqrt(((rows / (largest or 1.0)) ** 2).sum(axis=1))
    norms = norms[norms > 0]
    n = len(norms)
    if n < MINIMUM_ROWS:
        return
    ranks = _ranks(norms)
    spearman = float(np.corrcoef(ranks, np.arange(n))[0, 1]) if np.ptp(ranks) else 0.0
    tenth = n // _TENTH
    ratio = float(np.median(norms[-tenth:]) / np.median(norms[:tenth]))
    if spearman * np.sqrt(n - 1) > _GROWTH_ERRORS and ratio > _GROWTH:
        yield Artefact(
            "divergence",
            ratio,
            f"norms of rows grow along the sequence: the last tenth is {ratio:.3g} times as large "
            "as the first. The iterates diverge, or rows of a whole training run were put "
            "together; noise whose scale moves reads as heavy-tailed.",
        )


def _ranks(values: Array) -> Array:
    # Tied values share the mean of their ranks.
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[group]
