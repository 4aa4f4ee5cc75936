"""What single values give away: zeros, atoms, rounding, copies.

Values of a continuous law in float32 or float64 repeat so rarely that the detectors of repeated
values have no false alarm that a simulation could count; each states its rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from noise_lens.inference.artefacts.artefact import Artefact
from noise_lens.inference.standardise import MINIMUM_ROWS

FALSE_ALARM = 6e-5
"""Of each detector that tests something; 4 standard errors, two-sided."""

_TIE_SAMPLES, _TIE_SHARE = 20_000, 0.01  # float32 noise has .1 % of ties by chance there
_ATOM_SHARE, _ATOM_COUNT = 0.01, 5  # of all values
_COLUMN_ATOM_SHARE, _COLUMN_ATOM_COUNT = 0.05, 10  # bfloat16 rounding alone gives .3 %
_ROUNDED_SHARE, _ROUNDED_COUNT = 0.1, 20
_BFLOAT_SHARE = 0.9  # one float16 in eight is a bfloat16

Array = NDArray[Any]


def zeros(columns: Array) -> Iterator[Artefact]:
    """Count exact zeros. No false alarms.

    Parameters
    ----------
    columns : ndarray of shape (n, d)
        Finite samples.

    Yields
    ------
    Artefact
        "zeros" with their share.
    """
    n_zero = int(columns.size - np.count_nonzero(columns))
    if n_zero:
        share = n_zero / columns.size
        many = f"{100 * share:.1f} % of the" if share >= 1e-3 else f"{n_zero:,} of {columns.size:,}"
        yield Artefact("zeros", share, f"{many} values are exactly 0 and were dropped.")


def dead(columns: Array, varies: NDArray[np.bool_]) -> Iterator[Artefact]:
    """Count columns that do not vary. No false alarms.

    Parameters
    ----------
    columns : ndarray of shape (n, d)
        Finite samples.
    varies : ndarray of shape (d,)
        Whether two values of a column differ.

    Yields
    ------
    Artefact
        "dead" with the number of columns.
    """
    n_dead = int(np.count_nonzero(~varies))
    n_stuck = int(np.count_nonzero(columns[0, ~varies]))
    if len(columns) > 1 and n_dead:
        yield Artefact(
            "dead",
            float(n_dead),
            f"{n_dead} of {len(varies)} columns are dead: {n_dead - n_stuck} always 0, {n_stuck} "
            "stuck at another value. They carry no noise and are left out; counted as samples "
            "their zeros would read as an extremely heavy tail.",
        )


def atom(columns: Array) -> Iterator[Artefact]:
    """Look for one value that many samples have, in all columns together.

    False alarms: none on values of 24 significant bits.

    Parameters
    ----------
    columns : ndarray of shape (n, d)
        Finite samples.

    Yields
    ------
    Artefact
        "atom" with its share of the non-zero values.
    """
    values, counts = _pooled_counts(columns)
    if not len(values):
        return
    n, most = counts.sum(), int(counts.argmax())
    if counts[most] >= max(_ATOM_SHARE * n, _ATOM_COUNT) and counts[most] > 3 * np.median(counts):
        yield Artefact(
            "atom",
            float(counts[most] / n),
            f"{100 * counts[most] / n:.1f} % of the non-zero values are exactly {values[most]:g}: "
            "an atom, such as a clipped value, or an example without gradient after centring. No "
            "stable law has one; every estimate is of a law with it.",
        )


def ties(columns: Array) -> Iterator[Artefact]:
    """Count values that occur more than once, in all columns together, but for an atom.

    False alarms: 1e-6 for 100 float32 samples, fewer for more: three chance pairs.

    Parameters
    ----------
    columns : ndarray of shape (n, d)
        Finite samples.

    Yields
    ------
    Artefact
        "ties" with their share of the non-zero values.
    """
    counts = _pooled_counts(columns)[1]
    n = counts.sum()
    tied = counts[counts > 1].sum() - (counts.max() if n and counts.max() > 1 else 0)
    if tied > max(_TIE_SHARE * n, _ATOM_COUNT):
        yield _tied(tied / n)


def column_atom(columns: Array, ordered: Array) -> Iterator[Artefact]:
    """Look for columns of which many rows have one value; then in all columns together.

    An example without gradient leaves ``-grad_j`` in every column j after centring: another
    value each, which pooled counts miss. False alarms: none on values of 24 significant bits.

    Parameters
    ----------
    columns : ndarray of shape (n, d)
        Finite samples.
    ordered : ndarray of shape (n, d)
        Each column sorted.

    Yields
    ------
    Artefact
        "atom" with the largest share of the rows of one column.
    """
    found = _columns_with_atom(ordered)
    if not found.any():
        yield from atom(columns)
        return
    shares = [_largest_share(column) for column in ordered[:, found].T]
    yield Artefact(
        "atom",
        max(shares),
        f"{len(shares)} of {ordered.shape[1]} columns repeat one value, the worst in "
        f"{100 * max(shares):.1f} % of its rows: an atom, such as a clipped value, or an example "
        "without gradient after centring. No stable law has one, and sums of rows look heavier "
        "than single rows.",
    )


def column_ties(columns: Array) -> Iterator[Artefact]:
    """Look for rounding: few significant bits, or values that repeat inside columns.

    float32 has 24 significant bits; the low 16 of its 32 are 0 in a bfloat16, the low 13 in a
    float16. Rounded gradients minus an exact mean have all bits, but repeat inside a column.
    False alarms: 3e-9 (three chance values of 20 with 13 zero bits), 1e-6 for repeats.

    Parameters
    ----------
    columns : ndarray of shape (n, d)
        Finite samples.

    Yields
    ------
    Artefact
        "ties" with the share of different values that have few bits, or else of those that repeat
        (but for the two most frequent of a column, which may be atoms).
    """
    ordered = np.sort(columns[:_TIE_SAMPLES], axis=0)
    same = ordered[1:] == ordered[:-1]
    edge = np.zeros((1, ordered.shape[1]), dtype=bool)
    unit = np.frexp(np.abs(ordered[[0, -1]]).max(initial=0.0))[1]
    # One of each value of a column: 1.0 fits, but as an atom it is no rounding.
    different = np.ldexp(ordered[~np.concatenate([edge, same])], -unit).astype(np.float32)
    bits = different[different != 0].view(np.uint32)
    few, fewest = (int(np.count_nonzero(bits & ((1 << low) - 1) == 0)) for low in (13, 16))
    if len(bits) >= _ROUNDED_COUNT and few > _ROUNDED_SHARE * len(bits):
        brain = fewest > _BFLOAT_SHARE * few
        name = "bfloat16 (8 significant bits)" if brain else "float16 (11 significant bits)"
        share = (fewest if brain else few) / len(bits)
        yield Artefact(
            "ties",
            share,
            f"{100 * share:.0f} % of the values fit into {name}: rounded or quantised noise. "
            "log_moments and hill are the first to be moved by it.",
        )
        return
    same &= ordered[1:] != 0
    repeating = ordered[:, same.any(axis=0) & ~_columns_with_atom(ordered)]
    tied = sum(_repeats(column[column != 0]) for column in repeating.T)
    n = np.count_nonzero(ordered)
    if tied > max(_TIE_SHARE * n, _ATOM_COUNT):
        yield _tied(tied / n)


def duplicated_rows(rows: Array, ordered: Array) -> Iterator[Artefact]:
    """Count rows that came before, more than rounding explains.

    False alarms: 6e-5, where columns of rounded values are independent; else none.

    Parameters
    ----------
    rows : ndarray of shape (M, d)
        One row a minibatch.
    ordered : ndarray of shape (M, d)
        Each column sorted.

    Yields
    ------
    Artefact
        "duplicated_rows" with their number.
    """
    filled = np.ascontiguousarray(rows[(rows != 0).any(axis=1)]) + 0.0  # -0.0 is 0.0
    if not len(filled):
        return
    bytes_of_rows = filled.view(np.dtype((np.void, filled.itemsize * filled.shape[1]))).ravel()
    counts = np.unique(bytes_of_rows, return_counts=True)[1]
    n_copies = len(filled) - len(counts)
    if not n_copies:
        return
    pairs = len(ordered) * (len(ordered) - 1) / 2
    log_chance = sum(math.log(max(_tied_pairs(c), 1) / pairs) for c in ordered.T)
    by_chance = pairs * math.exp(log_chance)
    if special.pdtrc(n_copies - 1, by_chance) < FALSE_ALARM:
        yield Artefact(
            "duplicated_rows",
            float(n_copies),
            f"{n_copies} of {len(rows)} rows are exact copies of earlier ones: the same minibatch "
            "came again. A loader that repeats itself, or few examples at a small batch size; "
            "every error counts them as new.",
        )


def _pooled_counts(columns: Array) -> tuple[Array, Array]:
    flat = columns.ravel()
    step = max(1, len(flat) // _TIE_SAMPLES)
    while math.gcd(step, columns.shape[1]) > 1:  # else whole columns are never looked at
        step += 1
    flat = flat[::step]
    values, counts = np.unique(flat[flat != 0], return_counts=True)
    return values, counts


def _tied(share: float) -> Artefact:
    return Artefact(
        "ties",
        float(share),
        f"{100 * share:.0f} % of the values occur more than once: rounded or quantised noise. "
        "log_moments and hill are the first to be moved by it.",
    )


def _columns_with_atom(ordered: Array) -> NDArray[np.bool_]:
    # In a sorted column a value that k rows have is equal to the one k - 1 places on.
    n = len(ordered)
    k = max(_COLUMN_ATOM_COUNT, math.ceil(_COLUMN_ATOM_SHARE * n))
    if n < max(k, MINIMUM_ROWS):
        return np.zeros(ordered.shape[1], dtype=bool)
    run = (ordered[k - 1 :] == ordered[: n - k + 1]) & (ordered[k - 1 :] != 0)
    return np.asarray(run.any(axis=0))


def _largest_share(column: Array) -> float:
    counts = np.unique(column[column != 0], return_counts=True)[1]
    return float(counts.max() / len(column))


def _repeats(column: Array) -> int:
    counts = np.unique(column, return_counts=True)[1]
    # The two most frequent may be those of a clipped tail on either side, an atom each.
    return int(np.sort(counts[counts > 1])[:-2].sum())


def _tied_pairs(column: Array) -> float:
    counts = np.unique(column, return_counts=True)[1].astype(np.float64)
    return float((counts * (counts - 1)).sum() / 2)
