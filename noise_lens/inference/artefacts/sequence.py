"""What the order of rows gives away: a location, dependence, epochs.

Rows are the units: a row contributes one number to a statistic, and the sum of these numbers is
compared with the root of the sum of their squares. That holds for any dependence between columns.
Signs and clipped logarithms are bounded, so heavy tails cannot make one row decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from noise_lens.inference.artefacts.artefact import Artefact
from noise_lens.inference.artefacts.values import FALSE_ALARM
from noise_lens.inference.standardise import log_magnitudes

_ERRORS = 4.0
_CLIPPED_LOG = 3.0  # from the mean; log|x| has sd 1.1 for Gaussian noise, 1.6 for Cauchy

_SHORTEST, _CHI_SQUARE = 2, 16  # rows a block
_MOST_COLUMNS = 256
_CLIPPED = 10.0  # geometric means: five standard deviations of Gaussian noise
_SHRUNK = 0.8

Array = NDArray[Any]


def location(columns: Array) -> Iterator[Artefact]:
    """Find columns with too many values of one sign.

    False alarms: 6e-5 for all columns together, on noise of median 0. Skewed noise of mean 0,
    as that of a few examples with large gradients, is found too.

    Parameters
    ----------
    columns : ndarray of shape (n, d)
        Finite samples.

    Yields
    ------
    Artefact
        "location" with the share of columns.
    """
    d = columns.shape[1]
    positive = np.count_nonzero(columns > 0, axis=0)
    n = np.maximum(positive + np.count_nonzero(columns < 0, axis=0), 1)
    # Neighbours of the same sign are worth fewer than their number.
    serial = np.clip(_neighbours(np.sign(columns))[0], 0, 0.99)
    spread = np.sqrt(n * (1 + serial) / (1 - serial))
    off = np.abs(2 * positive - n) > -special.ndtri(FALSE_ALARM / 2 / d) * spread
    if off.any():
        yield Artefact(
            "location",
            float(off.mean()),
            f"{off.sum()} of {d} columns are not centred "
            f"({100 * positive.sum() / n.sum():.0f} % of the values are positive): subtract the "
            "exact mean gradient, or take differences of disjoint pairs. A location that is left "
            "in reads as light (characteristic_function) or heavy (mohammadi). Skewed noise looks "
            "the same to this count of signs.",
        )


def autocorrelation(z: Array) -> Iterator[Artefact]:
    """Compare the signs of neighbouring rows.

    False alarms: 6e-5; at most 2e-4 for any independent symmetric rows (a Rademacher sum).

    Parameters
    ----------
    z : ndarray of shape (M, d)
        Rows, each column in units of its own scale, in the order of drawing.

    Yields
    ------
    Artefact
        "autocorrelation" with the correlation of signs.
    """
    correlation, errors = _neighbours(np.sign(z))
    if abs(errors) > _ERRORS:
        yield Artefact(
            "autocorrelation",
            correlation,
            "neighbouring samples have the same sign too often or too rarely (correlation "
            f"{correlation:.2f}): they are not independent, as those of an average over steps are "
            "not. Every interval is too short, and mohammadi reads it as a heavy or light tail.",
        )


def magnitude_autocorrelation(z: Array) -> Iterator[Artefact]:
    """Compare the magnitudes of neighbouring rows; only alike ones count.

    False alarms: 3e-5.

    Parameters
    ----------
    z : ndarray of shape (M, d)
        Rows, each column in units of its own scale, in the order of drawing.

    Yields
    ------
    Artefact
        "magnitude_autocorrelation" with the correlation of ``log|x|``, clipped at 3 from 0.
    """
    correlation, errors = _neighbours(_clipped_logs(z))
    if errors > _ERRORS:
        yield Artefact(
            "magnitude_autocorrelation",
            correlation,
            f"neighbouring samples have similar magnitudes (correlation of log|x| "
            f"{correlation:.2f}): a scale that varies along the sample, or coordinates of unequal "
            "scale put end to end. A scale mixture of Gaussians reads as heavy-tailed.",
        )


def without_replacement(z: Array, sampling: str | None = None) -> Iterator[Artefact]:
    """Compare sums of consecutive rows with what independent rows would give.

    Sums of 2, 4, 8, ... and of all rows. If rows are independent and symmetric, their signs may
    be flipped: given the rows, the ratio of ``|sum|**2`` to ``sum |x|**2`` then has mean 1 and a
    variance that follows from the products of the rows inside blocks, whatever the dependence
    between columns. Its lower tail is that of a chi-square with this variance for long blocks,
    and no longer than a normal one for short blocks. Asymmetric rows and a location make sums
    larger, so they cannot raise a false alarm; differences of pairs are blind to epochs.
    False alarms: 6e-5 at most, for all lengths together. Where `sampling` says it, no test is
    needed.

    Parameters
    ----------
    z : ndarray of shape (M, d)
        Rows, each column in units of its own scale, in the order of drawing.
    sampling : str, optional
        How minibatches were drawn, in words.

    Yields
    ------
    Artefact
        "without_replacement" with the smallest ratio.
    """
    said = sampling is not None and any(
        word in sampling.lower() for word in ("without replacement", "epoch")
    )
    ratios = _ratios(z)
    alone = _Ratio(length=1, value=1.0, pvalue=1.0)
    best = min(ratios, key=lambda ratio: (ratio.pvalue, ratio.value), default=alone)
    found = best.value < _SHRUNK and best.pvalue * len(ratios) < FALSE_ALARM
    if not found and not said:
        return
    seen = (
        f"sums of {best.length} consecutive rows have {best.value:.2f} times the variance of sums "
        "of independent rows"
    )
    cause = (
        f"minibatches come {sampling}"
        if said
        else "minibatches drawn without replacement, or rows centred by their own mean"
    )
    yield Artefact(
        "without_replacement",
        best.value,
        f"{seen}: {cause}. Over an epoch the noise sums to nothing, so sums of rows look lighter "
        "than they are. Draw minibatches with replacement.",
    )


def _neighbours(values: Array) -> tuple[float, float]:
    # Correlation of columns with themselves one row on, pooled; and in standard errors.
    n = len(values)
    if n < 2:
        return 0.0, 0.0
    centred = values - values.mean(axis=0)  # a location has a warning of its own
    first, second = centred[:-1], centred[1:]
    norm = np.sqrt((first**2).sum() * (second**2).sum())
    products = (first * second).sum(axis=1)
    # Subtracting the mean alone makes each product this much smaller under exchangeable rows.
    products_alone = products + (centred**2).sum() / (n * (n - 1))
    return float(products.sum() / norm) if norm else 0.0, _in_errors(products_alone)


def _in_errors(contributions: Array) -> float:
    # A sum in units of its standard error, when every term has mean 0 given those before.
    norm = np.sqrt((contributions**2).sum())
    return float(contributions.sum() / norm) if norm else 0.0


def _clipped_logs(z: Array) -> Array:
    return np.clip(log_magnitudes(z)[0], -_CLIPPED_LOG, _CLIPPED_LOG)


@dataclass(frozen=True)
class _Ratio:
    # Variance of sums of `length` rows relative to that of independent rows.
    length: int
    value: float
    pvalue: float


def _ratios(z: Array) -> list[_Ratio]:
    if len(z) < _SHORTEST or not z.size:
        return []
    step = -(-z.shape[1] // _MOST_COLUMNS)
    rows = np.clip(z[:, ::step], -_CLIPPED, _CLIPPED).astype(np.float32)
    lengths = {1 << power for power in range(1, len(rows).bit_length())} | {len(rows)}
    return [
        ratio
        for length in sorted(lengths)
        if length <= len(rows) and (ratio := _ratio(rows, length)) is not None
    ]


def _ratio(rows: Array, length: int) -> _Ratio | None:
    n_blocks, d = len(rows) // length, rows.shape[1]
    blocks = rows[: n_blocks * length].reshape(n_blocks, length, d)
    squares = (blocks**2).sum(axis=2, dtype=np.float64)
    total = float(squares.sum())
    # Squared products of all pairs of rows of a block, from the smaller of its two Gram matrices.
    turned = blocks.transpose(0, 2, 1)
    gram = blocks @ turned if length < d else turned @ blocks
    products = float((gram.astype(np.float64) ** 2).sum() - (squares**2).sum())
    if not total or products <= 1e-9 * total**2 / max(squares.size, 1):
        return None
    sums = blocks.sum(axis=1, dtype=np.float64)
    value = float((sums**2).sum() / total)
    variance = 2 * products / total**2
    freedom = 2 / variance
    pvalue = float(special.chdtr(freedom, freedom * value))
    if length < _CHI_SQUARE:
        pvalue = max(pvalue, float(special.ndtr((value - 1) / np.sqrt(variance))))
    return _Ratio(length, value, pvalue)
