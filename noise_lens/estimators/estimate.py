"""What every estimator returns: the number, its error, and what its interval needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

_ATOM = 2.2 / 1.96  # the chance of an estimate of exactly 2 is then 2 to 3 %, for a level of 95 %
_SKEW = 1.05  # close to 2 estimates reach farther down than a normal law does

Scalars = float | NDArray[np.float64]
Counts = int | NDArray[np.int64]


class ConfidenceInterval(NamedTuple):
    """Two ends of an interval; arrays of shape (d,) for column-wise estimates."""

    low: Any
    high: Any


@dataclass(frozen=True)
class TailIndexEstimate:
    """A tail index with its error; arrays of shape (d,) where the sample was (n, d).

    Attributes
    ----------
    alpha : float or ndarray
        The tail index, P(abs(X) > x) ~ x**-alpha; the stability index under a stable law.
        NaN for a column that could not be estimated; `reasons` says why.
    standard_error : float or ndarray
        Standard error of `alpha`.
    n : int or ndarray
        Non-zero samples used.
    method : str
        The estimator's name.
    sigma : float or ndarray or None
        Scale of the stable law, E exp(itX) = exp(-abs(sigma t)**alpha): at alpha = 2 that is
        N(0, 2 sigma**2). None where the method has no scale.
    n_zero : int or ndarray
        Exact zeros that were counted and dropped.
    pivot : {"normal", "reciprocal", "gamma", "score"}
        What the interval is built on: `alpha`; `reciprocal`; the exact Gamma pivot of Hill; or
        (estimate - alpha) over the error that the estimator would have at that `alpha`.
    degrees_of_freedom : float or ndarray
        Of Student's t for "normal" and "reciprocal" (inf: normal); the shape for "gamma".
    reciprocal, reciprocal_error : float or ndarray or None
        For "reciprocal": the estimate of ``alpha**-power`` and its standard error. Where it is
        not positive, `alpha` is inf: the sample shows no power tail.
    power : int
        1 where 1/`alpha` is what a method averages, 2 where it is 1/`alpha`**2.
    deviations : tuple of ndarray or None
        For "score": a grid of alpha, and the error times sqrt(n) at each.
    uncut : float or ndarray or None
        For "score": the estimate before it was cut at `upper`, where the method has one.
    upper : float
        The largest value that the model allows: 2 for stable laws. Intervals are cut there.
    reasons : mapping of int to str
        Column number -> why its `alpha` is NaN.
    """

    alpha: Scalars
    standard_error: Scalars
    n: Counts
    method: str
    sigma: Scalars | None = None
    n_zero: Counts = 0
    pivot: Literal["normal", "reciprocal", "gamma", "score"] = "normal"
    degrees_of_freedom: Scalars = np.inf
    reciprocal: Scalars | None = None
    reciprocal_error: Scalars | None = None
    power: int = 1
    deviations: tuple[NDArray[np.float64], NDArray[np.float64]] | None = field(
        default=None, repr=False
    )
    uncut: Scalars | None = None
    upper: float = np.inf
    reasons: Mapping[int, str] = field(default_factory=dict)

    def confidence_interval(self, confidence_level: float = 0.95) -> ConfidenceInterval:
        """Return the two-sided interval for `alpha`.

        Parameters
        ----------
        confidence_level : float
            Between 0 and 1, both excluded.

        Returns
        -------
        ConfidenceInterval
            ``low`` and ``high``; ``high`` may be inf (nothing rules out a light tail).

        Raises
        ------
        ValueError
            `confidence_level` is not between 0 and 1.
        """
        if not 0 < confidence_level < 1:
            raise ValueError(
                f"confidence_level must lie between 0 and 1, got {confidence_level}. "
                "For 95 % pass 0.95."
            )
        alpha = np.asarray(self.alpha, dtype=np.float64)
        error = np.asarray(self.standard_error, dtype=np.float64)
        if self.pivot == "gamma":
            shape = np.asarray(self.degrees_of_freedom, dtype=np.float64)
            low = alpha * special.gammaincinv(shape, (1 - confidence_level) / 2) / shape
            high = alpha * special.gammaincinv(shape, (1 + confidence_level) / 2) / shape
        elif self.pivot == "score" and self.deviations is not None:
            normal = float(special.ndtri((1 + confidence_level) / 2))
            # A column without samples has no interval; 1 keeps it out of a division by 0.
            n = np.maximum(np.asarray(self.n), 1)
            centre = alpha if self.uncut is None else np.asarray(self.uncut, dtype=np.float64)
            one_sided = None
            if self.uncut is None:
                one_sided = _SKEW * float(special.ndtri(confidence_level))
            low, high = _score_ends(centre, n, self.deviations, normal, one_sided)
            # Below the grid the error hardly changes: the normal interval is right. An interval
            # that reaches the end of the grid says nothing about what lies beyond.
            lowest = self.deviations[0][0]
            low = np.where(alpha < lowest, alpha - normal * error, np.where(low <= lowest, 0, low))
            high = np.where(alpha < lowest, np.fmax(high, alpha + normal * error), high)
        else:
            reach = _student_quantile(self.degrees_of_freedom, (1 + confidence_level) / 2)
            low, high = self._symmetric_ends(alpha, error, reach)
        low, high = np.clip(low, 0, self.upper), np.clip(high, 0, self.upper)
        if alpha.ndim == 0:
            return ConfidenceInterval(float(low), float(high))
        return ConfidenceInterval(low, high)

    def _symmetric_ends(
        self, alpha: NDArray[np.float64], error: NDArray[np.float64], reach: Scalars
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self.pivot == "normal" or self.reciprocal is None or self.reciprocal_error is None:
            return alpha - reach * error, alpha + reach * error
        # A negative power of alpha is near normal where alpha is not.
        spread = reach * np.asarray(self.reciprocal_error)
        low, high = (
            from_reciprocal(self.reciprocal + side * spread, self.power) for side in (1, -1)
        )
        return low, high


def from_reciprocal(reciprocal: Scalars, power: int = 1) -> NDArray[np.float64]:
    """Return the tail index of an ``alpha**-power``: inf where that is not positive.

    Parameters
    ----------
    reciprocal : float or ndarray
        Estimate of ``alpha**-power``; NaN stays NaN.
    power : int
        1 or 2.

    Returns
    -------
    ndarray
        Of the shape of `reciprocal`.
    """
    estimate = np.asarray(reciprocal, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(estimate <= 0, np.inf, np.abs(estimate) ** (-1 / power)))


def assembled(*, scalar: bool, **fields: Any) -> TailIndexEstimate:
    """Return an estimate from arrays of shape (d,), as scalars where the sample was one column.

    Parameters
    ----------
    scalar : bool
        Whether the sample had shape (n,): arrays of length 1 become numbers.
    **fields : Any
        Of :class:`TailIndexEstimate`.

    Returns
    -------
    TailIndexEstimate
        With `standard_error` from the reciprocal where it is not given.
    """
    if fields.get("pivot") == "reciprocal" and "standard_error" not in fields:
        power = fields.get("power", 1)
        alpha = np.asarray(fields["alpha"], dtype=np.float64)
        # d alpha = alpha**(1 + power) / power times the error of alpha**-power.
        with np.errstate(invalid="ignore"):
            fields["standard_error"] = fields["reciprocal_error"] * alpha ** (1 + power) / power
    if scalar:
        del fields["reasons"]
        for name, value in fields.items():
            if isinstance(value, np.ndarray):
                fields[name] = value[0].item()
    return TailIndexEstimate(**fields)


def resolution(
    deviations: tuple[NDArray[np.float64], NDArray[np.float64]], n: Counts
) -> NDArray[np.float64]:
    """Return how close to the end of its range a tail index can be told from that end.

    It is the distance at which alpha is one error away from the largest alpha of the grid.

    Parameters
    ----------
    deviations : tuple of ndarray
        A grid of alpha, and the error times sqrt(n) at each.
    n : int or ndarray
        Sample sizes.

    Returns
    -------
    ndarray
        Of the shape of `n`.
    """
    grid, deviation = deviations
    distance = grid[-1] - grid
    sizes, place = np.unique(np.asarray(n), return_inverse=True)
    told = distance > deviation / np.sqrt(sizes)[:, None]
    return np.asarray(np.where(told, distance, distance[0]).min(axis=-1)[place])


def error_at(
    alpha: NDArray[np.float64],
    deviations: tuple[NDArray[np.float64], NDArray[np.float64]],
    n: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the standard error of an estimate, close to 2 what can be told from 2.

    Parameters
    ----------
    alpha : ndarray of shape (d,)
        Estimates; NaN stays NaN.
    deviations : tuple of ndarray
        A grid of alpha, and the error times sqrt(n) at each.
    n : ndarray of shape (d,)
        Samples behind each; 0 counts as 1.

    Returns
    -------
    ndarray of shape (d,)
        In the unit of alpha.
    """
    used = np.maximum(n, 1)
    closest = resolution(deviations, used)
    at_estimate = np.interp(alpha, *deviations) / np.sqrt(used)
    return np.asarray(np.where(alpha > 2 - closest, closest, at_estimate))


