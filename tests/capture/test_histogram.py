from __future__ import annotations

import numpy as np
import torch

from noise_lens.capture.cells import CellSums
from noise_lens.capture.groups import build_groups
from noise_lens.capture.histogram import CellHistograms, bin_edges
from noise_lens.capture.layout import build_layout
from noise_lens.capture.windows import Stage, plan_windows
from noise_lens.capture.workspace import Buffers, Workspace
from noise_lens.estimators.log_histogram import N_BINS


def layout_of(shapes, spec="tensor"):
    return build_layout(shapes, build_groups(list(shapes), spec))


def counted(layout, rows, length=None):
    """Counts of rows of tensors, through windows."""
    length = length or layout.size
    windows = plan_windows(layout, length)
    histogram = CellHistograms(layout, CellSums(layout, torch.device("cpu")))
    buffers = Buffers(length, 1, torch.device("cpu"))
    stage = Stage(windows, buffers.gradients, 1)
    for row in rows:
        for window in windows:
            stage.fill(window, [row])
            histogram.update(Workspace(buffers, window.stop - window.start), window)
    return histogram.compute()


def test_counts_equal_numpy_on_the_same_edges(rng):
    layout = layout_of({"a": torch.Size([1000])}, "all")
    values = (rng.standard_normal(1000) * np.exp(3 * rng.standard_normal(1000))).astype(np.float32)
    edges = np.append(bin_edges()[:8160], np.inf)
    expected, _ = np.histogram(np.abs(values.astype(np.float64)), edges)
    found = counted(layout, [[torch.from_numpy(values)]])
    assert np.array_equal(found[0, :8160], expected)
    assert found.sum() == 1000


def test_32_bins_an_octave():
    edges = bin_edges()
    octave = edges[(edges >= 1) & (edges < 2)]
    assert len(octave) == 32
    assert np.allclose(np.diff(octave), 1 / 32)


def test_zeros_infinities_and_nans_have_bins_of_their_own():
    layout = layout_of({"a": torch.Size([5])}, "all")
    values = torch.tensor([0.0, -0.0, float("inf"), float("-inf"), float("nan")])
    found = counted(layout, [[values]])[0]
    assert found[0] == 2
    assert found[8160] == 2
    assert found[8161:].sum() == 1
    assert np.isinf(bin_edges()[8160])


def test_cells_and_windows_do_not_change_the_counts(rng):
    """Three tensors, windows that cross their borders, padding never counted."""
    shapes = {"a": torch.Size([100]), "b": torch.Size([700]), "c": torch.Size([3])}
    layout = layout_of(shapes)
    rows = [
        [torch.from_numpy(rng.standard_normal(shape)).float() for shape in layout.shapes]
        for _ in range(4)
    ]
    whole = counted(layout, rows)
    assert np.array_equal(whole, counted(layout, rows, length=3 * 64))
    assert whole.sum(axis=1).tolist() == [4 * numel for numel in layout.cell_numels]
    assert whole.shape == (3, N_BINS)
