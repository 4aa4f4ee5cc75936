"""All detectors on a sample, or on rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_lens.errors import SamplesError
from noise_lens.estimators import TailIndexEstimate
from noise_lens.estimators._samples import as_array
from noise_lens.inference.artefacts import scales, sequence, values
from noise_lens.inference.artefacts.artefact import Artefact
from noise_lens.inference.artefacts.estimates import misfit
from noise_lens.inference.standardise import MINIMUM_ROWS, standardise

_ENTRIES, _COLUMNS = 2_000_000, 128  # of a larger sample only a part is looked at
_MANY_ROWS, _FEW_ROWS, _FEW_COLUMNS = 1000, 100, 8

Array = NDArray[Any]


def sample_warnings(samples: ArrayLike, fitted: TailIndexEstimate | None = None) -> list[Artefact]:
    """Return what in centred, independent, continuous noise should not be there.

    Parameters
    ----------
    samples : array_like, shape (n,) or (n, d)
        Finite samples that an estimator took.
    fitted : TailIndexEstimate, optional
        A stable law fitted to a sample of shape (n,): it is checked against the sample.

    Returns
    -------
    list of Artefact
        A location, exact zeros, atoms, ties, neighbours that are correlated, magnitudes that go
        together (a scale mixture), a law that does not fit. False alarms: 6e-5 a test, 1e-4 for
        the fit.
    """
    array = np.asarray(samples)
    if array.dtype.kind != "f" or array.dtype.itemsize < 4:
        array = array.astype(np.float64)  # sums of a float16 overflow
    columns = array.reshape(len(array), -1)
    found = [
        *sequence.location(columns),
        *values.zeros(columns),
        *values.atom(columns),
        *values.ties(columns),
    ]
    z = standardise(_part(columns).astype(np.float64))[0]
    if z.size:
        found += sequence.autocorrelation(z)
        found += sequence.magnitude_autocorrelation(z)
        found += scales.shared_scales(z)
    if fitted is not None and array.ndim == 1:
        found += misfit(array, fitted)
    return found


def row_warnings(
    rows: ArrayLike,
    *,
    of: str = "coordinates",
    n_parameters: int | None = None,
    sampling: str | None = None,
) -> list[Artefact]:
    """Return what in the noise of minibatches would fool a reader of a verdict.

    Parameters
    ----------
    rows : array_like, shape (M, d)
        One row a minibatch, in the order of drawing, zero location expected.
    of : {"coordinates", "projections", "norm"}
        What the columns are. Projections share large coordinates and have one scale, so neither
        is reported of them; norms are positive, so nothing is reported of their signs.
    n_parameters : int, optional
        Of the group that the rows are of.
    sampling : str, optional
        How minibatches were drawn, in words, as a sketch says it.

    Returns
    -------
    list of Artefact
        At most one of each name: zeros, dead columns, atoms, ties, copies, a location, dependence
        along the sequence, epochs, unequal scales, one radius a row, growth, too few rows or
        columns. Dead columns count in the first two alone. False alarms on independent rows:
        6e-5 a detector at most, for all columns together. One radius a row, as elliptical stable
        rows have it, is no false alarm.

    Raises
    ------
    ValueError
        `of` is none of the three.
    SamplesError
        `rows` is not a finite real array of two axes; rows of zeros are welcome.

    Examples
    --------
    >>> rows = np.random.default_rng(0).standard_normal((1000, 20))
    >>> row_warnings(rows)
    []
    >>> [warning.name for warning in row_warnings(rows * np.linspace(1, 9, 1000)[:, None])]
    ['magnitude_autocorrelation', 'shared_scale', 'divergence']
    """
    if of not in ("coordinates", "projections", "norm"):
        raise ValueError(f'of must be "coordinates", "projections" or "norm", got {of!r}')
    checked = _checked(rows)
    varies = (checked != checked[:1]).any(axis=0)
    found = [*values.zeros(checked), *values.dead(checked, varies)]
    if varies.any():
        moving = checked if varies.all() else checked[:, varies]
        found += _of_values(_part(moving))
        if of != "norm":
            found += sequence.location(moving)
        found += _of_order(_part(moving), of, sampling)
        found += scales.divergence(moving)
    found += _few_rows(len(checked))
    if of != "norm":
        found += _few_columns(int(np.count_nonzero(varies)), n_parameters)
    return found


def _of_values(rows: Array) -> list[Artefact]:
    ordered = np.sort(rows, axis=0)
    copies = list(values.duplicated_rows(rows, ordered))
    return [
        *values.column_atom(rows, ordered),
        # The values of a minibatch that came twice are not rounded.
        *values.column_ties(np.unique(rows, axis=0) if copies else rows),
        *copies,
    ]


def _of_order(rows: Array, of: str, sampling: str | None) -> list[Artefact]:
    z, _, used = standardise(rows)
    found: list[Artefact] = []
    if of != "norm":
        found += sequence.without_replacement(z, sampling)
    if not z.size:
        return found
    found += sequence.magnitude_autocorrelation(z)
    if of != "norm":
        found += sequence.autocorrelation(z)
    if of == "coordinates":
        # What standardise divided by, as the ratio of the largest entries.
        found += scales.scale_spread(z, np.abs(rows[:, used]).max(axis=0) / np.abs(z).max(axis=0))
        found += scales.shared_scales(z)
    return found


def _checked(rows: ArrayLike) -> NDArray[np.float64]:
    # Not the door of estimators: a group of zeros is a finding here, not an error.
    array = as_array(rows, "row_warnings").astype(np.float64, copy=False)
    if array.ndim != 2:
        raise SamplesError(
            f"row_warnings needs one row a minibatch, shape (M, d), got shape {array.shape}. "
            "For a single series pass x[:, None]."
        )
    if not np.isfinite(array).all():
        bad = np.count_nonzero(~np.isfinite(array))
        raise SamplesError(
            f"row_warnings needs finite rows, got {bad} NaN or inf among {array.size}. "
            "Find the step that overflowed, or drop those rows and say so beside the number."
        )
    return array


def _part(columns: Array) -> Array:
    # Evenly spaced columns, then the first rows: neighbours stay neighbours.
    n, d = columns.shape
    if columns.size <= _ENTRIES:
        return columns
    n_columns = min(d, max(_COLUMNS, _ENTRIES // n))
    chosen = np.linspace(0, d - 1, n_columns).round().astype(np.int64)
    kept: Array = columns[: max(MINIMUM_ROWS, _ENTRIES // n_columns)][:, chosen]
    return kept


def _few_rows(n_rows: int) -> Iterator[Artefact]:
    """Say what too few rows cost."""
    if n_rows >= _MANY_ROWS:
        return
    cost = (
        "this few can reject Gaussian noise where it is far off, and support nothing: a heavy "
        "tail of alpha = 1.8 may not have shown one large value"
        if n_rows < _FEW_ROWS
        else "they can reject, but hardly support: too few sums of many rows to see a limit"
    )
    yield Artefact("few_rows", float(n_rows), f"{n_rows} rows, fewer than {_MANY_ROWS:,}: {cost}.")


def _few_columns(n_columns: int, n_parameters: int | None) -> Iterator[Artefact]:
    """Say what too few columns, or a group of too few parameters, cost."""
    if n_parameters is not None and n_parameters < _FEW_COLUMNS:
        yield Artefact(
            "small_group",
            float(n_parameters),
            f"the group has {n_parameters} parameters, fewer than {_FEW_COLUMNS}: it cannot speak "
            "for a layer, intervals are wide, and its projections are hardly other than its "
            "coordinates. Pool it into a larger group.",
        )
    elif n_columns < _FEW_COLUMNS:
        yield Artefact(
            "few_columns",
            float(n_columns),
            f"{n_columns} columns that vary, fewer than {_FEW_COLUMNS}: a row says little more "
            "than one number, and small departures from Gaussian noise are missed (alpha = 1.8 in "
            "30 % of cases at 100 rows of one column). Keep more columns, or measure more rows.",
        )
