"""Tails of weights whose law is known, and the experiment on a task where it is cheap."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import noise_lens as nl
from noise_lens.errors import CaptureError, CheckpointError, SamplesError
from noise_lens.landscape import average_checkpoints, weight_tails, weight_tails_over_steps
from noise_lens.tasks import load_task


def published(values, sizes=(2, 5, 10, 20, 50, 100, 500, 1000)):
    """The multiscale estimator of the released notebook, written from its formula."""
    x = values - values.mean()
    found = []
    for m in sizes:
        kept = x[: len(x) // m * m]
        sums = kept.reshape(-1, m).sum(axis=1)
        found.append(np.log(m) / (np.log(np.abs(sums)).mean() - np.log(np.abs(kept)).mean()))
    return float(np.median(found))


def test_published_number_is_that_of_the_formula(rng):
    for values in (rng.standard_normal(16384), rng.standard_cauchy(8192) * 3 + 7):
        (found,) = weight_tails({"w": values.reshape(64, -1)})
        assert found.published == pytest.approx(published(values), rel=1e-12)
        assert list(found.by_block_size) == [2, 5, 10, 20, 50, 100, 500, 1000]


@pytest.mark.parametrize("alpha", [1.2, 1.6, 2.0])
def test_stable_weights_read_their_alpha(alpha, rng):
    values = nl.SymmetricStable(alpha, 0.02).rvs((128, 160), rng)
    (found,) = weight_tails({"w": values})
    assert found.published == pytest.approx(alpha, abs=0.12)
    assert found.shuffled == pytest.approx(alpha, abs=0.12)
    assert found.low - 0.02 <= alpha <= found.high + 0.02  # a 95 % interval, fixed seed
    if alpha < 1.8:
        assert found.hill == pytest.approx(alpha, abs=0.25)


def test_what_an_initialisation_reads():
    """The null: uniform weights read no tail, and kurtosis -1.2."""
    for tail in weight_tails(load_task("digits-mlp").build_model(0)):
        assert tail.alpha > 1.98
        assert tail.published > 1.9
        assert tail.hill > 15  # about 6 on Gaussian weights
        assert tail.excess_kurtosis == pytest.approx(-1.2, abs=0.15)


def test_neighbours_that_depend_are_seen_by_shuffling(rng):
    """Rows of a common offset: consecutive weights read heavy, the same in random order do not."""
    values = rng.standard_normal((200, 100)) + rng.standard_normal((200, 1))
    (found,) = weight_tails({"w": values})
    assert found.published < 1.5
    assert found.shuffled > 1.85


def test_layers_are_centred_by_their_own_mean(rng):
    values = rng.standard_normal((50, 50))
    (plain,), (moved,) = weight_tails({"w": values}), weight_tails({"w": values + 3.0})
    assert moved.published == pytest.approx(plain.published, rel=1e-9)


def test_which_tensors(rng):
    weights = {
        "w": rng.standard_normal((30, 30)),
        "b": rng.standard_normal(200),
        "s": np.ones((3, 3)),
    }
    assert [tail.tensor for tail in weight_tails(weights)] == ["w"]
    assert [tail.tensor for tail in weight_tails(weights, layers_only=False)] == ["w", "b"]
    small = {"w": rng.standard_normal((10, 12))}
    assert list(weight_tails(small)[0].by_block_size) == [2, 5, 10, 20, 50]


def test_bad_weights():
    with pytest.raises(SamplesError, match="no tensor of two or more axes has 100 weights"):
        weight_tails({"w": np.ones(5)})
    with pytest.raises(SamplesError, match="w are all equal"):
        weight_tails({"w": np.ones((20, 20))})
    with pytest.raises(SamplesError, match="training has diverged"):
        weight_tails({"w": np.full((20, 20), np.nan)})


def test_average_of_checkpoints(tmp_path):
    task = load_task("digits-mlp")
    models = [task.build_model(seed) for seed in (0, 1, 2)]
    paths = []
    for seed, model in enumerate(models):
        paths.append(tmp_path / f"step-{seed}.pt")
        torch.save(model.state_dict(), paths[-1])
    found = average_checkpoints("digits-mlp", paths)
    for name, mean in found.items():
        own = [dict(model.named_parameters())[name].detach().double().numpy() for model in models]
        np.testing.assert_allclose(mean, np.mean(own, axis=0), rtol=1e-14)
    with pytest.raises(CheckpointError, match="needs a list of checkpoints"):
        average_checkpoints(task, paths[0])
    with pytest.raises(CheckpointError, match="needs a list of checkpoints"):
        average_checkpoints(task, [])


@pytest.fixture
def regression(rng):
    """Least squares with a wide weight, so that plain SGD is a line of NumPy."""
    x = torch.from_numpy(rng.standard_normal((40, 20))).float()
    y = x @ torch.from_numpy(rng.standard_normal((20, 6))).float()
    return nl.Task(
        lambda: nn.Linear(20, 6, bias=False),
        lambda model, batch: (model(batch[0]) - batch[1]).square().sum(dim=1).mean() / 2,
        TensorDataset(x, y),
        name="wide",
    )


def test_the_averaged_iterates_are_those_of_plain_sgd(regression):
    from noise_lens.capture.seeding import derived_seed
    from noise_lens.tasks import minibatches_of

    rows = weight_tails_over_steps(regression, [0.01], [4], n_steps=60, average_last=25, seeds=[3])
    start, found = rows
    assert (start.status, start.step_size, found.status) == ("initial", 0.0, "trained")
    w = regression.build_model(3).weight.detach().double()
    iterates = []
    for x, y in minibatches_of(regression.data).draw(60, 4, derived_seed(3, "training")):
        residual = x.double() @ w.T - y.double()
        w = w - 0.01 * residual.T @ x.double() / 4
        iterates.append(w)
    mean = torch.stack(iterates[-25:]).mean(0)
    (own,) = weight_tails({"weight": mean.numpy()})
    assert found.tail.published == pytest.approx(own.published, rel=1e-3)
    assert found.tail.hill == pytest.approx(own.hill, rel=1e-3)
    x, y = regression.data.tensors
    loss = (x.double() @ mean.T - y).square().sum(dim=1).mean() / 2
    assert found.loss == pytest.approx(float(loss), rel=1e-4)
    assert found.ratio == 0.01 / 4


def test_runs_that_fail_are_labelled(regression):
    rows = weight_tails_over_steps(
        regression, [0.01, 3.0], [2], n_steps=200, average_last=100, seeds=[0]
    )
    by_step = {row.step_size: row for row in rows}
    assert by_step[3.0].status == "diverged"
    assert by_step[0.01].status == "trained"
    dead = nl.Task(
        lambda: nn.Linear(20, 6, bias=False),
        lambda model, batch: (model(batch[0]) * 0).sum() + 1,
        regression.data,
        name="dead",
    )
    rows = weight_tails_over_steps(dead, [0.1], [2], n_steps=20, average_last=10, seeds=[0])
    assert rows[-1].status == "collapsed"


def test_overflowed_weights_have_no_tail(regression):
    rows = weight_tails_over_steps(regression, [1e30], [2], n_steps=50, average_last=10, seeds=[0])
    assert rows[-1].status == "diverged"
    assert rows[-1].tail is None
    assert rows[-1].loss == np.inf


def test_grid_and_random_states(regression):
    state = torch.get_rng_state()
    calls = []
    rows = weight_tails_over_steps(
        regression, [0.01, 0.02], [1, 2], n_steps=10, average_last=5, seeds=[0, 1],
        on_run=lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    assert torch.equal(torch.get_rng_state(), state)
    assert len(rows) == 2 + 2 * 4 == len(calls)
    assert calls[-1] == (10, 10)
    with pytest.raises(CaptureError, match="step sizes above 0"):
        weight_tails_over_steps(regression, [0.0], [1])
    with pytest.raises(CaptureError, match="average_last must lie in"):
        weight_tails_over_steps(regression, [0.1], [1], n_steps=10)
    built = nl.Task(nn.Linear(20, 6), regression.loss, regression.data, name="built")
    with pytest.raises(CaptureError, match="has a built module"):
        weight_tails_over_steps(built, [0.1], [1])
