from __future__ import annotations

import numpy as np
import pytest
import torch

from noise_lens.capture.groups import build_groups
from noise_lens.capture.layout import build_layout
from noise_lens.capture.projections import (
    BANK_LENGTH,
    Signs,
    bucket_sums,
    n_projections_of,
    projections_from_buckets,
    sign_bank,
)


def one_tensor(numel, seed=0, name="w"):
    shapes = {name: torch.Size([numel])}
    layout = build_layout(shapes, build_groups([name], "all"))
    flat = torch.zeros(layout.size)
    return layout, flat, Signs(layout, flat, seed)


def projections_of(rows, seed=0):
    """Projections of the rows of a matrix, through the real buffers."""
    layout, flat, signs = one_tensor(rows.shape[1], seed)
    cells = torch.zeros(layout.size // 64, dtype=torch.int64)
    found = []
    for row in rows:
        flat.zero_()
        layout.views(flat)[0].copy_(row)
        signs.apply()
        found.append(bucket_sums(flat, cells, 1)[0].clone())
    return projections_from_buckets(torch.stack(found).numpy(), 64)


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
    _, flat, signs = one_tensor(300)
    flat.fill_(1)
    signs.apply()
    alone = flat[:300].clone()
    shapes = {"a": torch.Size([70]), "w": torch.Size([500])}
    layout = build_layout(shapes, build_groups(list(shapes), "all"))
    both = torch.ones(layout.size)
    Signs(layout, both, 0).apply()
    start = layout.starts[layout.names.index("w")]
    assert torch.equal(both[start : start + 300], alone)
    _, other, signs = one_tensor(300, seed=1)
    other.fill_(1)
    signs.apply()
    assert not torch.equal(other[:300], alone)


def test_bank_is_read_cyclically():
    layout, flat, signs = one_tensor(2 * BANK_LENGTH + 10)
    flat.fill_(1)
    signs.apply()
    assert torch.equal(flat[:10], flat[BANK_LENGTH : BANK_LENGTH + 10])
    assert torch.equal(flat[:10], flat[2 * BANK_LENGTH : 2 * BANK_LENGTH + 10])
    assert layout.size >= 2 * BANK_LENGTH + 10


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


def test_cells_are_summed_apart():
    flat = torch.arange(4 * 64, dtype=torch.float32)
    cells = torch.tensor([0, 1, 1, 2])
    lines = flat.view(4, 64)
    expected = torch.stack([lines[0], lines[1] + lines[2], lines[3]])
    assert torch.equal(bucket_sums(flat, cells, 3), expected)
