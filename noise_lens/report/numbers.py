"""Numbers as a report prints them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from noise_lens.inference.seeds import OverSeeds

MISSING = "–"


def number(value: float | None, digits: int = 2) -> str:
    """Return a number with so many decimals; small ones with an exponent.

    Parameters
    ----------
    value : float or None
        None and NaN are missing.
    digits : int
        Decimals.

    Returns
    -------
    str
        Never "nan".
    """
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞"
    if value != 0 and abs(value) < 10.0**-digits:
        return f"{value:.1e}"
    return f"{value:.{digits}f}"


def short(value: float | None) -> str:
    """Return a number of any size in two or three digits.

    Parameters
    ----------
    value : float or None
        As for :func:`number`.

    Returns
    -------
    str
        Such as "1,230", "54" or "0.0031".
    """
    if value is None or not math.isfinite(value) or value == 0 or abs(value) >= 1e6:
        return number(value, 0) if value is None or abs(value) < 1e6 else f"{value:.1e}"
    if abs(value) >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.2g}" if abs(value) >= 1e-3 else f"{value:.1e}"


def share(value: float | None) -> str:
    """Return a share as a percentage.

    Parameters
    ----------
    value : float or None
        In [0, 1].

    Returns
    -------
    str
        With one decimal.
    """
    return number(None if value is None else 100 * value, 1) + " %"


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """Return a number with its interval.

    Parameters
    ----------
    value, low, high : float or None
        As for :func:`number`.

    Returns
    -------
    str
        Such as "1.72 [1.65, 1.80]".
    """
    if value is None or math.isnan(value):
        return MISSING
    return f"{number(value)} [{number(low)}, {number(high)}]"


def span(estimate: OverSeeds) -> str:
    """Return an estimate over seeds with its interval.

    Parameters
    ----------
    estimate : OverSeeds
        Of any number of seeds.

    Returns
    -------
    str
        As :func:`interval`.
    """
    return interval(estimate.mean if estimate.n else None, estimate.low, estimate.high)


def between(values: Sequence[float], form: str = "{:.2g}") -> str:
    """Return one number, or the range of several that differ.

    Parameters
    ----------
    values : sequence of float
        At least one.
    form : str
        A format.

    Returns
    -------
    str
        Such as "0.005" or "0.005 to 0.31".
    """
    ends = [form.format(end) for end in (min(values), max(values))]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)
