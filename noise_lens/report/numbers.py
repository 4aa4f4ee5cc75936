"""Numbers as a report prints them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from noise_lens.contrasts import SeedMean
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
    if value is None or not math.isfinite(value) or value == 0:
        return number(value, 0)
    if abs(value) >= 1e6:
        return f"{value:.1e}"
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


def signed(value: float, low: float, high: float, *, digits: int = 2) -> str:
    """Return a difference with its sign and its interval.

    Parameters
    ----------
    value, low, high : float
        NaN ends are left out.
    digits : int
        Decimals.

    Returns
    -------
    str
        Such as "+0.05 [0.02, 0.08]", with signs and spaces at which no line breaks.
    """
    if math.isnan(value):
        return MISSING
    mean, *ends = (_signed(end, digits) for end in (value, low, high))
    if math.isnan(low):
        return mean
    low_end, high_end = (end.removeprefix("+") for end in ends)
    return f"{mean}\N{NO-BREAK SPACE}[{low_end},\N{NO-BREAK SPACE}{high_end}]"


def percent(value: float, low: float, high: float) -> str:
    """Return a ratio with its interval, in percent.

    Parameters
    ----------
    value, low, high : float
        NaN ends are left out.

    Returns
    -------
    str
        Such as "94 % [80, 109]".
    """
    if math.isnan(value):
        return MISSING
    ends = "" if math.isnan(low) else f" [{100 * low:,.0f}, {100 * high:,.0f}]"
    return f"{100 * value:,.0f} %{ends}".replace("-", "\N{MINUS SIGN}").replace(
        " ", "\N{NO-BREAK SPACE}"
    )


def interval(value: float | None, low: float | None, high: float | None, digits: int = 2) -> str:
    """Return a number with its interval.

    Parameters
    ----------
    value, low, high : float or None
        As for :func:`number`; without ends the number stands alone.
    digits : int
        Decimals.

    Returns
    -------
    str
        Such as "1.72 [1.65, 1.80]".
    """
    if value is None or math.isnan(value):
        return MISSING
    if low is None or high is None or math.isnan(low):
        return number(value, digits)
    if max(abs(low), abs(high)) >= 10.0**-digits:
        # An end that is small beside the other needs no exponent.
        return " ".join((_fixed(value, digits), f"[{_fixed(low, digits)}, {_fixed(high, digits)}]"))
    return f"{number(value, digits)} [{number(low, digits)}, {number(high, digits)}]"


def span(estimate: OverSeeds | SeedMean, digits: int = 2) -> str:
    """Return an estimate over seeds with its interval.

    Parameters
    ----------
    estimate : OverSeeds or SeedMean
        Of any number of seeds.
    digits : int
        Decimals.

    Returns
    -------
    str
        As :func:`interval`.
    """
    return interval(estimate.mean if estimate.n else None, estimate.low, estimate.high, digits)


def metric_name(key: str) -> str:
    """Return a metric or a quantity in words.

    Parameters
    ----------
    key : str
        As records and differences name it.

    Returns
    -------
    str
        Such as "test accuracy" or "generalisation gap of the loss".
    """
    if key.startswith("gap/"):
        return f"generalisation gap ({key[4:]})"
    return {"alpha": "α"}.get(key, key.replace("/", " ").replace("_", " "))


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


def _fixed(value: float, digits: int) -> str:
    if math.isinf(value):
        return number(value)
    text = f"{value if round(value, digits) else 0:.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _signed(value: float, digits: int) -> str:
    text = f"{value:+.{digits}f}"
    # A zero that is rounded from below has no sign either.
    return text.replace("-", "\N{MINUS SIGN}") if text[1:].strip("0.") else text[1:]
