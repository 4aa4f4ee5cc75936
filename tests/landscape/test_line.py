"""Losses on a line where they are known in closed form, and BatchNorm's statistics on the way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import noise_lens as nl
from noise_lens.errors import CaptureError, DivergedError
from noise_lens.evaluation import evaluate
from noise_lens.landscape import loss_along_line
from noise_lens.tasks import load_task


class Point(nn.Module):
    """One parameter w; the loss is a function of w alone."""

    def __init__(self, w=0.0):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(float(w), dtype=torch.float64))


def task_of(function, **options):
    data = TensorDataset(torch.zeros(4, 1))
    return nl.Task(Point, lambda model, batch: function(model.w), data, name="point", **options)


def test_double_well():
    """(w^2 - 1)^2 from one well to the other: a barrier of 1 at the middle."""
    line = loss_along_line(task_of(lambda w: (w**2 - 1) ** 2), Point(-1), Point(1), n_points=21)
    expected = ((2 * line.fractions - 1) ** 2 - 1) ** 2
    assert line.train == pytest.approx(expected, abs=1e-15)
    assert line.fractions[[0, 10, -1]].tolist() == [0, 0.5, 1]
    assert (line.barrier, line.rise_from_first, line.rise_from_second) == (1, 1, 1)
    assert line.ridge == 1
    assert not line.one_basin
    assert line.distance == 2
    assert "a barrier of 1 above the larger end" in str(line)


def test_unequal_ends():
    """A barrier is measured from the larger end, the chord's from between, a rise from its own."""
    steep = task_of(lambda w: torch.where(w < 0.5, 4 * w, 4 - 2 * (w - 0.5)))
    line = loss_along_line(steep, Point(0), Point(1), n_points=5)
    assert line.train.tolist() == [0, 1, 4, 3.5, 3]
    assert (line.barrier, line.rise_from_first, line.rise_from_second) == (1, 4, 1)
    assert line.excess == 2.5  # 4 above the chord's 1.5


def test_one_basin_of_a_convex_loss():
    line = loss_along_line(task_of(lambda w: w**2), Point(-1), Point(3), n_points=9)
    assert line.one_basin
    assert line.barrier == 0 == line.excess
    assert line.rise_from_first == 8
    assert line.ridge == 0
    assert np.isnan(line.ridge_at)
    assert str(line).endswith("no ridge on this line at 9 points")


@pytest.mark.parametrize("way", [1, -1])
def test_a_ridge_between_minima_below_a_high_end(way):
    """0.1 + 2 w^2 (w-2)^2 from one minimum past the other: 2 above both at w = 1, no barrier."""
    wells = task_of(lambda w: 0.1 + 2 * w**2 * (w - 2) ** 2)
    line = loss_along_line(wells, *[Point(0.0), Point(2.9)][::way], n_points=59)
    assert line.barrier == 0 == line.excess
    assert max(line.ends) == pytest.approx(0.1 + 2 * 2.9**2 * 0.9**2)
    assert line.ridge == pytest.approx(2)  # w = 1 and w = 2 are on the grid
    assert line.ridge_at == pytest.approx(1 / 2.9 if way == 1 else 1.9 / 2.9)
    assert not line.one_basin
    assert "a ridge on this line, 2 above the lowest points on both its sides" in str(line)
    assert "no point is higher than both ends" in str(line)


def test_the_ridge_is_the_highest_of_several():
    """By hand: 7 rises 6.5 above the 0.5 before and 7 above the 0 after; the others less."""
    values = torch.tensor([4, 1, 3, 0.5, 7, 1, 2, 0, 5, 2, 9], dtype=torch.float64)
    line = loss_along_line(
        task_of(lambda w: values[int((w * 10).round())] + 0 * w), Point(0), Point(1), n_points=11
    )
    assert line.ridge == 6.5
    assert line.ridge_at == 0.4


def test_rounding_is_no_ridge():
    """Ripples of 1e-8 on a plain; at 1e-4 they are ridges."""
    for height, smooth in ((1e-8, True), (1e-4, False)):
        task = task_of(lambda w, height=height: 1 + height * (40 * w).cos())
        line = loss_along_line(task, Point(-1), Point(3), n_points=101)
        assert line.one_basin is smooth
        assert line.ridge > 0


def test_beyond_the_ends_is_no_barrier():
    line = loss_along_line(task_of(lambda w: w**2), Point(-1), Point(1), n_points=5, beyond=0.6)
    assert line.fractions == pytest.approx(np.arange(-2, 7) / 4)
    assert line.train == pytest.approx((2 * line.fractions - 1) ** 2)
    assert line.one_basin


