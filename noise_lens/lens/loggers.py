"""Hand numbers to whatever the loop logs with; no tracker is imported."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from noise_lens.errors import CaptureError

Log = Callable[[dict[str, float], int], Any]

_METHODS = ("log_metrics", "log_dict", "log", "add_scalar")


def as_log(target: Any) -> Log:
    """Return a function of (numbers, step) for a callable or a tracker's object.

    Parameters
    ----------
    target : callable or object
        Called with ``(dict, step)``; or an object with one of the methods ``log_metrics``,
        ``log_dict``, ``log`` (called with a dict and ``step=``) or ``add_scalar`` (called once a
        number, as a TensorBoard writer is).

    Returns
    -------
    callable
        ``log(numbers, step)``.

    Raises
    ------
    CaptureError
        It is neither.
    """
    for name in _METHODS:
        method = getattr(target, name, None)
        if not callable(method):
            continue
        if name == "add_scalar":
            return _one_by_one(method)
        return _with_step(method)
    if callable(target):
        return target  # type: ignore[no-any-return]
    raise CaptureError(
        f"log must be callable with (dict, step), or have one of the methods "
        f"{', '.join(_METHODS)}; got {type(target).__name__}"
    )


def _with_step(method: Callable[..., Any]) -> Log:
    return lambda numbers, step: method(numbers, step=step)


def _one_by_one(method: Callable[..., Any]) -> Log:
    def log(numbers: dict[str, float], step: int) -> None:
        for name, value in numbers.items():
            method(name, value, step)

    return log


class SafeLog:
    """A logger that never stops training: it warns at its first failure and goes on.

    Parameters
    ----------
    target : callable or object or None
        As for :func:`as_log`; None logs nothing.
    """

    def __init__(self, target: Any) -> None:
        self._log = None if target is None else as_log(target)
        self._warned = False

    def __call__(self, numbers: Mapping[str, float | None], step: int) -> None:
        """Log the finite ones of `numbers`, as plain floats."""
        if self._log is None:
            return
        finite = {
            name: float(value)
            for name, value in numbers.items()
            if value is not None and math.isfinite(value)
        }
        try:
            if finite:
                self._log(finite, step)
        except Exception as error:
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"the logger given to NoiseLens failed at step {step} "
                    f"({type(error).__name__}: {error}); training goes on, and it is tried again",
                    stacklevel=2,
                )


def numbers_of_records(records: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return the numbers of a probe by flat key.

    Parameters
    ----------
    records : sequence of mapping
        One a group.

    Returns
    -------
    dict of str to float or None
        ``noise_lens/<group>/alpha``, ``low`` and ``high`` of single minibatches' projections,
        ``coordinates_alpha`` of their coordinates, ``noise_norm``, and where the group was judged
        ``pvalue`` and ``alpha_of_sums``.
    """
    numbers: dict[str, float | None] = {}
    for record in records:
        key = f"noise_lens/{record['group']}"
        main = "projections_characteristic_function"
        numbers |= {
            f"{key}/alpha": record[f"{main}_alpha"],
            f"{key}/low": record[f"{main}_low"],
            f"{key}/high": record[f"{main}_high"],
            f"{key}/coordinates_alpha": record["coordinates_characteristic_function_alpha"],
            f"{key}/noise_norm": record["noise_norm_mean"],
            f"{key}/pvalue": record["projections_verdict_pvalue"],
            f"{key}/alpha_of_sums": record["projections_verdict_alpha"],
        }
    return numbers


def numbers_of_trend(entry: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the numbers of a window of passive capture by flat key.

    Parameters
    ----------
    entry : mapping
        One window.

    Returns
    -------
    dict of str to float or None
        ``noise_lens/trend/alpha``, ``low``, ``high``, ``gradient_norm``; ``alpha`` a group.
    """
    names = ("alpha", "low", "high", "gradient_norm")
    numbers = {f"noise_lens/trend/{name}": entry.get(name) for name in names}
    for group, found in (entry.get("groups") or {}).items():
        numbers[f"noise_lens/trend/{group}/alpha"] = found.get("alpha")
    return numbers
