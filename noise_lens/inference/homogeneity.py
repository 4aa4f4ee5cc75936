"""Whether all coordinates have one shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from noise_lens.estimators.stable_fit import cosine_defects, deviations, fit_stable

_HEAVIEST, _LIGHTEST = 0.5, 1.9  # beyond, the error of one column is that at the end


@dataclass(frozen=True)
class Homogeneity:
    """How the indices of single coordinates spread.

    Attributes
    ----------
    spread : float
        Standard deviation of the indices beyond what their errors explain.
    pvalue : float
        That such a spread is chance, were all coordinates of one stable law.
    n_columns : int
        Coordinates that were compared.
    """

    spread: float
    pvalue: float
    n_columns: int


def homogeneity(rows: NDArray[np.float64]) -> Homogeneity:
    """Compare the stable indices that single coordinates read.

    Under one stable law every coordinate reads the same index up to its error, and coordinates
    of one radius stray together, which makes their spread smaller. Coordinates of different
    shapes can keep a pooled estimate flat by accident while none of them is stable.

    Parameters
    ----------
    rows : ndarray of shape (M, d)
        Noise; zeros count, as in the aggregation curve.

    Returns
    -------
    Homogeneity
        With p = 1 and no spread for fewer than two usable columns.
    """
    n = np.count_nonzero(rows, axis=0)
    columns = rows[:, n > len(rows) // 10]
    if columns.shape[1] < 2:
        return Homogeneity(0.0, 1.0, columns.shape[1])
    values = np.where(columns == 0, np.nan, np.abs(columns))
    medians = np.nanmedian(values, axis=0)
    alphas = fit_stable(cosine_defects(columns, medians) / len(columns))[0]
    expected = np.interp(np.clip(np.median(alphas), _HEAVIEST, _LIGHTEST), *deviations())
    variance = expected**2 / len(columns)
    seen = float(alphas.var(ddof=1))
    degrees = len(alphas) - 1
    return Homogeneity(
        spread=float(np.sqrt(max(0.0, seen - variance))),
        pvalue=float(special.chdtrc(degrees, degrees * seen / variance)),
        n_columns=len(alphas),
    )
