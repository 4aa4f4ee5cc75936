"""The literature's estimator in one pass, against the whole matrix at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from models import dataset, plain_model, squared

import noise_lens as nl
from noise_lens.capture.published import PublishedEstimator
from noise_lens.capture.seeding import derived_seed
from noise_lens.tasks import minibatches_of


def in_pieces(rows, cuts):
    """Feed rows piece by piece; `cuts` are lengths, repeated."""
    n_rows, n_parameters = rows.shape
    estimator = PublishedEstimator(n_rows, n_parameters, "cpu")
    for row in torch.from_numpy(rows):
        start, number = 0, 0
        while start < n_parameters:
            stop = min(start + cuts[number % len(cuts)], n_parameters)
            kept = row[start:stop].clone()
            estimator.update(row[start:stop])
            assert np.array_equal(row[start:stop], kept, equal_nan=True)
            start, number = stop, number + 1
    return estimator


@pytest.mark.parametrize(
    ("n_rows", "n_parameters"),
    [(6, 10), (7, 30), (100, 37), (36, 1), (1, 36), (13, 49), (50, 97)],
)
@pytest.mark.parametrize("cuts", [(1000,), (1,), (2, 5, 1), (3, 17)])
def test_one_pass_is_the_whole(rng, n_rows, n_parameters, cuts):
    """Blocks lie across rows and windows: of 7 x 30 entries they have 14, of 100 x 37 they have
    50. Some entries are exact zeros, and some blocks.
    """
    rows = rng.standard_t(2, size=(n_rows, n_parameters))
    rows[rng.random(rows.shape) < 0.2] = 0
    rows.ravel()[:15] = 0
    expected = nl.mohammadi(rows, compat="simsekli2019")
    estimator = in_pieces(rows, cuts)
    n = rows.size
    assert n % estimator.block_size == 0
    assert estimator.block_size == max(m for m in range(1, int(n**0.5) + 1) if n % m == 0)
    assert estimator.compute() == pytest.approx(expected.alpha, rel=1e-9)


def test_no_number_where_there_is_none():
    ones = np.ones((1, 31))
    assert in_pieces(ones, (5,)).compute() is None  # 31 is prime
    assert in_pieces(np.full((4, 9), np.nan), (5,)).compute() is None
    assert in_pieces(np.full((4, 9), np.inf), (5,)).compute() is None
    estimator = PublishedEstimator(4, 9, "cpu")
    estimator.update(torch.ones(35))
    assert estimator.compute() is None  # one is missing
    estimator.update(torch.ones(1))
    # Blocks of 6 ones: log 6 / log 6.
    assert estimator.compute() == pytest.approx(1)


def test_nothing_waits_for_a_device():
    """A meta tensor has no values: `.item()` or a condition would raise."""
    estimator = PublishedEstimator(3, 20, "meta")
    for _ in range(3):
        estimator.update(torch.empty(20, device="meta"))


@pytest.mark.parametrize("reference", ["mean", "pair", "full"])
def test_through_a_measurement_it_is_that_of_the_noise_matrix(reference, monkeypatch):
    """Also where windows cut tensors and biases lie together. Zeros of a dead input stay."""
    monkeypatch.setattr("noise_lens.capture.windows.CPU_WINDOW", 64)
    n, size, seed = 60, 8, 3
    task = nl.Task(plain_model, squared, dataset(), name="plain")
    found = nl.measure(
        task, n_minibatches=n, batch_size=size, reference=reference, published=True, seed=seed,
        groups={"b": "*.bias", "w": "*.weight"}, views=("gradient", "momentum"), beta=0.5,
    )  # fmt: skip
    model = task.build_model(seed)
    parameters = dict(model.named_parameters())
    own = [parameters[name] for name in found.sketch.tensors]
    source = minibatches_of(dataset())

    def flat(batch):
        parts = torch.autograd.grad(squared(model, batch), own)
        return torch.cat([part.flatten() for part in parts]).double().numpy()

    drawn = source.draw(n, size, derived_seed(seed, "minibatches"))
    rows = np.stack([flat(batch) for batch in drawn])
    if reference == "pair":
        rows = rows[::2] - rows[1::2]
    else:
        mean = rows.mean(axis=0) if reference == "mean" else flat(source.pick(range(200)))
        rows = rows - mean
    rows[:, ~rows.any(axis=0)] = 0
    expected = nl.mohammadi(rows.astype(np.float32), compat="simsekli2019").alpha
    by_group = {record["group"]: record for record in found.records}
    # Float32 differences, a few of which nearly cancel.
    assert by_group["all"]["published_alpha"] == pytest.approx(expected, rel=1e-5)
    block_size = by_group["all"]["published_block_size"]
    assert block_size == max(m for m in range(1, int(rows.size**0.5) + 1) if rows.size % m == 0)
    others = [record for name, record in by_group.items() if name != "all"]
    others += found.views["momentum"].records
    assert {record["published_alpha"] for record in others} == {None}
    assert "published_alpha" in found.table()[0]


def test_it_is_not_made_unasked():
    task = nl.Task(plain_model, squared, dataset(), name="plain")
    found = nl.measure(task, n_minibatches=50, batch_size=8, groups="all")
    assert found.records[0]["published_alpha"] is None
    assert found.sketch.published is None


def test_gaussian_noise_with_unequal_scales_reads_far_below_two(rng):
    """Why it is kept to be compared with and not to be believed: papers.md 7.1 has 0.98 at a
    log-normal spread of 2. Of 400 columns the spread makes it 0.98 give or take 0.06.
    """
    scales = np.exp(2 * rng.normal(size=400))
    estimator = in_pieces(rng.normal(size=(1000, 400)) * scales, (400,))
    assert estimator.compute() < 1.3
