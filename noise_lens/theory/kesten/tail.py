"""The tail of a stationary law of SGD: an index, or that there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

INFINITE_VARIANCE = "infinite variance"
HEAVY = "heavy"
LIGHT = "light"
NO_STATIONARY_LAW = "no stationary law"
UNDECIDED = "undecided"
BEYOND_MEASURE = "beyond measure"
DEGENERATE = "degenerate"

LARGEST_INDEX = 1000.0
"""A tail index beyond this is not computed: no sample could tell it from a light tail."""

_REMEDIES = {
    NO_STATIONARY_LAW: "Take a smaller step size, or read .regime first.",
    UNDECIDED: "Take more particles and steps, or read .regime first.",
    DEGENERATE: "Read .regime first.",
    BEYOND_MEASURE: "Take more particles, or read .regime first.",
}


@dataclass(frozen=True, eq=False, repr=False)
class KestenTail(NDArrayOperatorsMixin):
    """The tail index of the stationary iterates of SGD, one cell or an array of them.

    In arithmetic, comparisons and NumPy's functions it is its ``alpha``: ``tail < 2``,
    ``abs(tail - 1.5)``, ``np.asarray(tail)``. A single cell without a stationary law has no number
    to be, and raises. In an array such a cell is nan, of which every comparison but ``!=`` is
    False: select by ``regime``. An array has a length, and ``tail[i]`` is the tail of its cells.

    Attributes
    ----------
    alpha : float or ndarray
        Stationary iterates have P(norm > x) ~ x^-alpha. inf where the regime is "light"; where
        there is no number, nan, and the regime says why.
    lyapunov_exponent : float or ndarray
        Growth of the logarithm of a distance a step; a stationary law exists where it is negative.
    regime : str or ndarray of str
        "infinite variance", alpha below 2; "heavy", a finite alpha of at least 2; "light", no
        step ever expands, or alpha is beyond `LARGEST_INDEX`; "no stationary law", iterates
        diverge. By Monte Carlo also "beyond measure", alpha is above `seen` and too large for the
        population, and "undecided", the exponent is within two of its errors of 0; of a
        data set fitted exactly "degenerate", the law is a point.
    standard_error : float or ndarray, optional
        Monte-Carlo error of alpha; None by quadrature, and where alpha is no finite number.
    seen : float
        The largest moment that could be computed.
    """

    alpha: float | NDArray[np.float64]
    lyapunov_exponent: float | NDArray[np.float64]
    regime: str | NDArray[np.str_]
    standard_error: float | NDArray[np.float64] | None = None
    seen: float = LARGEST_INDEX

    def __float__(self) -> float:
        """Return alpha of a single cell."""
        self._one("a number, its rounding or format")
        self._number()
        return float(self.alpha)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        self._number()
        return np.array(self.alpha, dtype=dtype or np.float64)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        plain = [np.asarray(x) if isinstance(x, KestenTail) else x for x in inputs]
        return getattr(ufunc, method)(*plain, **kwargs)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array of cells; () of a single one."""
        return np.shape(self.alpha)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a single cell has no length: only an array of cells has")
        return self.shape[0]

    def __getitem__(self, key: Any) -> KestenTail:
        """Return the tail of these cells."""
        if not self.shape:
            raise TypeError("a single cell is not indexed: only an array of cells is")
        alpha, rho = np.asarray(self.alpha)[key], np.asarray(self.lyapunov_exponent)[key]
        regime = np.asarray(self.regime)[key]
        error = None if self.standard_error is None else np.asarray(self.standard_error)[key]
        if np.ndim(alpha) == 0:
            alpha, rho, regime = float(alpha), float(rho), str(regime)
            error = None if error is None else float(error)
        return KestenTail(alpha, rho, regime, error, self.seen)

    def __round__(self, digits: int | None = None) -> float:
        return round(float(self), digits)

    def __format__(self, spec: str) -> str:
        return format(float(self), spec) if spec else str(self)

    def __repr__(self) -> str:
        error = "" if self.standard_error is None else f", standard_error={self.standard_error!r}"
        return (
            f"KestenTail(alpha={self.alpha!r}, lyapunov_exponent={self.lyapunov_exponent!r}, "
            f"regime={self.regime!r}{error})"
        )

    def __str__(self) -> str:
        """Say in one sentence what the tail is."""
        if np.ndim(self.alpha):
            names, counts = np.unique(self.regime, return_counts=True)
            each = ", ".join(f"{n} {name}" for name, n in zip(names, counts, strict=True))
            return f"{np.size(self.alpha)} cells: {each}"
        rate = f"Lyapunov exponent {self.lyapunov_exponent:.4g} a step"
        match self.regime:
            case "no stationary law":
                return f"no stationary law: iterates diverge, {rate}"
            case "undecided":
                return f"undecided whether a stationary law exists: {rate}, within its error of 0"
            case "degenerate":
                return f"degenerate: no noise at the solution, so the law is a point, {rate}"
            case "beyond measure":
                return f"tail index beyond measure, above {self.seen:.3g}, {rate}"
            case "light" if self.seen < LARGEST_INDEX:
                return f"light tail: no minibatch ever expands, {rate}"
            case "light":
                return f"light tail: no finite tail index up to {LARGEST_INDEX:g}, {rate}"
        variance = "infinite" if self.regime == INFINITE_VARIANCE else "finite"
        error = "" if self.standard_error is None else f" ± {self.standard_error:.2g}"
        return f"tail index {self.alpha:.4g}{error}, {variance} variance, {rate}"

    def _one(self, doing: str) -> None:
        if self.shape:
            raise TypeError(
                f"{doing} is of one cell, and this is an array of shape {self.shape}: take a cell, "
                "tail[i], or the array, tail.alpha"
            )

    def _number(self) -> None:
        if np.ndim(self.alpha) or str(self.regime) not in _REMEDIES:
            return
        raise ValueError(f"a tail index was asked for: {self}. {_REMEDIES[str(self.regime)]}")


def regime_of(alpha: float, lyapunov_exponent: float) -> str:
    """Name the regime of a cell whose alpha is inf where it is too large to be looked for."""
    if not lyapunov_exponent < 0:
        return NO_STATIONARY_LAW
    if alpha == math.inf:
        return LIGHT
    # At the critical step size alpha is 2 up to rounding, and counts as 2.
    return INFINITE_VARIANCE if alpha < 2 - 1e-9 else HEAVY


def without_noise(tail: KestenTail) -> KestenTail:
    """Return the tail where no minibatch moves the solution: a point, if anything is stationary."""
    if tail.regime in (NO_STATIONARY_LAW, UNDECIDED):
        return tail
    return replace(tail, alpha=math.nan, regime=DEGENERATE, standard_error=None)
