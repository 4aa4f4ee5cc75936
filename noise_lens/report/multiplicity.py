"""Many differences at once: which of them are claimed when all are tested together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noise_lens.inference.rule import LEVEL


def still_claimed(pvalues: Sequence[float], level: float = LEVEL) -> list[bool]:
    """Return which hypotheses Holm's procedure [1]_ rejects, whatever their dependence.

    Parameters
    ----------
    pvalues : sequence of float
        One a hypothesis.
    level : float
        Probability of rejecting any that is true.

    Returns
    -------
    list of bool
        In the order of `pvalues`.

    References
    ----------
    .. [1] S. Holm, Scand. J. Statist. 6(2), 1979.

    Examples
    --------
    >>> still_claimed([0.04, 0.01, 0.03])  # 0.01 <= 0.05 / 3, but 0.03 > 0.05 / 2
    [False, True, False]
    """
    n = len(pvalues)
    order = np.argsort(pvalues)
    kept = [False] * n
    for place, index in enumerate(order):
        if pvalues[index] > level / (n - place):
            break
        kept[index] = True
    return kept