def _score_ends(
    alpha: NDArray[np.float64],
    n: NDArray[np.int64],
    deviations: tuple[NDArray[np.float64], NDArray[np.float64]],
    reach: float,
    one_sided: float | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # The ends of the set of values that the estimate is within `reach` errors of. Close to
    # alpha = 2 the error shrinks to nothing, so an interval from the error at the estimate is
    # too short; the error at the value that is tried is not. An estimate that is cut at 2 is 2
    # too often for two-sided limits where that is fewer than 2.2 errors away (`_ATOM`, from
    # simulation): those values are tried from below alone, at `one_sided` errors. See
    # docs/decisions/0011 for the simulation.
    grid, deviation = deviations
    low, high = np.empty(alpha.shape), np.empty(alpha.shape)
    for size in np.unique(n):
        columns = np.broadcast_to(n == size, alpha.shape)
        closest = float(resolution(deviations, int(size)))
        error = np.where(grid > grid[-1] - closest, closest, deviation / np.sqrt(size))
        above, below = grid + reach * error, grid - reach * error
        if one_sided is not None:
            near = grid[-1] - grid <= _ATOM * reach * error
            above = np.where(near, np.inf, above)
            below = np.where(near, grid - one_sided * error, below)
        highest = np.maximum.accumulate(above)
        lowest = np.minimum.accumulate(below[::-1])[::-1]
        first = np.searchsorted(highest, alpha[columns])
        last = np.searchsorted(lowest, alpha[columns], side="right") - 1
        found = np.append(grid, grid[-1])[first]
        # Of an estimate beyond the end, what cannot be told from the end is always left.
        beyond = alpha[columns] > grid[-1]
        found[beyond] = np.minimum(found[beyond], grid[-1] - closest)
        low[columns] = np.minimum(found, alpha[columns])
        high[columns] = np.maximum(grid[np.maximum(last, 0)], alpha[columns])
    return np.where(np.isnan(alpha), np.nan, low), np.where(np.isnan(alpha), np.nan, high)


def _student_quantile(degrees_of_freedom: Scalars, probability: float) -> Scalars:
    degrees = np.asarray(degrees_of_freedom, dtype=np.float64)
    normal = special.ndtri(probability)
    finite = np.where(np.isinf(degrees), 1.0, degrees)
    return np.asarray(np.where(np.isinf(degrees), normal, special.stdtrit(finite, probability)))
