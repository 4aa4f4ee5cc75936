"""What in a sample would fool a reader: named warnings with numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from noise_lens.estimators import TailIndexEstimate
from noise_lens.inference.standardise import MINIMUM_ROWS, standardise
from noise_lens.stable import SymmetricStable

_SIGN_ERRORS = 4.0  # one false alarm in 16,000 columns, or in 16,000 correlations
_MISFIT_P = 1e-4
_MISFIT_BINS, _MISFIT_SAMPLES = 20, 400
_TIE_SAMPLES, _TIE_SHARE = 20_000, 0.01  # float32 noise has .1 % of ties by chance there
_ATOM_SHARE, _ATOM_COUNT = 0.01, 5
_CORRELATION_ENTRIES = 1_000_000

_OF_A_LAW = ("characteristic_function", "maximum_likelihood", "log_moments", "quantile")

Array = NDArray[Any]


def sample_warnings(samples: ArrayLike, fitted: TailIndexEstimate | None = None) -> list[str]:
    """Return what in centred, independent, continuous noise should not be there.

    Parameters
    ----------
    samples : array_like, shape (n,) or (n, d)
        Finite samples that an estimator took.
    fitted : TailIndexEstimate, optional
        A stable law fitted to a sample of shape (n,): it is checked against the sample.

    Returns
    -------
    list of str
        One sentence or two each: a location, exact zeros, atoms, ties, neighbours that are
        correlated, magnitudes that go together (a scale mixture), a law that does not fit.
        False alarms: 6e-5 a test, 1e-4 for the fit.
    """
    array = np.asarray(samples)
    if array.dtype.kind != "f" or array.dtype.itemsize < 4:
        array = array.astype(np.float64)  # sums of a float16 overflow
    columns = array.reshape(len(array), -1)
    found = [*_location(columns), *_zeros(columns), *_ties(columns), *_dependence(columns)]
    if fitted is not None and array.ndim == 1:
        found.extend(_misfit(array, fitted))
    return found


def disagreement(estimates: Sequence[TailIndexEstimate]) -> list[str]:
    """Return which estimates of one stable law have intervals that do not overlap.

    Parameters
    ----------
    estimates : sequence of TailIndexEstimate
        Scalars, of one sample; those that do not fit a stable law are left aside.

    Returns
    -------
    list of str
        At most one sentence, on the two that are farthest apart. Intervals of 99 % both: fewer
        than one false alarm in two hundred samples of a stable law.
    """
    intervals = [
        (one.method, one.confidence_interval(0.99)) for one in estimates if one.method in _OF_A_LAW
    ]
    if len(intervals) < 2:
        return []
    lowest = min(intervals, key=lambda pair: pair[1].high)
    highest = max(intervals, key=lambda pair: pair[1].low)
    if not lowest[1].high < highest[1].low:
        return []
    sentence = (
        f"{lowest[0]} and {highest[0]} contradict each other: their 99 % intervals end at "
        f"{lowest[1].high:.2f} and begin at {highest[1].low:.2f}. Under one stable law they would "
        "overlap: these numbers are not of a tail index."
    )
    return [sentence]


def unused_columns(columns: ArrayLike) -> list[str]:
    """Return how many columns pooled estimates leave out.

    Parameters
    ----------
    columns : array_like, shape (n, d)
        Finite samples.

    Returns
    -------
    list of str
        At most one sentence.
    """
    used = standardise(np.asarray(columns, dtype=np.float64))[2]
    if used.all():
        return []
    left_out = f"{np.count_nonzero(~used)} of {len(used)} columns were left out"
    why = f"fewer than {MINIMUM_ROWS} non-zero samples, or one magnitude repeated"
    return [f"{left_out} of pooled estimates: {why}."]


def _location(columns: Array) -> Iterator[str]:
    positive = np.count_nonzero(columns > 0, axis=0)
    n = np.maximum(positive + np.count_nonzero(columns < 0, axis=0), 1)
    # Neighbours of the same sign are worth fewer than their number.
    serial = np.clip(_neighbours(np.sign(columns[:_CORRELATION_ENTRIES]))[0], 0, 0.99)
    spread = np.sqrt(n * (1 + serial) / (1 - serial))
    off = np.abs(2 * positive - n) > _SIGN_ERRORS * spread
    if off.any():
        yield (
            f"{off.sum()} of {columns.shape[1]} columns are not centred "
            f"({100 * positive.sum() / n.sum():.0f} % of the values are positive): subtract the "
            "exact mean gradient, or take differences of disjoint pairs. A location that is left "
            "in reads as light (characteristic_function) or heavy (mohammadi)."
        )


def _zeros(columns: Array) -> Iterator[str]:
    n_zero = columns.size - np.count_nonzero(columns)
    if n_zero:
        share = 100 * n_zero / columns.size
        many = f"{share:.1f} % of the" if share >= 0.1 else f"{n_zero:,} of {columns.size:,}"
        yield f"{many} values are exactly 0 and were dropped."


def _ties(columns: Array) -> Iterator[str]:
    flat = columns.ravel()
    flat = flat[:: max(1, len(flat) // _TIE_SAMPLES)]
    values, counts = np.unique(flat[flat != 0], return_counts=True)
    n = counts.sum()
    if not n:
        return
    most = int(counts.argmax())
    if counts[most] >= max(_ATOM_SHARE * n, _ATOM_COUNT) and counts[most] > 3 * np.median(counts):
        yield (
            f"{100 * counts[most] / n:.1f} % of the non-zero values are exactly {values[most]:g}: "
            "an atom, such as a clipped value, or an example without gradient after centring. No "
            "stable law has one; every estimate is of a law with it."
        )
    tied = counts[counts > 1].sum() - (counts[most] if counts[most] > 1 else 0)
    if tied > _TIE_SHARE * n:
        yield (
            f"{100 * tied / n:.0f} % of the values occur more than once: rounded or quantised "
            "noise. log_moments and hill are the first to be moved by it."
        )


def _dependence(columns: Array) -> Iterator[str]:
    if len(columns) < MINIMUM_ROWS:
        return
    rows = max(MINIMUM_ROWS, _CORRELATION_ENTRIES // columns.shape[1])
    values, _, used = standardise(columns[:rows].astype(np.float64))
    if not used.any():
        return
    serial, n = _neighbours(np.sign(values))
    if abs(serial) > _SIGN_ERRORS / np.sqrt(n):
        yield (
            f"neighbouring samples have the same sign too often or too rarely (correlation "
            f"{serial:.2f}): they are not independent, as those of an average over steps are "
            "not. Every interval is too short, and mohammadi reads it as a heavy or light tail."
        )
    with np.errstate(divide="ignore"):
        logs = np.where(values != 0, np.log(np.abs(values)), 0)
    magnitudes, n = _neighbours(logs)
    if magnitudes > _SIGN_ERRORS / np.sqrt(n):
        yield (
            f"neighbouring samples have similar magnitudes (correlation of log|x| "
            f"{magnitudes:.2f}): a scale that varies along the sample, or coordinates of unequal "
            "scale put end to end. A scale mixture of Gaussians reads as heavy-tailed."
        )
    if values.shape[1] > 1:
        together, error = _intraclass(logs)
        if together > _SIGN_ERRORS * error:
            yield (
                f"the magnitudes of one row go together (intraclass correlation of log|x| "
                f"{together:.2f}): rows share a scale. Errors count rows, not entries; a scale "
                "mixture is suspected, so look at sums of rows (nl.aggregation_curve)."
            )


def _neighbours(values: Array) -> tuple[float, int]:
    # Correlation of each column with itself one row on, pooled; and how many pairs.
    centred = values - values.mean(axis=0)  # a location has a warning of its own
    first, second = centred[:-1], centred[1:]
    norm = np.sqrt((first**2).sum() * (second**2).sum())
    # Columns may depend on each other: count rows of one column at worst.
    return float((first * second).sum() / norm) if norm else 0.0, len(first)


def _intraclass(logs: Array) -> tuple[float, float]:
    n_rows, d = logs.shape
    within = logs.var()
    correlation = (d * logs.mean(axis=1).var() / within - 1) / (d - 1) if within else 0.0
    # Under independent entries d times the variance of row means is chi-square / (n - 1).
    return float(correlation), float(np.sqrt(2 / n_rows) / (d - 1))


def _misfit(sample: Array, fitted: TailIndexEstimate) -> Iterator[str]:
    alpha, sigma = float(np.asarray(fitted.alpha)), fitted.sigma
    magnitudes = np.abs(sample[sample != 0])
    n = len(magnitudes)
    if sigma is None or not 0.4 <= alpha <= 2 or n < _MISFIT_SAMPLES:
        return
    law = SymmetricStable(alpha, float(np.asarray(sigma)))
    shares = np.arange(1, _MISFIT_BINS) / _MISFIT_BINS
    edges = np.concatenate([[0], law.ppf((1 + shares) / 2), [np.inf]])
    counts = np.histogram(magnitudes, edges)[0]
    expected = n / _MISFIT_BINS
    statistic = float(((counts - expected) ** 2 / expected).sum())
    # Two parameters were fitted to the samples, not to the counts: between 17 and 19 degrees.
    p = float(special.chdtrc(_MISFIT_BINS - 1, statistic))
    if p < _MISFIT_P:
        chance = f"p = {p:.0e}" if p > 1e-99 else "p < 1e-99"
        yield (
            f"no symmetric stable law fits these magnitudes (chi-square {statistic:.0f} on "
            f"{_MISFIT_BINS} equal classes, {chance}): alpha is that of the stable law that looks "
            "most like the centre, not a tail index. Scale mixtures and Laplace-like noise do this."
        )