def test_what_lies_behind_the_ends_counts_nothing():
    wells = task_of(lambda w: (w**2 - 1) ** 2)
    line = loss_along_line(wells, Point(-1), Point(1), n_points=5, beyond=1)
    assert line.train.max() == 64
    assert (line.barrier, line.excess, line.rise_from_first) == (1, 1, 1)


def test_overflow_on_the_way_is_infinitely_high():
    line = loss_along_line(
        task_of(lambda w: (1 - w**2).log() * 0), Point(-0.5), Point(0.5), beyond=2
    )
    assert np.isinf(line.train[0])
    assert np.isfinite(line.train[np.abs(line.fractions - 0.5) <= 0.5]).all()
    gap = loss_along_line(task_of(lambda w: 1 / (w != 0)), Point(-1), Point(1), n_points=5)
    assert (gap.barrier, gap.ridge, gap.ridge_at) == (np.inf, np.inf, 0.5)
    assert not gap.one_basin


def test_ends_are_those_of_evaluate(tmp_path):
    task = load_task("digits-mlp")
    models = [task.build_model(seed) for seed in (0, 1)]
    paths = [tmp_path / f"{seed}.pt" for seed in (0, 1)]
    for model, path in zip(models, paths, strict=True):
        torch.save(model.state_dict(), path)
    line = loss_along_line(task, *paths, n_points=3)
    for place, model in ((0, models[0]), (-1, models[1])):
        own = evaluate(model, task)
        assert line.train[place] == own["train/loss"]
        assert line.test[place] == own["test/loss"]
        assert line.metrics["test/accuracy"][place] == own["test/accuracy"]
    assert (line.first, line.second, line.batch_norm) == ("0.pt", "1.pt", "none there")


@pytest.fixture
def normed(rng):
    """A task with BatchNorm, and two models whose running statistics are of nothing."""
    x = torch.from_numpy(rng.standard_normal((64, 3)) * 5 + 2).float()
    y = torch.from_numpy(rng.integers(0, 2, 64))
    task = nl.Task(
        lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)),
        lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1]),
        TensorDataset(x, y),
        name="normed",
    )
    return task, task.build_model(0), task.build_model(1), x, y


def test_batch_norm_is_recomputed_from_the_data(normed):
    """At every point the loss is that of the network with the data's own mean and variance."""
    task, first, second, x, y = normed
    line = loss_along_line(task, first, second, n_points=5)
    assert line.batch_norm == "recomputed"
    for fraction, loss in zip(line.fractions, line.train, strict=True):
        t = float(fraction)
        w, b, g, h, v, c = (
            (1 - t) * p.detach().double() + t * q.detach().double()
            for p, q in zip(first.parameters(), second.parameters(), strict=True)
        )
        z = x.double() @ w.T + b
        z = (z - z.mean(0)) / (z.var(0) + 1e-5).sqrt() * g + h  # unbiased, as running_var is
        own = nn.functional.cross_entropy(z.relu() @ v.T + c, y)
        assert loss == pytest.approx(float(own), rel=1e-5)


def test_interpolated_statistics_are_another_line(normed):
    task, first, second, x, y = normed
    line = loss_along_line(task, first, second, n_points=3, buffers="interpolated")
    assert line.batch_norm == "interpolated"
    with torch.no_grad():
        own = nn.functional.cross_entropy(first.eval()(x), y)  # the statistics it came with
    assert line.train[0] == pytest.approx(float(own), rel=1e-6)
    recomputed = loss_along_line(task, first, second, n_points=3)
    assert abs(recomputed.train[0] - line.train[0]) > 0.01


def test_the_models_that_were_given_are_not_touched(normed):
    task, first, second, *_ = normed
    before = {key: value.clone() for key, value in first.state_dict().items()}
    state = torch.get_rng_state()
    loss_along_line(task, first, second, n_points=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.training
    for key, value in first.state_dict().items():
        assert torch.equal(value, before[key])


def test_bad_input():
    task = task_of(lambda w: w**2)
    with pytest.raises(CaptureError, match="n_points >= 3"):
        loss_along_line(task, Point(), Point(), n_points=2)
    with pytest.raises(CaptureError, match="beyond >= 0"):
        loss_along_line(task, Point(), Point(), beyond=float("nan"))
    with pytest.raises(CaptureError, match="buffers must be"):
        loss_along_line(task, Point(), Point(), buffers="kept")
    with pytest.raises(DivergedError, match="at Point is not finite"):
        loss_along_line(task, Point(0), Point(float("nan")))
    stream = nl.Task(Point, lambda m, b: m.w, iter([]), name="stream")
    with pytest.raises(CaptureError, match="is a stream"):
        loss_along_line(stream, Point(), Point())
