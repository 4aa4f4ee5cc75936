"""What a probe will hold in memory, line by line, before it starts."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from noise_lens.capture.layout import LINE, Layout
from noise_lens.capture.projections import BANK_LENGTH
from noise_lens.capture.recorder import keeps_blocks, row_fields
from noise_lens.capture.rows import ring_rows, row_bytes
from noise_lens.capture.windows import window_length
from noise_lens.capture.workspace import Buffers
from noise_lens.estimators.log_histogram import N_BINS
from noise_lens.inference.jackknife import group_labels

STATE, MODEL, HOST = "state of the sketch", "as large as the model", "on the host"


def memory_budget(
    layout: Layout,
    *,
    n_rows: int,
    n_coordinates: int,
    reference: str,
    block_sums: bool = True,
    gradient_bytes: int | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, int]:
    """Return the bytes that a probe allocates beside the model and autograd.

    The state of the sketch grows with the number of cells, which groups make, and not with the
    size of tensors. Rows go to the host. What is as large as the model follows from the
    reference, and stands in lines of its own.

    Parameters
    ----------
    layout : Layout
        Of the gradients.
    n_rows : int
        Rows of the sketch.
    n_coordinates : int
        Sampled coordinates of all groups.
    reference : {"full", "pair", "mean"}
        What is subtracted.
    block_sums : bool
        Whether sums of gradients are kept.
    gradient_bytes : int, optional
        Bytes of one minibatch gradient; 4 a parameter if not given.
    device : torch.device or str
        Where the model lies.

    Returns
    -------
    dict of str to int
        Name of each line -> bytes. Names begin with ``state of the sketch: ``,
        ``as large as the model: `` or ``on the host: ``.
    """
    device = torch.device(device)
    cells = layout.n_cells
    length = window_length(layout, device)
    n_gradients = 2 if reference == "pair" else 1
    fields = row_fields(layout, n_coordinates, reference)
    n_lines = length // LINE
    n_blocks = int(group_labels(n_rows)[-1]) + 1 if keeps_blocks(reference, block_sums) else 0
    lines = {
        f"{STATE}: log-histograms": 8 * cells * N_BINS,
        f"{STATE}: window of gradients": Buffers.n_bytes(length, n_gradients),
        # What a window needs for a moment: cells of lines, and lines in float64.
        f"{STATE}: sums of a window's lines": (24 + 16 * (n_gradients + 1)) * n_lines,
        f"{STATE}: sign bank": 8 * BANK_LENGTH,
        f"{STATE}: places of coordinates": 20 * n_coordinates,
        f"{STATE}: squares of sums": 8 * cells * (n_blocks + 1),
    }
    if device.type != "cpu":
        lines[f"{STATE}: rows on their way to the host"] = row_bytes(fields) * ring_rows(
            n_rows, fields
        )
    n_minibatches = n_gradients * n_rows
    lines[f"{STATE}: losses"] = 8 * n_minibatches
    if reference == "pair":
        lines[f"{MODEL}: first gradient of a pair"] = (
            4 * int(layout.numels.sum()) if gradient_bytes is None else gradient_bytes
        )
    else:
        lines[f"{MODEL}: {reference} gradient (8 bytes a parameter)"] = 8 * layout.size
    if n_blocks:
        lines[f"{MODEL}: sum of gradients (4 bytes a parameter)"] = 4 * layout.size
    for name, (shape, kind) in zip(
        ("coordinates", "projection buckets", "squares and zero counts"), fields, strict=True
    ):
        lines[f"{HOST}: {name}"] = n_rows * row_bytes([(shape, kind)])
    return lines


def part_of_budget(lines: Mapping[str, int], part: str) -> int:
    """Return the bytes of a part of a budget.

    Parameters
    ----------
    lines : mapping of str to int
        From :func:`memory_budget`.
    part : str
        `STATE`, `MODEL` or `HOST`.

    Returns
    -------
    int
        Their sum.
    """
    return sum(size for name, size in lines.items() if name.startswith(f"{part}: "))


def budget_text(lines: Mapping[str, int]) -> str:
    """Return the budget as an aligned table: each part with its sum, and the total.

    Parameters
    ----------
    lines : mapping of str to int
        From :func:`memory_budget`.

    Returns
    -------
    str
        One line each.
    """
    parts = (STATE, MODEL, HOST)
    rows = [(name, size) for name, size in lines.items() if not name.startswith(parts)]
    for part in parts:
        own = [(name, size) for name, size in lines.items() if name.startswith(f"{part}: ")]
        if own:
            rows.append((part, sum(size for _, size in own)))
            rows.extend(("  " + name.removeprefix(f"{part}: "), size) for name, size in own)
    rows.append(("total", sum(lines.values())))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {_size(size):>10}" for name, size in rows)


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
