"""How far estimates of stable rows stray: quantiles by simulation, and intervals from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from noise_lens.inference.dependence import SharedScale

QUANTILES = (0.01, 0.025, 0.05, 0.5, 0.95, 0.975, 0.99)
_GRID = np.linspace(0.7, 2.0, 261)
_STRETCH = 1.15  # of the limits of drift: they were simulated, and are read at an estimated alpha


@dataclass(frozen=True)
class StableErrors:
    """The errors of an aggregation curve, had its rows a stable law.

    Both simulated worlds, independent coordinates and one radius a row, are kept; rows stand
    between them as their magnitudes go together. (Close to alpha = 2 no formula holds at these
    sizes: whether a single large value came decides the estimate.)

    Attributes
    ----------
    n_rows : int
        M.
    n_columns : float
        Usable coordinates, or what they are worth where they are correlated.
    shared : SharedScale
        What the rows show of a common scale.
    """

    n_rows: int
    n_columns: float
    shared: SharedScale

    def interval(
        self, value: float, size: int, confidence_level: float = 0.95
    ) -> tuple[float, float]:
        """Return the indices under which an estimate is not rare.

        Parameters
        ----------
        value : float
            Alpha of sums of `size` minibatches, not cut at 2.
        size : int
            m.
        confidence_level : {0.9, 0.95, 0.98}
            Of the two-sided interval.

        Returns
        -------
        tuple of float
            Both ends in [0, 2].
        """
        below, _, above = self._level(size, confidence_level)
        low = float(value - above[0])
        if value > _GRID[0] + above[0]:
            low = float(_GRID[np.argmax(_GRID + above >= value)])
            if value > (_GRID + above).max():
                low = float(_GRID[np.argmax(_GRID + above)])
        high = float(value - below[0])
        if value >= _GRID[0] + below[0]:
            high = float(_GRID[np.flatnonzero(_GRID + below <= value)[-1]])
        return max(0.0, min(low, value, 2.0)), min(2.0, max(high, value))

    def drift_limits(self, alpha: float, size: int) -> tuple[float, float]:
        """Return the 1 % and the 99 % point of the drift of stable rows, stretched by 15 %.

        Parameters
        ----------
        alpha : float
            That of single minibatches.
        size : int
            The largest block size.

        Returns
        -------
        tuple of float
            Negative and positive; both 0 at m = 1, where nothing can drift.
        """
        if size == 1:
            return 0.0, 0.0
        table = _tables()
        exponent = np.log2(size)
        last = int(min(exponent, len(table.block_sizes) - 1))
        offsets = self._offsets(table.drift[last - 1], size)
        if exponent > last:  # the drift of ever larger blocks is the error of the last level
            farther = self._offsets(table.level[-1], size)
            offsets = farther + (offsets - farther) * 2.0 ** (last - exponent)
        below, _, above = self._mixed(offsets, 0.98)
        at = float(np.clip(alpha, _GRID[0], 2.0))
        low, high = (_STRETCH * float(np.interp(at, _GRID, ends)) for ends in (below, above))
        return low, high

    def _level(
        self, size: int, confidence_level: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        table = _tables()
        last = int(min(np.log2(size), len(table.block_sizes) - 1))
        return self._mixed(self._offsets(table.level[last], size), confidence_level)

    def _offsets(self, cells: NDArray[np.float64], size: int) -> NDArray[np.float64]:
        # (r, d, law, alpha, q) -> (law, alpha, q) at this many blocks and columns.
        table = _tables()
        columns = float(np.clip(self.n_columns, 1, table.n_columns[-1]))
        ratio = (self.n_rows // size) / np.maximum(50, 400 / columns)
        place = float(np.interp(np.log2(columns), np.log2(table.n_columns), np.arange(4)))
        by_ratio = _between(cells.transpose(1, 0, 2, 3, 4), place)
        known = np.flatnonzero(~np.isnan(by_ratio).any(axis=(1, 2, 3)))
        nodes = np.log2(table.ratios[known])
        here = float(np.clip(np.log2(ratio), nodes[0], nodes[-1]))
        found = _between(by_ratio[known], float(np.interp(here, nodes, np.arange(len(known)))))
        found = found * np.sqrt(2 ** (here - np.log2(ratio)))  # beyond the table like 1 / sqrt(n)
        if self.n_columns > columns:
            found[0] *= np.sqrt(columns / self.n_columns)
        return np.asarray(found)

    def _mixed(
        self, offsets: NDArray[np.float64], confidence_level: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        # (law, alpha, q) -> lower, middle and upper offset on _GRID, between the two laws.
        wanted = {0.98: (0, 3, 6), 0.95: (1, 3, 5), 0.9: (2, 3, 4)}[confidence_level]
        share = self.shared.share(_GRID)
        found = []
        for q in wanted:
            independent, elliptical = (
                np.interp(_GRID, _tables().alpha, law[:, q]) for law in offsets
            )
            if q == 3:
                found.append((1 - share) * independent + share * elliptical)
                continue
            size = np.sqrt((1 - share) * independent**2 + share * elliptical**2)
            found.append(-size if q < 3 else size)
        return found[0], found[1], found[2]


def _between(nodes: NDArray[np.float64], place: float) -> NDArray[np.float64]:
    # Linear along the first axis; a neighbour of no weight may be NaN.
    first = int(place)
    if first == place:
        return np.asarray(nodes[first])
    return np.asarray(nodes[first] + (place - first) * (nodes[first + 1] - nodes[first]))


@dataclass(frozen=True)
class _Tables:
    block_sizes: NDArray[np.float64]
    ratios: NDArray[np.float64]  # blocks in units of max(50, 400 / columns)
    n_columns: NDArray[np.float64]
    alpha: NDArray[np.float64]
    level: NDArray[np.float64]  # (m, r, d, law, alpha, q): estimate less truth
    drift: NDArray[np.float64]  # (m from 2, r, d, law, alpha, q)


@cache
def _tables() -> _Tables:
    text = resources.files("noise_lens.inference").joinpath("stable_errors.json").read_text("utf-8")
    table = json.loads(text)
    return _Tables(
        *(np.array(table[name], dtype=np.float64) for name in ("block_sizes", "ratios")),
        *(np.array(table[name], dtype=np.float64) for name in ("n_columns", "alpha")),
        *(np.array(table[name], dtype=np.float64) for name in ("level", "drift")),
    )
