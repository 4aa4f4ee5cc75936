"""Windows of training's own gradients: a trend line, and what it is a line of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noise_lens.capture.groups import Group
from noise_lens.capture.passive import TrainingRows
from noise_lens.errors import NoiseLensError
from noise_lens.inference import pooled

PAIRS = 128
"""Differences of a window."""

_FEWEST_PAIRS = 32
_COLUMNS_OF_ALL = 256
_COLUMNS_OF_A_GROUP = 64
_MOST_GROUPS = 8


class Trend:
    """Turns rows of training gradients into one entry a window of 128 differences.

    A difference is of two consecutive micro-batches: at the same weights where a step has several
    (gradient accumulation), else of two consecutive steps, with the weights moving in between.

    Parameters
    ----------
    names : sequence of str
        Tensors, in the order of the rows' columns.
    counts : sequence of int
        Columns of each.
    groups : sequence of Group
        The largest 8 beside ``all`` have a line of their own.
    on_window : callable
        Called with each entry.
    same_weights_in_a_step : bool
        False for an optimizer that moves between the evaluations of one step (L-BFGS).
    first_step : int
        Where the first window begins.

    Attributes
    ----------
    rows : dict of str to ndarray
        Of the last window: ``rows`` (k, d), the columns of ``all`` of its finite micro-batches,
        and their ``steps`` (k,).
    """

    def __init__(
        self,
        names: Sequence[str],
        counts: Sequence[int],
        groups: Sequence[Group],
        on_window: Callable[[dict[str, Any]], None],
        *,
        same_weights_in_a_step: bool = True,
        first_step: int = 0,
    ) -> None:
        self._names = list(names)
        self._on_window = on_window
        self._same_weights_in_a_step = same_weights_in_a_step
        columns = _columns(names, counts, groups)
        self._kept = np.unique(np.concatenate(list(columns.values())))
        self._columns = {name: np.searchsorted(self._kept, c) for name, c in columns.items()}
        self._squares = np.zeros(int(np.sum(counts)))
        self._pairs = np.empty((PAIRS, len(self._kept)), dtype=np.float32)
        self._pending: tuple[NDArray[np.float32], int] | None = None
        self._accumulates = False
        self._last_step = -1
        self._seen = np.zeros(len(self._names), dtype=bool)
        self._begin(first_step)
        self.rows: dict[str, NDArray[Any]] = {}

    def add(self, rows: TrainingRows) -> None:
        """Take rows; ends a window when it is full.

        Parameters
        ----------
        rows : TrainingRows
            In the order of training.
        """
        norms = np.sqrt((rows.norms.astype(np.float64) ** 2).sum(axis=1))
        finite = np.isfinite(norms)  # a norm is of every element
        for index, step in enumerate(rows.steps.tolist()):
            self._n += 1
            if not finite[index]:  # its step was dropped, and the next row has the same number
                self._n_not_finite += 1
                self._pending = None
                continue
            self._accumulates |= step == self._last_step
            self._last_step = step
            self._seen |= rows.norms[index] > 0
            self._norms.append(float(norms[index]))
            self._finite.append((step, rows.values[index, self._kept[self._columns["all"]]]))
            self._pair(rows.values[index], step)

    def finish(self, step: int) -> None:
        """End the window that is under way, if it holds enough differences to say anything.

        Parameters
        ----------
        step : int
            Optimizer steps done; a row after the last of them has none of its own.
        """
        if self._filled >= _FEWEST_PAIRS:
            self._end(min(self._last_step + 1, max(step, self._first_step)))

    def _begin(self, step: int) -> None:
        self._first_step = step
        self._n = self._n_not_finite = self._filled = self._n_same = 0
        self._n_zero = 0
        self._squares.fill(0)
        self._finite: list[tuple[int, NDArray[np.float32]]] = []
        self._norms: list[float] = []

    def _pair(self, row: NDArray[np.float32], step: int) -> None:
        if self._pending is None:
            self._pending = row, step
            return
        other, its_step = self._pending
        if its_step != step and self._accumulates:
            self._pending = row, step  # an odd one out of its step
            return
        self._pending = None
        difference = other - row
        self._pairs[self._filled] = difference[self._kept]
        self._n_zero += difference.size - int(np.count_nonzero(difference))
        self._squares += np.square(difference, out=difference)
        self._n_same += its_step == step
        self._filled += 1
        if self._filled == PAIRS:
            self._end(step + 1)

    def _end(self, step: int) -> None:
        pairs = self._pairs[: self._filled]
        same = self._n_same == len(pairs) and self._same_weights_in_a_step
        entry: dict[str, Any] = {
            "first_step": self._first_step,
            "last_step": step,
            "n_rows": len(pairs),
            "n_micro_batches": self._n,
            "n_not_finite": self._n_not_finite,
            "differences": "at the same weights" if same else "of consecutive weights",
            "gradient_norm": float(np.mean(self._norms)),
            "largest_gradient_norm": float(np.max(self._norms)),
            "zero_share": self._n_zero / (len(pairs) * self._squares.size),
            "scale_spread": _spread_of_scales(self._squares),
            "tie_share": _ties(pairs[:, self._columns["all"]]),
            "silent": [n for n, seen in zip(self._names, self._seen, strict=True) if not seen],
            **_estimate(pairs[:, self._columns["all"]]),
        }
        entry["groups"] = {
            name: _estimate(pairs[:, columns])
            for name, columns in self._columns.items()
            if name != "all"
        }
        self.rows = {
            "rows": np.stack([row for _, row in self._finite]),
            "steps": np.array([step for step, _ in self._finite], dtype=np.int64),
        }
        self._begin(step)
        self._on_window(entry)


def _columns(
    names: Sequence[str], counts: Sequence[int], groups: Sequence[Group]
) -> dict[str, NDArray[np.int64]]:
    ends = np.cumsum(counts)
    own = {
        group.name: np.concatenate(
            [
                np.arange(end - count, end)
                for name, count, end in zip(names, counts, ends, strict=True)
                if name in set(group.parameters)
            ]
            or [np.empty(0, dtype=np.int64)]
        )
        for group in groups
    }
    everything = own.pop("all")
    largest = sorted(own, key=lambda name: -len(own[name]))[:_MOST_GROUPS]
    return {
        "all": _spread(everything, _COLUMNS_OF_ALL),
        **{
            name: _spread(own[name], _COLUMNS_OF_A_GROUP)
            for name in own
            if name in largest and len(own[name])
        },
    }


def _spread(columns: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    if len(columns) <= most:
        return columns
    return columns[np.linspace(0, len(columns) - 1, most).round().astype(np.int64)]


def _estimate(differences: NDArray[np.float32]) -> dict[str, Any]:
    try:
        found = pooled(differences.astype(np.float64))
    except NoiseLensError as error:
        return {"alpha": None, "low": None, "high": None, "reason": str(error)}
    low, high = found.confidence_interval()
    return {"alpha": float(found.alpha), "low": low, "high": high}


def _spread_of_scales(squares: NDArray[np.float64]) -> float:
    """Return the standard deviation over coordinates of the log of their root mean square."""
    logs = 0.5 * np.log(squares[squares > 0])
    return float(logs.std()) if len(logs) else 0.0


def _ties(differences: NDArray[np.float32]) -> float:
    """Return the share of non-zero magnitudes that repeat one of their column."""
    magnitudes = np.sort(np.abs(differences), axis=0)
    repeated = (magnitudes[1:] == magnitudes[:-1]) & (magnitudes[1:] != 0)
    total = int((magnitudes != 0).sum())
    return float(repeated.sum()) / total if total else 0.0
