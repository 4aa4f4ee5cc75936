"""The gradient noise scale: at which batch size noise and gradient are equally large."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from noise_lens.errors import NotEnoughDataError, SamplesError
from noise_lens.inference.jackknife import group_labels, jackknife_error
from noise_lens.inference.standardise import MINIMUM_ROWS

_RESOLUTION = 1e-6  # float32 gradients carry seven digits; sums over a data set lose one
_METHOD = "noise_scale"

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
_Found = tuple[float, float, float, str | None]


@dataclass(frozen=True)
class NoiseScale:
    """The gradient noise scale of one group of parameters.

    Attributes
    ----------
    value : float
        ``trace / gradient_square``, in examples; NaN where it is withheld, with a `reason`.
    low, high : float
        Interval, 0 <= low <= high. Never NaN: where `value` is withheld it holds what is
        still known, ``[low, inf]`` where only the squared gradient cannot be told from 0.
    trace : float
        Trace of the covariance of one example's gradient, in the gradient's unit squared; NaN
        where the batch size is not known.
    gradient_square : float
        Squared norm of the true gradient, in the same unit: exact for "full", else an unbiased
        estimate, which may be below 0.
    confidence_level : float
        Of the interval.
    n_rows : int
        Rows of noise that it is made of.
    reason : str or None
        Why there is no value; None where there is one.
    """

    value: float
    low: float
    high: float
    trace: float
    gradient_square: float
    confidence_level: float
    n_rows: int
    reason: str | None


def noise_scale(
    norms: ArrayLike,
    gradient_squares: ArrayLike,
    *,
    reference: str,
    batch_size: int | None,
    reference_square: float = np.nan,
    block_squares: ArrayLike = (),
    row_blocks: ArrayLike | None = None,
    without_replacement_from: int | None = None,
    confidence_level: float = 0.95,
) -> NoiseScale:
    """Estimate the gradient noise scale of one group from the rows of a probe.

    ``B = tr(Sigma) / |G|**2``, where Sigma is the covariance of one example's gradient and G
    the true gradient [1]_ (eq. 2.9). At batch size B the squared noise of a minibatch gradient
    is as large as its squared mean: well below, larger minibatches save steps almost in
    proportion; well above, they hardly help.

    A minibatch gradient of b independent examples has squared noise ``tr(Sigma) / b`` on
    average, the difference of two twice that. With "full" G is exact and
    ``B = b * mean(norms**2) / |G|**2``. Otherwise ``|G|**2`` is the mean inner product of
    different minibatches of a block: for n gradients, the squared norm of their sum less their
    own squares, over n (n - 1). This is the unbiased estimate of [1]_ (appendix A.1) with
    minibatches of b and of a whole block.

    Parameters
    ----------
    norms : array_like, shape (R,)
        Euclidean norm of each row's noise, at least 20 rows.
    gradient_squares : array_like, shape (R,)
        Squared norm of each row's raw gradient; of a pair's two, the sum.
    reference : {"full", "pair", "mean"}
        What was subtracted.
    batch_size : int or None
        Examples a minibatch, b; None where sizes differ, and the value is withheld.
    reference_square : float
        Squared norm of the full gradient; needed for "full".
    block_squares : array_like, shape (g,)
        Squared norm of the sum of the raw gradients of each jackknife group of rows; needed
        for "pair" and "mean".
    row_blocks : array_like, shape (R,), optional
        Jackknife group of each row, 0 to g - 1, where it is not that of ``group_labels``: each
        of several ranks has groups of its own. With several, ``|G|**2`` is made of the inner
        products inside each, which is unbiased but uses fewer of them.
    without_replacement_from : int, optional
        Size n of the data set, where no example comes twice: minibatches of one epoch. Noise
        is then smaller by ``(n - b) / (n - 1)`` against the full gradient, larger by
        ``n / (n - 1)`` between minibatches, whose inner products have mean
        ``|G|**2 - tr(Sigma) / (n - 1)``; Sigma has the divisor n. Leave it out for draws with
        replacement, as all from a map-style data set are, however small that is. Left out for
        an epoch, B is that of the population that the data set is a sample of.
    confidence_level : float
        In (0, 1).

    Returns
    -------
    NoiseScale
        In examples. The interval comes from a delete-a-group jackknife over minibatches and
        Student's t: for "full" of the logarithm, else after Fieller, because both parts are
        uncertain. Where the interval of ``|G|**2`` includes 0, `high` is inf and `value` is
        withheld. Just before that a value tends to be too small; its interval is not.

    Raises
    ------
    SamplesError
        Norms or squares are not finite, below 0, or differ in shape; or what the reference
        needs is missing.
    NotEnoughDataError
        Fewer than 20 rows.
    ValueError
        `reference`, `batch_size`, `without_replacement_from` or `confidence_level` is out of
        range.

    Notes
    -----
    Where the second moment of noise is infinite, as under a stable law with alpha < 2, Sigma
    does not exist: a caller withholds the value there. Where only the fourth is, the interval
    is too short. Examples must enter the minibatch gradient independently: with BatchNorm in
    training mode the value belongs to this batch size. Dropout's noise counts as an example's.

    References
    ----------
    .. [1] S. McCandlish, J. Kaplan, D. Amodei et al., An empirical model of large-batch
       training, 2018. arXiv:1812.06162

    Examples
    --------
    >>> found = noise_scale(
    ...     [2.0, 4.0] * 10, [9.0, 21.0] * 10, reference="full", batch_size=8, reference_square=5.0
    ... )
    >>> found.value  # 8 * (4 + 16) / 2 / 5
    16.0
    """
    _check_numbers(reference, batch_size, without_replacement_from, confidence_level)
    lengths, raw = _checked(norms, gradient_squares)
    if batch_size is None:
        return NoiseScale(
            np.nan, 0.0, np.inf, np.nan, np.nan, confidence_level, len(lengths),
            "minibatches differ in size, or their size is not known",
        )  # fmt: skip
    # Products of squares stay in range in units of the largest; a power of two rounds nothing.
    unit = 2.0 ** int(np.frexp(max(float(lengths.max()) ** 2, float(raw.max())))[1])
    labels = group_labels(len(lengths)) if row_blocks is None else np.asarray(row_blocks)
    factor = {
        "full": 1.0,
        "pair": 0.5,
        "mean": len(lengths) / (len(lengths) - 1),  # their own mean took one row away
    }[reference]
    traces = batch_size * factor * (lengths**2 / unit)
    n = without_replacement_from
    if n is not None:
        traces *= (n - 1) / (n - batch_size if reference == "full" else n)
    if reference == "full":
        square = _checked_square(reference_square) / unit
        found = _against_exact(traces, labels, square, float(raw.mean()) / unit, confidence_level)
    else:
        blocks = _checked_blocks(block_squares, labels) / unit
        a_row = 2 if reference == "pair" else 1
        products, counts = _inner_products(raw / unit, labels, blocks, a_row)
        if n is not None:
            products += counts * traces.mean() / (n - 1)
        square = float(products.sum() / counts.sum())
        found = _both_estimated(traces, labels, products, counts, confidence_level)
    value, low, high, reason = found
    return NoiseScale(
        value=value,
        low=low,
        high=high,
        trace=float(traces.mean()) * unit,
        gradient_square=square * unit,
        confidence_level=confidence_level,
        n_rows=len(lengths),
        reason=reason,
    )


def _inner_products(
    raw: Array, labels: Labels, blocks: Array, gradients_a_row: int
) -> tuple[Array, Array]:
    # Sum of <g_i, g_j> over ordered pairs of different minibatches of each block, and how many.
    n = gradients_a_row * np.bincount(labels).astype(np.float64)
    return blocks - np.bincount(labels, weights=raw), n * (n - 1)


def _against_exact(
    traces: Array, labels: Labels, square: float, raw: float, confidence_level: float
) -> _Found:
    trace = float(traces.mean())
    if raw == 0:
        return np.nan, 0.0, np.inf, "every gradient is zero"
    leave_out = _leave_out(*_by_group(traces, labels))
    low = high = trace
    if np.ptp(leave_out) > 0:
        reach = np.inf  # unless one group of rows holds all the noise there is
        if leave_out.min() > 0:
            reach = _quantile(len(leave_out), confidence_level) * jackknife_error(np.log(leave_out))
        with np.errstate(over="ignore"):
            low, high = trace * float(np.exp(-reach)), trace * float(np.exp(reach))
    resolved = _RESOLUTION**2 * raw
    if square <= resolved:
        reason = (
            "the full gradient is 0 as far as float32 can tell: below a millionth of a "
            "minibatch gradient"
        )
        return np.nan, low / resolved, np.inf, reason
    return trace / square, low / square, high / square, None


def _both_estimated(
    traces: Array, labels: Labels, products: Array, counts: Array, confidence_level: float
) -> _Found:
    trace, square = float(traces.mean()), float(products.sum() / counts.sum())
    if trace == 0 == square:
        return np.nan, 0.0, np.inf, "every gradient is zero"
    leave_out = np.stack([_leave_out(*_by_group(traces, labels)), _leave_out(products, counts)])
    n_groups = leave_out.shape[1]
    t = _quantile(n_groups, confidence_level)
    covariance = t**2 * (n_groups - 1) * np.cov(leave_out, bias=True)
    # Fieller (1954): all ratios B for which trace - B * square is within t errors of 0. An
    # estimate of |G|**2 below 0 is taken as 0, which only lowers the lower end.
    a = trace**2 - covariance[0, 0]
    b = trace * max(square, 0.0) - covariance[0, 1]
    c = max(square, 0.0) ** 2 - covariance[1, 1]
    root = float(np.sqrt(max(b * b - a * c, 0.0)))
    low = 0.0
    if a > 0:
        low = float(a / (b + root)) if b + root > 0 else np.inf
    if square > 0 and c > 0:
        return trace / square, low, float((b + root) / c), None
    reason = (
        "the squared gradient cannot be told from 0. Measure more or larger minibatches: the "
        "noise scale is at least the lower end of its interval"
    )
    return np.nan, low, np.inf, reason


def _by_group(rows: Array, labels: Labels) -> tuple[Array, Array]:
    sums = np.bincount(labels, weights=rows).astype(np.float64)
    return sums, np.bincount(labels).astype(np.float64)


def _leave_out(sums: Array, counts: Array) -> Array:
    return np.asarray((sums.sum() - sums) / (counts.sum() - counts))


def _quantile(n_groups: int, confidence_level: float) -> float:
    return float(special.stdtrit(n_groups - 1, (1 + confidence_level) / 2))


def _checked(norms: ArrayLike, gradient_squares: ArrayLike) -> tuple[Array, Array]:
    lengths = np.asarray(norms, dtype=np.float64)
    squares = np.asarray(gradient_squares, dtype=np.float64)
    if lengths.ndim != 1 or lengths.shape != squares.shape:
        raise SamplesError(
            f"{_METHOD} needs one norm and one squared gradient a row, got shapes "
            f"{lengths.shape} and {squares.shape}."
        )
    if len(lengths) < MINIMUM_ROWS:
        raise NotEnoughDataError(_METHOD, n=len(lengths), needed=MINIMUM_ROWS, what="rows")
    bad = np.count_nonzero(~((lengths >= 0) & (squares >= 0) & np.isfinite(lengths + squares)))
    if bad:
        raise SamplesError(
            f"{_METHOD} needs finite norms and squares of at least 0, got {bad} other rows of "
            f"{len(lengths)}. Find the minibatch that overflowed."
        )
    return lengths, squares


def _checked_blocks(block_squares: ArrayLike, labels: Labels) -> Array:
    blocks = np.asarray(block_squares, dtype=np.float64)
    n_rows, n_groups = len(labels), int(labels.max()) + 1
    if blocks.shape != (n_groups,) or not np.all((blocks >= 0) & np.isfinite(blocks)):
        raise SamplesError(
            f"{_METHOD} without a full gradient needs {n_groups} finite block_squares for "
            f"{n_rows} rows, got {blocks.size}. Take those of the same sketch."
        )
    return blocks


def _checked_square(reference_square: float) -> float:
    if not (np.isfinite(reference_square) and reference_square >= 0):
        raise SamplesError(
            f"{_METHOD} with the full gradient needs its squared norm, got {reference_square}. "
            "Take reference_square of the sketch."
        )
    return float(reference_square)


def _check_numbers(
    reference: str, batch_size: int | None, n_examples: int | None, confidence_level: float
) -> None:
    if reference not in ("full", "pair", "mean"):
        raise ValueError(f"reference must be one of full, pair, mean; got {reference!r}")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    # A minibatch of the whole data set has no noise; two minibatches must fit.
    fewest = (batch_size or 1) + 1 if reference == "full" else 2 * (batch_size or 1)
    if n_examples is not None and n_examples < fewest:
        raise ValueError(
            f"without_replacement_from must be at least {fewest} for minibatches of "
            f"{batch_size} and the reference {reference!r}, got {n_examples}"
        )
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level must be between 0 and 1, got {confidence_level}")
