"""What in a sample would fool a reader: named warnings with numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

_SIGN_ERRORS = 4.0  # one false alarm in 16,000 columns


def sample_warnings(samples: ArrayLike) -> list[str]:
    """Return what in centred, continuous noise should not be there.

    Parameters
    ----------
    samples : array_like, shape (n,) or (n, d)
        Finite samples that an estimator took.

    Returns
    -------
    list of str
        One sentence each: columns whose signs are unbalanced (a sign test at four standard
        errors), and exact zeros.
    """
    array = np.asarray(samples)
    columns = array.reshape(len(array), -1)
    positive = np.count_nonzero(columns > 0, axis=0)
    n = np.maximum(positive + np.count_nonzero(columns < 0, axis=0), 1)
    off = np.abs(2 * positive - n) > _SIGN_ERRORS * np.sqrt(n)
    found = []
    if off.any():
        found.append(
            f"{off.sum()} of {columns.shape[1]} columns are not centred "
            f"({100 * positive.sum() / n.sum():.0f} % of the values are positive): subtract the "
            "exact mean gradient, or take differences of disjoint pairs. A location that is left "
            "in reads as light (characteristic_function) or heavy (mohammadi)."
        )
    n_zero = columns.size - np.count_nonzero(columns)
    if n_zero:
        share = 100 * n_zero / columns.size
        found.append(f"{share:.1f} % of the values are exactly 0 and were dropped.")
    return found
