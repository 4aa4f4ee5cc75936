"""The ratio of two paired means, with Fieller's interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from noise_lens.contrasts.pairing import CLAIM_PAIRS, complete, mean_over_seeds


@dataclass(frozen=True)
class Ratio:
    """The ratio of two means over the same seeds.

    Attributes
    ----------
    value : float
        Mean over mean; NaN where it is withheld.
    low, high : float
        95 % interval of Fieller, not symmetric about `value`; NaN where it is withheld.
    n : int
        Seeds that have both.
    n_dropped : int
        Seeds left out because a value is missing or not finite.
    reason : str or None
        Why nothing is claimed: with fewer than 5 seeds the interval is there, without a
        denominator that differs from 0 nothing is.
    """

    value: float
    low: float
    high: float
    n: int
    n_dropped: int
    reason: str | None


def ratio_of_means(
    numerator: ArrayLike, denominator: ArrayLike, *, name: str = "the denominator"
) -> Ratio:
    """Return the ratio of two paired means, with Fieller's interval [1]_.

    A ratio r is in the interval where the mean of ``numerator - r * denominator`` over seeds is
    not told from 0 by Student's t. For values that are jointly Gaussian this covers the ratio of
    the expected means in exactly 95 % of samples, however the two depend on each other. Where the
    denominator's own interval includes 0, that set of ratios is unbounded: nothing is returned.

    Parameters
    ----------
    numerator, denominator : array_like of shape (n_seeds,)
        Values of each seed, in the same order. Pairs that are not both finite are left out.
    name : str
        What the denominator is called in a reason.

    Returns
    -------
    Ratio
        Withheld where the denominator is not told from 0; without an interval where numerator
        and denominator are proportional in all seeds.

    Raises
    ------
    ValueError
        The two are not of the same length.

    References
    ----------
    .. [1] E. C. Fieller, J. R. Stat. Soc. B 16(2), 1954. doi:10.1111/j.2517-6161.1954.tb00159.x

    Examples
    --------
    >>> ratio_of_means([1.0, 2.0], [-1.0, 1.5]).reason
    'the denominator is not told from 0: its interval is -15.6 to 16.1'
    >>> ratio_of_means([1.0, 2.0, 2.0], [2.0, 4.0, 4.0]).value
    0.5
    """
    if np.size(numerator) != np.size(denominator):
        raise ValueError(
            f"a ratio needs as many numerators as denominators, got {np.size(numerator)} and "
            f"{np.size(denominator)}"
        )
    both, n_dropped = complete(numerator, denominator)
    n = both.shape[1]
    under = mean_over_seeds(both[1])
    nan = float("nan")
    if not (under.low > 0 or under.high < 0):
        why = under.reason or f"its interval is {under.low:.3g} to {under.high:.3g}"
        reason = f"{name} is not told from 0: {why}"
        return Ratio(nan, nan, nan, n, n_dropped, reason)
    y, x = both.mean(axis=1)
    # Roots of (y - r x)^2 = t^2 (s_yy - 2 r s_xy + r^2 s_xx) / n; x is told from 0, so a > 0.
    (s_yy, s_xy), (_, s_xx) = np.cov(both) * special.stdtrit(n - 1, 0.975) ** 2 / n
    a, b, c = x * x - s_xx, x * y - s_xy, y * y - s_yy
    reach = np.sqrt(max(b * b - a * c, 0.0)) / a
    value, low, high = float(y / x), float(b / a - reach), float(b / a + reach)
    if np.ptp(both[0] - value * both[1]) <= 1e-12 * np.abs(both).max():
        # Both read an upper limit, say: a width of 0 is not the error of that.
        reason = f"numerator and denominator are proportional in all {n} seeds: no spread"
        return Ratio(value, nan, nan, n, n_dropped, reason)
    short = None if n >= CLAIM_PAIRS else f"{n} seeds: a claim needs {CLAIM_PAIRS}"
    return Ratio(value, low, high, n, n_dropped, short)
