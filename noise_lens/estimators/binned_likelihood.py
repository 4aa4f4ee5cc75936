"""The likelihood of the stable law on a log-histogram: the arithmetic of `maximum_likelihood`.

Magnitudes are counted in bins relative to a power of two near their geometric mean. The
log-likelihood of any counts at all points of a lattice of (alpha, log sigma) is then one product
with a fixed matrix, whatever the number of samples or columns; its maximum between the lattice
points is found on a local polynomial.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noise_lens.stable import SymmetricStable

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BINS_AN_OCTAVE = 32
"""Resolution of the counts that come in: five bits of the mantissa."""

# Octaves relative to the pilot, and bins an octave: fine where the law has its shape, coarse in
# the flat centre and in the power tail. Below and above them one bin each.
_RESOLUTION = ((-8, -3, 4), (-3, 1, 16), (1, 5, 32), (5, 12, 4), (12, 60, 1))
_ALPHA_STEP = 0.2  # in z = 2 log(alpha) - log(2 - alpha)
_SCALE_STEP = 0.125  # in log sigma
_NEAREST_2 = 1e-5  # closer to 2 than that is 2
_LOWEST_SCALE, _N_SCALES = -1.75, 25
_PATCH = 7  # lattice points a side of the local polynomial
_ROUNDS, _NEWTON_STEPS = 2, 6
_PILOT_MOVES, _PILOT_STEP = 40, 3  # octaves
_CHUNK_COLUMNS = 512
_CHUNK = 262_144
_TINY = 2.0**-500


def fit_magnitudes(columns: NDArray[np.floating[Any]]) -> tuple[Floats, Floats]:
    """Fit each column of samples.

    Parameters
    ----------
    columns : ndarray of shape (n, d)
        Finite samples; zeros are left out.

    Returns
    -------
    alpha, sigma : ndarray of shape (d,)
        The maximum of the likelihood.
    """
    largest = max(columns.max(initial=0), -columns.min(initial=0))
    if largest < _TINY:  # the bits of subnormal numbers do not give their magnitude
        alpha, sigma = fit_magnitudes(columns.astype(np.float64) / _TINY)
        return alpha, sigma * _TINY
    n_rows, n_columns = columns.shape
    found = np.empty((2, n_columns))
    width = max(1, _CHUNK // n_rows)
    for start in range(0, n_columns, width):
        part = columns[:, start : start + width]
        pieces = [part[first : first + _CHUNK] for first in range(0, n_rows, _CHUNK)]
        sums = np.zeros((2, part.shape[1]), dtype=np.int64)
        for piece in pieces:
            bins, zero = magnitude_bins(piece), piece == 0
            bins[zero] = 0
            sums += [bins.sum(axis=0), len(piece) - np.count_nonzero(zero, axis=0)]
        octave = pilot_octave(*sums)
        counts = np.sum([_fit_bin_counts(piece, octave) for piece in pieces], axis=0)
        alpha, log_scale, edge = fit_counts(counts)
        for column in np.flatnonzero(edge):
            bins = np.concatenate([magnitude_bins(p[:, column][p[:, column] != 0]) for p in pieces])
            alpha[column], log_scale[column], octave[column] = _refit(
                *np.unique(bins, return_counts=True), octave[column]
            )
        found[:, start : start + width] = alpha, np.exp(log_scale) * np.exp2(octave)
    return found[0], found[1]


def fit_spectrum(bins: Integers, counts: Integers) -> tuple[Floats, Floats]:
    """Fit one sample that is given by its counts.

    Parameters
    ----------
    bins : ndarray of shape (b,)
        As :func:`magnitude_bins` numbers them.
    counts : ndarray of shape (b,)
        Magnitudes a bin.

    Returns
    -------
    alpha, sigma : ndarray of shape (1,)
        The maximum of the likelihood.
    """
    octave = pilot_octave(counts @ bins, counts.sum())
    alpha, log_scale, moved = _refit(bins, counts, octave)
    return np.array([alpha]), np.array([np.exp(log_scale) * np.exp2(moved)])


def magnitude_bins(samples: NDArray[np.floating[Any]]) -> Integers:
    """Return the bin of each magnitude: 32 an octave by exponent and mantissa, no logarithm.

    Parameters
    ----------
    samples : ndarray
        Finite and not zero.

    Returns
    -------
    ndarray
        Of the shape of `samples`; magnitude 1 is at 0, magnitude 2 at 32.
    """
    wide = np.ascontiguousarray(samples, dtype=np.float64)
    bits = wide.view(np.int64) & np.int64(0x7FFF_FFFF_FFFF_FFFF)
    bits >>= 47
    bits -= 1023 * BINS_AN_OCTAVE
    return bits


def pilot_octave(bin_sum: Integers, n: Integers) -> Integers:
    """Return the octave nearest to the geometric mean magnitude.

    Parameters
    ----------
    bin_sum : ndarray
        Sum of :func:`magnitude_bins`.
    n : ndarray
        How many magnitudes were summed, at least 1.

    Returns
    -------
    ndarray
        Exponents of two.
    """
    return np.asarray(np.rint(bin_sum / (n * BINS_AN_OCTAVE)), dtype=np.int64)


def _fit_bin_counts(piece: NDArray[np.floating[Any]], octave: Integers) -> Integers:
    table, offset = fit_bin_of()
    place = magnitude_bins(piece)
    place += offset - BINS_AN_OCTAVE * octave
    np.clip(place, 0, len(table) - 1, out=place)
    fit_bin = table[place]
    # Zeros go to a bin of their own, behind the others, that is cut off.
    n_bins = n_fit_bins()
    fit_bin[piece == 0] = n_bins
    fit_bin += np.arange(piece.shape[1]) * (n_bins + 1)
    counts = np.bincount(fit_bin.ravel(), minlength=piece.shape[1] * (n_bins + 1))
    return np.asarray(counts.reshape(-1, n_bins + 1)[:, :n_bins])


def _refit(bins: Integers, counts: Integers, octave: Integers) -> tuple[float, float, int]:
    # The geometric mean can be octaves away from the scale of a small or strange sample: move
    # the pilot until the best scale is inside the lattice.
    table, offset = fit_bin_of()
    for _ in range(_PILOT_MOVES):
        place = np.clip(bins - BINS_AN_OCTAVE * octave + offset, 0, len(table) - 1)
        fit_counted = np.bincount(table[place], weights=counts, minlength=n_fit_bins())
        alpha, log_scale, edge = fit_counts(fit_counted[None])
        if not edge[0]:
            break
        octave = octave + (_PILOT_STEP if log_scale[0] > 0 else -_PILOT_STEP)
    return float(alpha[0]), float(log_scale[0]), int(octave)


@cache
def fit_bin_of() -> tuple[Integers, int]:
    """Return the fit bin of each relative magnitude bin, and the offset of that table.

    Returns
    -------
    table : ndarray
        ``table[clip(bin - 32 * pilot + offset, 0, len - 1)]`` is the fit bin.
    offset : int
        Minus the lowest relative bin.
    """
    lowest, highest = _RESOLUTION[0][0], _RESOLUTION[-1][1]
    parts, first = [np.zeros(1, dtype=np.int64)], 1
    for start, stop, per_octave in _RESOLUTION:
        within = np.arange((stop - start) * BINS_AN_OCTAVE) * per_octave // BINS_AN_OCTAVE
        parts.append(first + within)
        first += (stop - start) * per_octave
    parts.append(np.array([first], dtype=np.int64))
    assert len(np.concatenate(parts)) == (highest - lowest) * BINS_AN_OCTAVE + 2
    return np.concatenate(parts), 1 - lowest * BINS_AN_OCTAVE


def n_fit_bins() -> int:
    """Return how many bins a fit takes."""
    return int(fit_bin_of()[0][-1]) + 1


def fit_counts(counts: Integers | Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Maximise the likelihood of binned magnitudes.

    Parameters
    ----------
    counts : ndarray of shape (d, n_fit_bins)
        Magnitudes a bin, relative to each column's pilot.

    Returns
    -------
    alpha : ndarray of shape (d,)
        In [0.4, 2]; closer to 2 than 1e-5 is 2.
    log_sigma : ndarray of shape (d,)
        Logarithm of sigma over the pilot.
    edge : ndarray of shape (d,)
        Columns whose best scale lies at an end of the lattice: another pilot is needed.
    """
    alphas, weights = _lattice()
    found = np.empty((2, len(counts)))
    edge = np.empty(len(counts), dtype=bool)
    for start in range(0, len(counts), _CHUNK_COLUMNS):
        part = slice(start, start + _CHUNK_COLUMNS)
        likelihood = (counts[part].astype(np.float64) @ weights).reshape(-1, len(alphas), _N_SCALES)
        found[:, part], edge[part] = _maximum(likelihood)
    z, scale = found
    alpha = _alpha_of(_z_of(0.4) + z * _ALPHA_STEP)
    alpha[alpha > 2 - _NEAREST_2] = 2.0
    return alpha, _LOWEST_SCALE + scale * _SCALE_STEP, edge


