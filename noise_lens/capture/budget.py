"""What a probe will hold in memory, line by line, before it starts."""

from __future__ import annotations

from collections.abc import Mapping

from noise_lens.capture.layout import LINE, Layout
from noise_lens.capture.projections import BANK_LENGTH
from noise_lens.estimators.log_histogram import N_BINS
from noise_lens.inference.jackknife import N_GROUPS


def memory_budget(
    layout: Layout, *, n_rows: int, n_coordinates: int, reference: str
) -> dict[str, int]:
    """Return the bytes that a probe allocates on the device beside the model and autograd.

    Nothing grows with minibatches times parameters: the sketch grows with minibatches, the
    buffers with parameters.

    Parameters
    ----------
    layout : Layout
        Of the flat buffer.
    n_rows : int
        Rows of the sketch.
    n_coordinates : int
        Sampled coordinates of all groups.
    reference : {"full", "pair", "mean"}
        What is subtracted.

    Returns
    -------
    dict of str to int
        Name of each line -> bytes.
    """
    cells = layout.n_cells
    lines = {
        "sketch: coordinates": 4 * n_rows * n_coordinates,
        "sketch: projection buckets": 4 * n_rows * cells * LINE,
        "sketch: squares, zero counts and losses": n_rows * (32 * cells + 8) + 8 * N_GROUPS * cells,
        "log-histograms": 8 * cells * N_BINS,
        "noise buffer (4 bytes a parameter)": 4 * layout.size,
        "line index and line sums (5/8 byte a parameter)": layout.size // LINE * 40,
        "sign bank": 8 * BANK_LENGTH,
    }
    if reference != "full":
        lines["sum of gradients (4 bytes a parameter)"] = 4 * layout.size
    if reference == "pair":
        lines["second gradient (4 bytes a parameter)"] = 4 * layout.size
    else:
        lines["full gradient (8 bytes a parameter, 8 more while it is built)"] = 16 * layout.size
    return lines


def budget_text(lines: Mapping[str, int]) -> str:
    """Return the budget as an aligned table with a total.

    Parameters
    ----------
    lines : mapping of str to int
        From :func:`memory_budget`.

    Returns
    -------
    str
        One line each.
    """
    width = max(map(len, lines))
    rows = [f"{name:<{width}}  {_size(count):>10}" for name, count in lines.items()]
    return "\n".join([*rows, f"{'total':<{width}}  {_size(sum(lines.values())):>10}"])


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
