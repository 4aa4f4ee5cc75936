from __future__ import annotations

import numpy as np
import pytest
import torch

from noise_lens.capture.cells import CellSums
from noise_lens.capture.groups import build_groups
from noise_lens.capture.layout import build_layout
from noise_lens.capture.projections import (
    BANK_LENGTH,
    Signs,
    n_projections_of,
    projections_from_buckets,
    sign_bank,
)
from noise_lens.capture.windows import Stage, plan_windows


def layout_of(shapes, **shards):
    return build_layout(shapes, build_groups(list(shapes), "all"), **shards)


def signed(layout, tensors, seed=0, length=None):
    """All tensors with their signs, by place."""
    length = length or layout.size
    windows = plan_windows(layout, length)
    buffer = torch.zeros(length)
    stage = Stage(windows, buffer, 1)
    signs = Signs(layout, windows, buffer.device, seed)
    found = []
    for window in windows:
        signs.apply(stage.fill(window, [tensors]), window)
        found.append(buffer[: window.stop - window.start].clone())
    return torch.cat(found)


def signs_of(shapes, name, seed=0, **shards):
    layout = layout_of(shapes, **shards)
    index = layout.names.index(name)
    flat = signed(layout, [torch.ones(shape) for shape in layout.shapes], seed)
    return flat[layout.starts[index] : layout.starts[index] + layout.numels[index]]


def projections_of(rows, seed=0):
    """Projections of the rows of a matrix."""
    layout = layout_of({"w": rows[0].shape})
    windows = plan_windows(layout, layout.size)
    sums = CellSums(layout, torch.device("cpu"))
    signs = signed(layout, [torch.ones(rows.shape[1])], seed)
    found = torch.zeros(len(rows), 1, 64)
    padded = torch.nn.functional.pad(rows, (0, layout.size - rows.shape[1]))
    for row, into in zip(padded, found, strict=True):
        sums.add(into, (row * signs).view(-1, 64), windows[0])
    return projections_from_buckets(found[:, 0].numpy(), 64)


def test_gaussian_rank_one_gradients_stay_gaussian():
    """Kurtosis of projections of u v' with Gaussian u, v of 64 entries: 3 + 6 * 2/64 = 3.19 for
    independent signs, 9 for a sign a row times a sign a column; below 3.4. Standard error .02.
    """
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(4000, 64, 1, generator=generator)
    v = torch.randn(4000, 1, 64, generator=generator)
    x = projections_of((u @ v).flatten(1)).astype(np.float64)
    kurtosis = np.mean(np.mean(x**4, axis=0) / np.mean(x**2, axis=0) ** 2)
    assert 3.05 < kurtosis < 3.4


def test_every_coordinate_enters_with_a_sign():
    """A unit vector projects to plus or minus one, everywhere."""
    for index in (0, 63, 64, 1000):
        row = torch.zeros(1, 1500)
        row[0, index] = 1
        assert np.array_equal(np.abs(projections_of(row)), np.ones((1, 64), np.float32))


def test_projections_keep_the_norm():
    """64 rows of a Hadamard matrix are orthogonal: the mean square is the norm on average over
    signs; here for one row within 4 standard errors of the sign draw.
    """
    row = torch.randn(1, 20_000, generator=torch.Generator().manual_seed(3))
    mean_square = np.mean([np.mean(projections_of(row, seed) ** 2) for seed in range(20)])
    assert mean_square == pytest.approx(float(row.square().sum()), rel=4 * np.sqrt(2 / (64 * 20)))


def test_signs_are_a_function_of_seed_name_and_index():
    """Another tensor in the layout, or a longer one, does not change a coordinate's sign."""
    alone = signs_of({"w": torch.Size([300])}, "w")
    both = signs_of({"a": torch.Size([70]), "w": torch.Size([500])}, "w")
    assert torch.equal(both[:300], alone)
    assert not torch.equal(signs_of({"w": torch.Size([300])}, "w", seed=1), alone)


def test_a_shard_has_the_signs_of_its_part():
    whole = signs_of({"w": torch.Size([BANK_LENGTH + 500])}, "w")
    for first, numel in ((0, 100), (77, 300), (BANK_LENGTH - 10, 500)):
        shard = signs_of(
            {"w": torch.Size([numel])}, "w", first={"w": first}, whole={"w": len(whole)}
        )
        assert torch.equal(shard, whole[first : first + numel])


def test_bank_is_read_cyclically_in_windows_of_any_length():
    shapes = {"w": torch.Size([2 * BANK_LENGTH + 10])}
    signs = signs_of(shapes, "w")
    assert torch.equal(signs[:BANK_LENGTH], signs[BANK_LENGTH : 2 * BANK_LENGTH])
    assert torch.equal(signs[:10], signs[2 * BANK_LENGTH :])
    again = signed(layout_of(shapes), [torch.ones(shapes["w"])], length=64 * 1001)
    assert torch.equal(again[: len(signs)], signs)


def test_bank_is_about_a_megabyte_of_fair_signs():
    """The share of +1 is within 3.3 standard errors of one half; the length has no factors."""
    bank = sign_bank()[:BANK_LENGTH]
    assert bank.numel() * 4 == pytest.approx(2**20, rel=0.01)
    assert abs(float(bank.mean())) < 3.3 / np.sqrt(BANK_LENGTH)
    assert all(BANK_LENGTH % factor for factor in range(2, int(BANK_LENGTH**0.5) + 1))


@pytest.mark.parametrize(
    ("numel", "expected"),
    [(1, 0), (3, 0), (4, 1), (10, 2), (64, 16), (255, 32), (256, 64), (10**6, 64)],
)
def test_small_groups_carry_fewer(numel, expected):
    assert n_projections_of(numel, 64) == expected


def test_fewer_projections_still_cover_everything():
    buckets = np.random.default_rng(0).standard_normal((5, 64)).astype(np.float32)
    folded = projections_from_buckets(buckets, 1)
    assert folded[:, 0] == pytest.approx(buckets.sum(axis=1), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cells_are_summed_apart(dtype):
    """Cells of 1, 2 and 1 lines and one without any, in windows that cut them differently."""
    shapes = {
        "a": torch.Size([64]),
        "b": torch.Size([70]),
        "n": torch.Size([0]),
        "c": torch.Size([9]),
    }
    layout = build_layout(shapes, build_groups(list(shapes), "tensor"))
    lines = torch.arange(4 * 64, dtype=torch.float32).view(4, 64)
    expected = torch.stack([lines[0], lines[1] + lines[2], torch.zeros(64), lines[3]]).to(dtype)
    for length in (64, 128, 192, 256):
        sums, found = CellSums(layout, torch.device("cpu")), torch.zeros(4, 64, dtype=dtype)
        for window in plan_windows(layout, length):
            sums.add(found, lines[window.start // 64 : window.stop // 64], window)
        assert torch.equal(found, expected)