def _z_of(alpha: float) -> float:
    return float(2 * np.log(alpha) - np.log(2 - alpha))


def _alpha_of(z: Floats) -> Floats:
    # The positive root of alpha**2 = exp(z) (2 - alpha), arranged for large z.
    return np.asarray(4 / (1 + np.sqrt(1 + 8 * np.exp(-z))))


@cache
def _lattice() -> tuple[Floats, Floats]:
    """Return the alphas, and log-probabilities of shape (n_fit_bins, n_alphas * n_scales)."""
    z = np.arange(_z_of(0.4), _z_of(2 - _NEAREST_2) + _ALPHA_STEP, _ALPHA_STEP)
    alphas = _alpha_of(z)
    log_edges = np.log(2) * np.concatenate(
        [
            start + np.repeat(np.arange(stop - start), per_octave)
            + np.log2(1 + np.tile(np.arange(per_octave) / per_octave, stop - start))
            for start, stop, per_octave in _RESOLUTION
        ]
        + [np.array([_RESOLUTION[-1][1]])]
    )  # fmt: skip
    scales = _LOWEST_SCALE + _SCALE_STEP * np.arange(_N_SCALES)
    relative = np.exp(log_edges[:, None] - scales)
    columns = []
    for alpha in alphas:
        beyond = 2 * SymmetricStable(float(np.clip(alpha, 0.4, 2 - _NEAREST_2))).sf(relative)
        inside = np.concatenate([1 - beyond[:1], beyond[:-1] - beyond[1:], beyond[-1:]])
        columns.append(np.log(inside))
    return alphas, np.stack(columns, axis=1).reshape(n_fit_bins(), -1)


