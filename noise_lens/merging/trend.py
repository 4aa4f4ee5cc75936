"""Differences between ranks: noise at exactly the same weights, from training's own gradients."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from noise_lens.errors import NoiseLensError, RunFolderError
from noise_lens.inference import pooled

_PAIRS = 128


def trend_between_ranks(folder: Path) -> list[dict[str, Any]]:
    """Return windows of differences of ranks' gradients at the same step.

    Ranks of data-parallel training have the same weights and other minibatches, so such a
    difference is noise alone, where that of two steps also holds a move. Both terms are single
    ranks' gradients: no average over ranks is in it, and no correction for one.

    Parameters
    ----------
    folder : Path
        A run folder with ``trend/<step>-r<rank>.safetensors``, which each rank wrote.

    Returns
    -------
    list of dict
        Like windows of a trend, of 128 differences each; empty where fewer than two ranks wrote.

    Raises
    ------
    RunFolderError
        A file cannot be read.
    """
    ranks: dict[int, dict[tuple[int, int], NDArray[np.float32]]] = {}
    for path in sorted((folder / "trend").glob("*.safetensors")):
        if not path.name.startswith("."):
            rank = int(path.stem.rpartition("-r")[2])
            ranks.setdefault(rank, {}).update(_by_place(path))
    pairs = list(zip(sorted(ranks)[::2], sorted(ranks)[1::2], strict=False))
    found = [
        (step, ranks[one][step, nth] - ranks[two][step, nth])
        for one, two in pairs
        for step, nth in ranks[one].keys() & ranks[two].keys()
    ]
    found.sort(key=lambda item: item[0])
    return [
        _window(found[first : first + _PAIRS])
        for first in range(0, len(found) - _PAIRS + 1, _PAIRS)
    ]


def _by_place(path: Path) -> dict[tuple[int, int], NDArray[np.float32]]:
    """Return rows by step, and by their number among the micro-batches of the step."""
    try:
        arrays = safetensors.numpy.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise RunFolderError(f"the trend {path} cannot be read: {error}") from error
    seen: Counter[int] = Counter()
    rows = {}
    for step, row in zip(arrays["steps"].tolist(), arrays["rows"], strict=True):
        rows[step, seen[step]] = row
        seen[step] += 1
    return rows


def _window(found: list[tuple[int, NDArray[np.float32]]]) -> dict[str, Any]:
    differences = np.stack([difference for _, difference in found]).astype(np.float64)
    entry: dict[str, Any] = {
        "first_step": found[0][0],
        "last_step": found[-1][0] + 1,
        "n_rows": len(found),
        "differences": "between ranks at the same weights",
        "alpha": None,
        "low": None,
        "high": None,
    }
    try:
        estimate = pooled(differences)
    except NoiseLensError as error:
        return entry | {"reason": str(error)}
    low, high = estimate.confidence_interval()
    return entry | {"alpha": float(estimate.alpha), "low": low, "high": high}
