"""The delete-a-group jackknife over minibatches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

N_GROUPS = 20


def group_labels(n_rows: int) -> NDArray[np.int64]:
    """Return the jackknife group of each row: 20 contiguous groups, fewer below 40 rows.

    Parameters
    ----------
    n_rows : int
        Rows there are.

    Returns
    -------
    ndarray of shape (n_rows,)
        Values 0 to g - 1.
    """
    n_groups = min(N_GROUPS, n_rows // 2)
    return np.arange(n_rows) * n_groups // n_rows


def jackknife_error(leave_out: NDArray[np.float64]) -> float:
    """Return the delete-a-group jackknife error of a statistic.

    Parameters
    ----------
    leave_out : ndarray of shape (g,)
        The statistic without each group.

    Returns
    -------
    float
        ``sqrt((g - 1) / g * sum((x - mean x)**2))``.
    """
    n_groups = len(leave_out)
    return float(np.sqrt((n_groups - 1) * np.var(leave_out)))