@cache
def _polynomial() -> Floats:
    # Values at the patch's points to coefficients of powers.
    points = np.arange(_PATCH) - _PATCH // 2
    return np.asarray(np.linalg.inv(np.vander(points.astype(float), increasing=True)))


def _maximum(likelihood: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the place of each maximum in lattice steps, and whether it is at an end of scale."""
    d, n_alphas, n_scales = likelihood.shape
    columns = np.arange(d)
    place, edge = _highest_point(likelihood)
    half = _PATCH // 2
    around = np.arange(-half, half + 1)
    limit = np.array([[half, n_alphas - 1 - half], [half, n_scales - 1 - half]])
    for _ in range(_ROUNDS):
        middle = np.clip(np.rint(place).astype(np.int64), limit[:, :1], limit[:, 1:])
        patch = likelihood[
            columns[:, None, None],
            (middle[0][:, None] + around)[:, :, None],
            (middle[1][:, None] + around)[:, None, :],
        ]
        patch -= patch.max(axis=(1, 2), keepdims=True)
        coefficients = _polynomial() @ patch @ _polynomial().T
        place -= middle
        for _ in range(_NEWTON_STEPS):
            place = np.clip(place + _newton_step(coefficients, place), -half, half)
        place += middle
    return place, edge


def _highest_point(likelihood: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    # The ridge is narrow and crosses the lattice: compare alphas by a parabola through the best
    # scale of each, not by lattice points.
    n_scales = likelihood.shape[2]
    scale = likelihood.argmax(axis=2)
    inner = np.clip(scale, 1, n_scales - 2)[..., None]
    left, here, right = (
        np.take_along_axis(likelihood, inner + move, axis=2)[..., 0] for move in (-1, 0, 1)
    )
    bend = np.minimum(left - 2 * here + right, -1e-300)
    at_end = (scale == 0) | (scale == n_scales - 1)
    profile = np.where(at_end, likelihood.max(axis=2), here - (right - left) ** 2 / (8 * bend))
    z = profile.argmax(axis=1)
    columns = np.arange(len(z))
    return np.stack([z, scale[columns, z]]).astype(np.float64), at_end[columns, z]


def _newton_step(coefficients: Floats, place: Floats) -> Floats:
    powers = np.arange(_PATCH, dtype=np.float64)
    # Powers of both coordinates with their first and second derivatives, shape (2, d, 7, 3).
    basis = place[:, :, None] ** powers
    slope = np.pad(basis[..., :-1], ((0, 0), (0, 0), (1, 0))) * powers
    bend = np.pad(basis[..., :-2], ((0, 0), (0, 0), (2, 0))) * powers * (powers - 1)
    bases = np.stack([basis, slope, bend], axis=-1)
    derivatives = bases[0].transpose(0, 2, 1) @ (coefficients @ bases[1])
    slope_z, bend_z = derivatives[:, 1, 0], derivatives[:, 2, 0]
    slope_scale, bend_scale = derivatives[:, 0, 1], derivatives[:, 0, 2]
    twist = derivatives[:, 1, 1]
    determinant = bend_z * bend_scale - twist**2
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.stack(
            [
                (twist * slope_scale - bend_scale * slope_z) / determinant,
                (twist * slope_z - bend_z * slope_scale) / determinant,
            ]
        )
        # Where the surface is no hill, climb in z and stay on the ridge in scale.
        climb_z = np.where(bend_z < 0, -slope_z / bend_z, 0.25 * np.sign(slope_z))
        climb = np.stack([climb_z, -slope_scale / bend_scale])
    step = np.where((determinant > 0) & (bend_z < 0), step, climb)
    return np.asarray(np.clip(np.nan_to_num(step), -0.7, 0.7))
