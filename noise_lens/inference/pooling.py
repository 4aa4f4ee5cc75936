"""One estimate from many coordinates, with an error that counts minibatches, not entries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_lens.errors import NotEnoughDataError, SamplesError
from noise_lens.estimators import TailIndexEstimate
from noise_lens.estimators._mohammadi import block_contrasts, check_block_size
from noise_lens.estimators.estimate import resolution
from noise_lens.estimators.stable_fit import FREQUENCIES, deviations, fit_stable
from noise_lens.inference.jackknife import group_labels, jackknife_error
from noise_lens.inference.rows import as_rows
from noise_lens.inference.standardise import (
    MINIMUM_ROWS,
    calibrate,
    log_magnitudes,
    standardise,
)

POOLED_METHODS = ("characteristic_function", "mohammadi")
BLOCK_SIZE = 8
_NEIGHBOUR = 0.1  # in log t
_FARTHEST = 0.7


@dataclass(frozen=True)
class Replicates:
    """An estimate, and the same with each group of minibatches left out.

    Attributes
    ----------
    value : float
        From all rows; `alpha`, not cut at 2.
    leave_out : ndarray of shape (g,)
        One value a left-out group.
    sigma : float or None
        Scale of the pooled law in units of each coordinate's geometric mean magnitude.
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


def pooled(
    rows: ArrayLike, method: str = "characteristic_function", *, block_size: int = BLOCK_SIZE
) -> TailIndexEstimate:
    """Estimate one tail index from all coordinates of minibatch noise.

    Every coordinate is divided by the geometric mean of its own magnitudes before any pooling;
    the error is a jackknife over 20 groups of minibatches, because the coordinates of one
    minibatch are not independent: an error that took them so covers 20 to 30 % under a common
    radius.

    Parameters
    ----------
    rows : array_like, shape (M, d)
        One row a minibatch, zero location: noise against the exact gradient, or differences of
        disjoint pairs. Any unit, also one a column.
    method : {"characteristic_function", "mohammadi"}
        The estimator. Blocks of "mohammadi" run over minibatches inside a coordinate.
    block_size : int
        Minibatches a block, for "mohammadi"; at least 2 and at most half the rows.

    Returns
    -------
    TailIndexEstimate
        Scalars. The characteristic function is calibrated for the self-standardisation and cut
        at 2, its interval is Student's t with 19 degrees; ``n`` counts non-zero entries of
        usable coordinates (20 non-zero samples that vary), ``sigma`` is in units of a
        coordinate's geometric mean magnitude.

    Raises
    ------
    ValueError
        `method` is unknown, or `block_size` is out of range.
    SamplesError
        `rows` is not a finite real array of two axes.
    NotEnoughDataError
        Fewer than 20 rows, or no coordinate with 20 non-zero samples that vary.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> rows = rng.standard_normal((400, 30)) * np.exp(rng.standard_normal(30))
    >>> round(pooled(rows).alpha, 2)  # Gaussian, whatever the scales
    2.0
    """
    if method not in POOLED_METHODS:
        raise ValueError(f"method must be one of {', '.join(POOLED_METHODS)}; got {method!r}")
    checked = as_rows(rows, "pooled")
    labels = group_labels(len(checked))
    if method == "mohammadi":
        check_block_size(block_size, len(checked))
        found = mohammadi_replicates(checked, labels, block_size)
        reciprocal = found.value > 0
        alpha = 1 / found.value if reciprocal else np.inf
        return TailIndexEstimate(
            alpha=alpha,
            standard_error=found.standard_error * (alpha**2 if reciprocal else 1),
            n=found.n,
            method=method,
            n_zero=found.n_zero,
            pivot="reciprocal",
            degrees_of_freedom=float(len(found.leave_out) - 1),
        )
    found = characteristic_function_replicates(checked, labels)
    return TailIndexEstimate(
        alpha=min(found.value, 2.0),
        standard_error=found.error_near_2,
        n=found.n,
        method=method,
        sigma=found.sigma,
        n_zero=found.n_zero,
        degrees_of_freedom=float(len(found.leave_out) - 1),
        upper=2.0,
    )


