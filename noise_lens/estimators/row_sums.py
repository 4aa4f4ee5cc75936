"""The stable law fitted to sums over rows: what a stream keeps in place of its samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noise_lens.errors import NotEnoughDataError, SamplesError
from noise_lens.estimators.estimate import TailIndexEstimate, resolution
from noise_lens.estimators.stable_fit import (
    FREQUENCIES,
    SMALLEST_ALPHA,
    deviations,
    fit_stable,
    fit_weights,
)

ROW, USED, N, N_ZERO, DEFECTS = range(5)
"""What is kept of a row: 1, whether it has non-zero entries, how many, how many zeros, and from
`DEFECTS` on the sums of 1 - cos(t x) at `FREQUENCIES`."""

WIDTH = DEFECTS + len(FREQUENCIES)
MINIMUM_ROWS = 20

_METHOD = "characteristic_function"
_SAME = 1e-13  # relative: squares that differ by less have nothing but rounding between them
_ITERATIONS = 6
_UNIT_MATTERS, _FARTHEST_UNIT = 0.4, 4.0  # beyond it the eleven frequencies miss the law
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(7)


def characteristic_function_from_row_sums(
    sums: NDArray[np.float64], *, n_scales: int = 1, n_pilot: int | None = None, unit: float = 1.0
) -> TailIndexEstimate:
    """Estimate from sums over rows that are independent, whatever is inside a row.

    Parameters
    ----------
    sums : ndarray of shape (15, 15)
        Sum over rows of ``u u'``, where u is what is kept of a row.
    n_scales : int
        Coordinates with a unit of their own.
    n_pilot : int or None
        Rows that the units were estimated from; None takes them for exact.
    unit : float
        What `sigma` is multiplied with.

    Returns
    -------
    TailIndexEstimate
        As :func:`noise_lens.characteristic_function`, with an error clustered by row.

    Raises
    ------
    SamplesError
        The sums hold NaN or inf, the rows are all alike, or the unit was far off.
    NotEnoughDataError
        Fewer than 20 rows have non-zero entries.
    """
    used, n, n_zero = sums[ROW, [USED, N, N_ZERO]].tolist()
    if not np.isfinite(sums).all():
        raise SamplesError(
            f"{_METHOD} needs finite samples, got NaN or inf among {n:.0f} non-zero ones. "
            "Find the step that overflowed; sums cannot be mended afterwards."
        )
    if used < MINIMUM_ROWS:
        raise NotEnoughDataError(f"{_METHOD} by rows", n=int(used), needed=MINIMUM_ROWS)
    defect = sums[ROW, DEFECTS:] / n
    covariance = _ratio_covariance(sums, defect)
    corrected = defect
    if n_pilot is not None:
        # What the units' errors have in common goes into sigma: their spread is over d - 1.
        corrected = _sharpened(defect, (n_scales - 1) / n_scales / n_pilot)
    alpha, sigma = _fit(corrected)
    near = 1 / _FARTHEST_UNIT <= sigma <= _FARTHEST_UNIT
    # Below .4 the geometric mean itself is that far off. NaN, no fit at all, is refused too.
    if not near and not alpha < _UNIT_MATTERS:
        raise SamplesError(
            f"{_METHOD} needs a unit within a factor {_FARTHEST_UNIT:g} of the noise's scale, got "
            f"one that the noise is {sigma:.2g} times of. Take the geometric mean of a pilot's "
            "non-zero magnitudes as scale, and stream again."
        )
    weights = fit_weights(alpha, float(np.log(sigma)))
    # The shift is as large as the variance of these units' errors, which is one of d - 1 squares.
    of_units = (_fit(defect)[0] - alpha) ** 2 * 2 / max(n_scales - 1, 1)
    error = float(np.sqrt(weights @ covariance @ weights + of_units))
    closest = float(resolution(deviations(), int(used)))
    if alpha > 2 - closest:
        error = max(error, closest)
    elif alpha <= SMALLEST_ALPHA:
        error = alpha  # the fit stopped there: heavier is not excluded
    return TailIndexEstimate(
        alpha=min(alpha, 2.0),
        standard_error=error,
        n=int(n),
        method=_METHOD,
        sigma=sigma * unit,
        n_zero=int(n_zero),
        degrees_of_freedom=used - 1,
        upper=2.0,
    )


def _ratio_covariance(
    sums: NDArray[np.float64], defect: NDArray[np.float64]
) -> NDArray[np.float64]:
    # Of (sum of a row's sums) / (sum of its counts), shape (11, 11): the sum over rows of e e',
    # where e is how far a row's sums are from its count times that ratio.
    used, n = sums[ROW, USED], sums[ROW, N]
    crossed = np.outer(defect, sums[N, DEFECTS:])
    squares = sums[DEFECTS:, DEFECTS:]
    apart = squares - crossed - crossed.T + sums[N, N] * np.outer(defect, defect)
    if np.all(np.diag(apart) <= _SAME * np.diag(squares)):
        raise SamplesError(
            f"{_METHOD} needs rows that vary, got {used:.0f} alike. "
            "Look for one minibatch drawn again and again, or for signs."
        )
    return np.asarray(apart * used / (used - 1) / n**2)


def _sharpened(defect: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    # Units that err by exp(w z), z normal, blur the characteristic function: what they add to
    # the fitted law's defects is taken from the sample's, and the law fitted again. w**2 is
    # `share` of the variance of log|x|.
    corrected = defect
    for _ in range(_ITERATIONS):
        alpha, sigma = _fit(corrected)
        variance = np.pi**2 / 6 * (1 / min(alpha, 2.0) ** 2 + 0.5)
        stretch = np.exp(alpha * np.sqrt(variance * share) * _NODES)
        exponent = (sigma * FREQUENCIES) ** alpha
        blurred = -np.expm1(-exponent[:, None] * stretch) @ _WEIGHTS / _WEIGHTS.sum()
        corrected = defect - np.expm1(-exponent) - blurred
    return corrected


def _fit(defect: NDArray[np.float64]) -> tuple[float, float]:
    alpha, sigma, _ = fit_stable(defect[:, None])
    return float(alpha[0]), float(sigma[0])
