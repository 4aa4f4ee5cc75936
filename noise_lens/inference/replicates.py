"""Estimates from rows, and the same with each group of minibatches left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noise_lens.errors import NotEnoughDataError, SamplesError
from noise_lens.estimators import (
    TailIndexEstimate,
    hill,
    maximum_likelihood,
    moment,
)
from noise_lens.estimators._mohammadi import block_contrasts, middle_rows
from noise_lens.estimators._mohammadi_norm import norm_contrasts
from noise_lens.estimators._quantile import uncut_quantile
from noise_lens.estimators.estimate import resolution
from noise_lens.estimators.stable_fit import FREQUENCIES, deviations, fit_stable
from noise_lens.inference.jackknife import jackknife_error
from noise_lens.inference.standardise import (
    MINIMUM_ROWS,
    calibrate,
    log_magnitudes,
    standardise,
)

_NEIGHBOUR = 0.1  # in log t
_FARTHEST = 0.7
_LARGEST = 1e15  # beyond it a sine has no phase left


@dataclass(frozen=True)
class Replicates:
    """An estimate, and the same with each group of minibatches left out.

    Attributes
    ----------
    value : float
        From all rows; `alpha`, not cut at 2, or a power of 1/alpha.
    leave_out : ndarray of shape (g,)
        One value a left-out group.
    sigma : float or None
        Scale of the pooled law in units of each coordinate's geometric mean magnitude; None
        where the method has none.
    n, n_zero : int
        Non-zero entries used, and exact zeros dropped.
    n_rows : int
        Rows with a non-zero entry.
    """

    value: float
    leave_out: NDArray[np.float64]
    sigma: float | None
    n: int
    n_zero: int
    n_rows: int

    @property
    def standard_error(self) -> float:
        """The delete-a-group jackknife error."""
        return jackknife_error(self.leave_out)

    @property
    def error_near_2(self) -> float:
        """The error of an alpha, which close to 2 no jackknife can see.

        A stable law close to alpha = 2 differs from a Gaussian by rare large values. Where none
        came, leaving groups out changes nothing; the error is then the distance from 2 at which
        this many rows could tell. Rows, not entries: the large values of a minibatch may share
        one radius. Measured under elliptical stable laws, a row of d coordinates is worth
        ``1 + 0.4 log2 d`` independent samples up to d = 32 and three beyond
        (benchmarks/worth_of_a_row.py).
        """
        filled = self.n / self.n_rows  # entries of a row that are not zero
        worth = min(filled, 1 + 0.4 * np.log2(np.clip(filled, 1, 32)))
        closest = float(resolution(deviations(), max(int(self.n_rows * worth), 1)))
        near = self.value > 2 - closest
        return max(self.standard_error, closest) if near else self.standard_error


def characteristic_function_replicates(
    rows: NDArray[np.float64], labels: NDArray[np.int64], *, keep_zeros: bool = False
) -> Replicates:
    """Fit the pooled standardised entries, and again without each group of rows.

    Leaving rows out moves each coordinate's own scale by a factor exp(delta), which for its
    characteristic function is the same as moving the frequency by exp(-delta). That is followed
    to first order, with a slope in log t from two neighbouring frequencies, so one pass over the
    entries serves all replicates. (The derivative itself, t u sin(t u), has no mean under heavy
    tails; a difference of two bounded sums has.)

    Parameters
    ----------
    rows : ndarray of shape (M, d)
        Checked rows.
    labels : ndarray of shape (M,)
        Group of each row, 0 to g - 1, not falling.
    keep_zeros : bool
        Count exact zeros as samples. They are no part of a stable law and estimates drop them;
        but it is the law with its atom whose sums the aggregation curve follows.

    Returns
    -------
    Replicates
        Calibrated alphas, not cut at 2.

    Raises
    ------
    NotEnoughDataError
        Without one of the groups fewer than 20 non-zero entries are left.
    """
    entries = _standardised(rows, labels)
    values, n, delta, n_left = entries.values, entries.n, entries.delta, entries.n_left
    if keep_zeros:
        n_left = (len(rows) - np.append(0, np.bincount(labels))) * values.shape[1]
    pilot = float(np.median(np.abs(values[values != 0])))
    starts = np.searchsorted(labels, np.arange(labels[-1] + 1))
    defect = np.empty((len(FREQUENCIES), len(n_left)))
    # A sine in single precision costs a tenth; alpha moves by less than 1e-6.
    single = np.clip(values / (2 * pilot), -_LARGEST, _LARGEST).astype(np.float32)
    for index, frequency in enumerate(FREQUENCIES):
        defects, above, below = (
            _squared_sines(single, frequency * factor, starts)
            for factor in (1.0, np.exp(_NEIGHBOUR), np.exp(-_NEIGHBOUR))
        )
        slopes = (above - below) / (2 * _NEIGHBOUR)
        left = (defects.sum(axis=0) - defects) - delta * (slopes.sum(axis=0) - slopes)
        defect[index] = np.concatenate([[defects.sum()], left.sum(axis=1)]) / n_left

    alpha, sigma, _ = fit_stable(defect)
    alpha = calibrate(alpha, n_rows=len(n) / float((1 / n).sum()))
    return entries.replicates(alpha, sigma=float(sigma[0] * pilot))


def sample_replicates(
    rows: NDArray[np.float64], labels: NDArray[np.int64], method: str, k: int | None = None
) -> Replicates:
    """Estimate from the pooled standardised entries, and again without each group of rows.

    Each time the remaining entries of a coordinate are divided by their own geometric mean.

    Parameters
    ----------
    rows : ndarray of shape (M, d)
        Checked rows.
    labels : ndarray of shape (M,)
        Group of each row, 0 to g - 1, not falling.
    method : {"maximum_likelihood", "quantile", "log_moments", "hill", "moment"}
        The estimator.
    k : int, optional
        Upper order statistics among all entries, for "hill" and "moment". Without a group, the
        same share of what is left.

    Returns
    -------
    Replicates
        Of alpha, calibrated, for "maximum_likelihood" and "quantile"; of 1/alpha for "hill" and
        "moment"; of 1/alpha**2 for "log_moments".
    """
    entries = _standardised(rows, labels)
    if method == "log_moments":
        return entries.replicates(6 * entries.log_variances() / np.pi**2 - 0.5)
    found: list[float] = []
    sigma: float | None = None
    for group in range(-1, len(entries.delta)):
        sample = entries.without(group, labels)
        if method in ("hill", "moment"):
            share = round((k or 1) * len(sample) / entries.n.sum())
            share = int(np.clip(share, 1, len(sample) - 1))
            one = (hill if method == "hill" else moment)(sample, share)
            found.append(_reciprocal(one))
        elif method == "quantile":
            alpha, scale = uncut_quantile(sample)
            found.append(alpha)
            sigma = scale if sigma is None else sigma
        else:
            fitted = maximum_likelihood(sample)
            found.append(float(fitted.alpha))
            sigma = float(np.asarray(fitted.sigma)) if sigma is None else sigma
    values = np.array(found)
    if method in ("maximum_likelihood", "quantile"):
        values = calibrate(values, n_rows=entries.n_rows_a_column, method=method)
    return entries.replicates(values, sigma)


def norm_replicates(
    rows: NDArray[np.float64], labels: NDArray[np.int64], block_size: int
) -> Replicates:
    """Average the block contrasts of the norms of standardised rows, and without each group.

    Parameters
    ----------
    rows : ndarray of shape (M, d)
        Checked rows.
    labels : ndarray of shape (M,)
        Group of each row, 0 to g - 1.
    block_size : int
        Minibatches a block.

    Returns
    -------
    Replicates
        Of 1/alpha; `n` and `n_zero` count rows.
    """
    values, _, used = standardise(rows)
    _require_columns(rows, used)
    contrasts, middle_rows, n = norm_contrasts(values, block_size)
    sums, counts = _group_sums(contrasts, np.ones(len(contrasts)), labels[middle_rows], labels)
    return Replicates(
        value=float(contrasts.mean()),
        leave_out=(sums.sum() - sums) / np.maximum(counts.sum() - counts, 1),
        sigma=None,
        n=n,
        n_zero=len(rows) - n,
        n_rows=n,
    )


def mohammadi_replicates(
    rows: NDArray[np.float64], labels: NDArray[np.int64], block_size: int
) -> Replicates:
    """Average the block contrasts of all coordinates, and again without each group of rows.

    Contrasts are differences of logarithms inside a coordinate: its scale cancels.

    Parameters
    ----------
    rows : ndarray of shape (M, d)
        Checked rows.
    labels : ndarray of shape (M,)
        Group of each row, 0 to g - 1.
    block_size : int
        Minibatches a block.

    Returns
    -------
    Replicates
        Of 1/alpha.
    """
    _, n, used = standardise(rows)
    _require_columns(rows, used)
    columns = rows[:, used]
    contrasts = block_contrasts(columns, block_size)
    # Blocks are formed once and left out whole: cutting them anew without some rows would pair
    # other samples and make the replicates differ by that alone.
    sums, counts = _group_sums(
        contrasts.values, contrasts.usable, labels[middle_rows(columns, block_size)], labels
    )
    left = np.maximum(counts.sum() - counts, 1)
    return Replicates(
        value=float(sums.sum() / max(counts.sum(), 1)),
        leave_out=(sums.sum() - sums) / left,
        sigma=None,
        n=int(n.sum()),
        n_zero=int(len(rows) * used.sum() - n.sum()),
        n_rows=int((rows[:, used] != 0).any(axis=1).sum()),
    )


def _squared_sines(
    single: NDArray[np.float32], frequency: float, starts: NDArray[np.int64]
) -> NDArray[np.float64]:
    # Sums of 2 sin(t x / 2)**2 = 1 - cos(t x) a group of rows and column.
    sines = np.sin(single * np.float32(frequency))
    sines *= sines
    return 2 * np.add.reduceat(sines, starts, axis=0).astype(np.float64)


@dataclass(frozen=True)
class _Standardised:
    # Entries in units of their column's geometric mean, and what leaving groups out changes.
    values: NDArray[np.float64]  # (M, d_used)
    n: NDArray[np.int64]  # (d_used,) non-zero entries
    delta: NDArray[np.float64]  # (g, d_used) log of the geometric mean without each group
    n_left: NDArray[np.int64]  # (1 + g,) entries: all, then without each group
    group_logs: NDArray[np.float64]  # (2, g, d_used) sums of log and of its square a group
    group_n: NDArray[np.int64]  # (g, d_used)

    @property
    def n_rows_a_column(self) -> float:
        return len(self.n) / float((1 / self.n).sum())

    def without(self, group: int, labels: NDArray[np.int64]) -> NDArray[np.float64]:
        if group < 0:
            return np.asarray(self.values[self.values != 0])
        left = self.values[labels != group] * np.exp(-self.delta[group])
        return np.asarray(left[left != 0])

    def log_variances(self) -> NDArray[np.float64]:
        # Variance of the logarithm within columns: unbiased, so it needs no calibration.
        first, second = self.group_logs
        left = np.maximum(self.n - self.group_n, 1)
        within = second.sum(axis=0) - second - (first.sum(axis=0) - first) ** 2 / left
        degrees = self.n_left[1:] - np.count_nonzero(self.n > self.group_n, axis=1)
        whole = (second.sum(axis=0) - first.sum(axis=0) ** 2 / self.n).sum()
        return np.append(whole / (self.n - 1).sum(), within.sum(axis=1) / degrees)

    def replicates(self, found: NDArray[np.float64], sigma: float | None = None) -> Replicates:
        n = int(self.n.sum())
        return Replicates(
            value=float(found[0]),
            leave_out=found[1:],
            sigma=sigma,
            n=n,
            n_zero=self.values.size - n,
            n_rows=int((self.values != 0).any(axis=1).sum()),
        )


def _standardised(rows: NDArray[np.float64], labels: NDArray[np.int64]) -> _Standardised:
    values, n, used = standardise(rows)
    _require_columns(rows, used)
    logs, nonzero = log_magnitudes(values)
    starts = np.searchsorted(labels, np.arange(labels[-1] + 1))
    group_n = np.add.reduceat(nonzero, starts, axis=0, dtype=np.int64)
    group_logs = np.stack([np.add.reduceat(part, starts, axis=0) for part in (logs, logs**2)])
    delta = -group_logs[0] / np.maximum(n - group_n, 1)
    n_left = np.concatenate([[n.sum()], n.sum() - group_n.sum(axis=1)])
    if n_left.min() < MINIMUM_ROWS:  # nearly all entries come from one group of minibatches
        raise NotEnoughDataError(
            "pooled without one group of rows", n=int(n_left.min()), needed=MINIMUM_ROWS
        )
    return _Standardised(
        values=values,
        n=n,
        delta=np.clip(delta, -_FARTHEST, _FARTHEST),  # a coordinate that lives in one group
        n_left=n_left,
        group_logs=group_logs,
        group_n=group_n,
    )


def _group_sums(
    values: NDArray[np.float64],
    usable: NDArray[np.bool_] | NDArray[np.float64],
    group_of: NDArray[np.int64],
    labels: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n_groups = int(labels[-1]) + 1
    sums, counts = (
        np.asarray(np.bincount(group_of.ravel(), part.ravel(), n_groups), dtype=np.float64)
        for part in (values, usable)
    )
    return sums, counts


def _reciprocal(estimate: TailIndexEstimate) -> float:
    if estimate.reciprocal is not None:
        return float(np.asarray(estimate.reciprocal))
    return 1 / float(np.asarray(estimate.alpha))


def _require_columns(rows: NDArray[np.float64], used: NDArray[np.bool_]) -> None:
    if not used.any():
        most = int(np.count_nonzero(rows, axis=0).max(initial=0))
        if most >= MINIMUM_ROWS:
            raise SamplesError(
                f"pooled needs coordinates whose magnitudes vary, got {rows.shape[1]} coordinates "
                "that repeat one magnitude each. Such noise has no tail."
            )
        raise NotEnoughDataError("pooled", n=most, needed=MINIMUM_ROWS)