def characteristic_function_replicates(
    rows: NDArray[np.float64], labels: NDArray[np.int64]
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

    Returns
    -------
    Replicates
        Calibrated alphas, not cut at 2.

    Raises
    ------
    NotEnoughDataError
        Without one of the groups fewer than 20 non-zero entries are left.
    """
    values, n, used = standardise(rows)
    _require_columns(rows, used)
    logs, nonzero = log_magnitudes(values)
    pilot = float(np.median(np.abs(values[nonzero])))
    starts = np.searchsorted(labels, np.arange(labels[-1] + 1))
    n_group = np.add.reduceat(nonzero, starts, axis=0, dtype=np.int64)
    delta = -np.add.reduceat(logs, starts, axis=0) / np.maximum(n - n_group, 1)
    delta = np.clip(delta, -_FARTHEST, _FARTHEST)  # a coordinate that lives in one group

    n_left = np.concatenate([[n.sum()], n.sum() - n_group.sum(axis=1)])
    if n_left.min() < MINIMUM_ROWS:  # nearly all entries come from one group of minibatches
        raise NotEnoughDataError("pooled without one group of rows", n=int(n_left.min()),
                                 needed=MINIMUM_ROWS)  # fmt: skip
    defect = np.empty((len(FREQUENCIES), len(n_left)))
    for index, frequency in enumerate(FREQUENCIES):
        half = values * (frequency / (2 * pilot))
        defects, above, below = (
            np.add.reduceat(2 * np.sin(half * factor) ** 2, starts, axis=0)
            for factor in (1.0, np.exp(_NEIGHBOUR), np.exp(-_NEIGHBOUR))
        )
        slopes = (above - below) / (2 * _NEIGHBOUR)
        left = (defects.sum(axis=0) - defects) - delta * (slopes.sum(axis=0) - slopes)
        defect[index] = np.concatenate([[defects.sum()], left.sum(axis=1)]) / n_left

    alpha, sigma, _ = fit_stable(defect)
    alpha = calibrate(alpha, n_rows=len(n) / float((1 / n).sum()))
    return Replicates(
        value=float(alpha[0]),
        leave_out=alpha[1:],
        sigma=float(sigma[0] * pilot),
        n=int(n.sum()),
        n_zero=int(values.size - n.sum()),
        n_rows=int(nonzero.any(axis=1).sum()),
    )


def mohammadi_replicates(
    rows: NDArray[np.float64], labels: NDArray[np.int64], block_size: int = BLOCK_SIZE
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
    contrasts = block_contrasts(rows[:, used], block_size)
    # Blocks are formed once and left out whole: cutting them anew without some rows would pair
    # other samples and make the replicates differ by that alone.
    group_of = labels[contrasts.middle_rows].ravel()
    n_groups = int(labels[-1]) + 1
    sums = np.bincount(group_of, weights=contrasts.values.ravel(), minlength=n_groups)
    counts = np.bincount(group_of, weights=contrasts.usable.ravel(), minlength=n_groups)
    left = np.maximum(counts.sum() - counts, 1)
    return Replicates(
        value=float(sums.sum() / max(counts.sum(), 1)),
        leave_out=(sums.sum() - sums) / left,
        sigma=None,
        n=int(n.sum()),
        n_zero=int(len(rows) * used.sum() - n.sum()),
        n_rows=int((rows[:, used] != 0).any(axis=1).sum()),
    )


def _require_columns(rows: NDArray[np.float64], used: NDArray[np.bool_]) -> None:
    if not used.any():
        most = int(np.count_nonzero(rows, axis=0).max(initial=0))
        if most >= MINIMUM_ROWS:
            raise SamplesError(
                f"pooled needs coordinates whose magnitudes vary, got {rows.shape[1]} coordinates "
                "that repeat one magnitude each. Such noise has no tail."
            )
        raise NotEnoughDataError("pooled", n=most, needed=MINIMUM_ROWS)
