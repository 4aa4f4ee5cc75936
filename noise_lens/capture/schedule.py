"""When to probe: plain functions from a step to yes or no."""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[int], bool]


def every(n: int) -> Schedule:
    """Return a schedule of every `n`-th step, step 0 included.

    Parameters
    ----------
    n : int
        At least 1.

    Returns
    -------
    callable
        step -> bool.

    Raises
    ------
    ValueError
        `n` is below 1.

    Examples
    --------
    >>> [step for step in range(7) if every(3)(step)]
    [0, 3, 6]
    """
    if n < 1:
        raise ValueError(f"every(n) needs n >= 1, got {n}")
    return lambda step: step % n == 0


def logarithmic(start: int, end: int, n: int) -> Schedule:
    """Return a schedule of about `n` steps, evenly spaced in the logarithm, both ends included.

    Parameters
    ----------
    start : int
        First step, at least 1.
    end : int
        Last step, above `start`.
    n : int
        Steps, at least 2; steps that round to the same number are taken once.

    Returns
    -------
    callable
        step -> bool.

    Raises
    ------
    ValueError
        The numbers are out of range.

    Examples
    --------
    >>> [step for step in range(1001) if logarithmic(10, 1000, 3)(step)]
    [10, 100, 1000]
    """
    if not (1 <= start < end and n >= 2):
        raise ValueError(
            f"logarithmic(start, end, n) needs 1 <= start < end and n >= 2, got {start}, {end}, {n}"
        )
    ratio = (end / start) ** (1 / (n - 1))
    steps = {round(start * ratio**index) for index in range(n)}
    return lambda step: step in steps


def logarithmic_steps(n_steps: int, per_decade: int = 1) -> list[int]:
    """Return the steps 0, 10, 100, ... and `n_steps`: a default for `probe_steps`.

    Parameters
    ----------
    n_steps : int
        The last.
    per_decade : int
        How many a factor of ten.

    Returns
    -------
    list of int
        Rising.

    Examples
    --------
    >>> logarithmic_steps(2000)
    [0, 10, 100, 1000, 2000]
    """
    n_exponents = per_decade * math.ceil(math.log10(max(n_steps, 1)) + 1e-9)
    inner = {round(10 ** (index / per_decade)) for index in range(per_decade, n_exponents + 1)}
    return sorted({0, n_steps} | {step for step in inner if step < n_steps})
