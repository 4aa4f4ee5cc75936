"""Hessian-vector products, eigenvalues, trace and diagonal against the exact Hessian."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import noise_lens as nl
from noise_lens.errors import CaptureError, CheckpointError, DivergedError, RunFolderError
from noise_lens.landscape import curvature, load_curvature
from noise_lens.landscape.objective import TrainingLoss
from noise_lens.tasks import load_task


def mean_square(model, batch):
    return (model(batch[0]) - batch[1]).square().mean() / 2


@pytest.fixture
def regression(rng):
    """Least squares without bias: the Hessian is X'X / n in closed form."""
    inputs = torch.from_numpy(rng.standard_normal((90, 6)) * np.array([3, 2, 1, 1, 0.5, 0.1]))
    inputs = inputs.float()
    labels = torch.from_numpy(rng.standard_normal((90, 1))).float()
    task = nl.Task(
        lambda: nn.Linear(6, 1, bias=False),
        mean_square,
        TensorDataset(inputs, labels),
        name="regression",
    )
    wide = inputs.double()
    return task, (wide.T @ wide / 90).numpy(), wide, labels.double()


def small_network(activation=nn.Tanh):
    return nn.Sequential(nn.Linear(3, 4), activation(), nn.Dropout(0.5), nn.Linear(4, 2))


@pytest.fixture
def network(rng):
    """A small network with dropout, and its Hessian by two dense derivatives."""
    x = torch.from_numpy(rng.standard_normal((37, 3))).float()
    y = torch.from_numpy(rng.integers(0, 2, 37))
    task = nl.Task(
        small_network,
        lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1]),
        TensorDataset(x, y),
        name="network",
    )
    model = task.build_model(0).double().eval()
    names = [name for name, _ in model.named_parameters()]
    shapes = [p.shape for p in model.parameters()]

    def whole(flat):
        parts = flat.split([s.numel() for s in shapes])
        own = {n: p.view(s) for n, p, s in zip(names, parts, shapes, strict=True)}
        return nn.functional.cross_entropy(torch.func.functional_call(model, own, x.double()), y)

    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    exact = torch.autograd.functional.hessian(whole, flat)
    gradient = torch.autograd.functional.jacobian(whole, flat)
    return task, exact, gradient, float(whole(flat))


def test_linear_regression_in_closed_form(regression):
    task, exact, _, _ = regression
    values = np.linalg.eigvalsh(exact)[::-1]
    every = [("weight", i) for i in range(6)]
    found = curvature(task, n_eigenvalues=6, coordinates=every, chunk_size=32)
    assert found.eigenvalues == pytest.approx(values, abs=1e-6)  # the bar
    assert found.eigenvalues == pytest.approx(values, rel=1e-11)
    assert found.diagonal == pytest.approx(np.diag(exact), rel=1e-11)
    assert found.smallest == pytest.approx(values[-1], rel=1e-9)
    assert found.converged
    assert found.dtype == "float64"


def test_gradient_and_loss_in_closed_form(regression):
    task, _, inputs, labels = regression
    weights = task.build_model(0).weight.detach().double()
    residual = inputs @ weights.T - labels
    found = curvature(task, coordinates=[("weight", 4)], seed=0)
    gradient = (inputs.T @ residual / 90).flatten()
    assert found.loss == pytest.approx(float(residual.square().mean() / 2), rel=1e-12)
    assert found.gradient_norm == pytest.approx(float(gradient.norm()), rel=1e-12)
    assert found.slopes == pytest.approx([float(gradient[4])], rel=1e-12)


def test_products_are_those_of_the_exact_hessian(network, rng):
    task, exact, gradient, loss = network
    objective = TrainingLoss(task.build_model(0), task, chunk_size=10)
    vectors = torch.from_numpy(rng.standard_normal((11, len(exact))))
    torch.testing.assert_close(objective.products(vectors), vectors @ exact, atol=1e-13, rtol=1e-10)
    torch.testing.assert_close(objective.gradient(), gradient, atol=1e-13, rtol=1e-10)
    assert objective.loss() == pytest.approx(loss, rel=1e-13)


def test_network_spectrum_trace_and_diagonal(network):
    task, exact, _, _ = network
    values = np.linalg.eigvalsh(exact.numpy())
    coordinates = [("3.weight", 7), ("0.bias", 0), ("0.weight", 11)]
    found = curvature(task, n_eigenvalues=4, coordinates=coordinates, n_probes=400)
    assert found.eigenvalues == pytest.approx(values[:-5:-1], abs=1e-6)
    assert found.smallest == pytest.approx(values[0], abs=1e-6)
    assert values[0] < 0  # so that a saddle is among what is tested
    places = [16 + 7, 12 + 0, 11]
    assert found.diagonal == pytest.approx(exact.diagonal().numpy()[places], rel=1e-9)
    # Fixed seed; 4 standard errors: a false alarm in 16,000.
    assert abs(found.trace - float(exact.trace())) < 4 * found.trace_standard_error
    off = exact - torch.diag(exact.diagonal())
    expected = (2 * off.square().sum() / 400).sqrt()  # Hutchinson's variance with random signs
    assert found.trace_standard_error == pytest.approx(float(expected), rel=0.15)


def test_trace_of_a_diagonal_hessian_is_exact():
    """With random signs v'Hv is the trace itself; with normal vectors it would not be."""
    x = torch.eye(5)[torch.arange(40) % 5] * 2
    task = nl.Task(
        lambda: nn.Linear(5, 1, bias=False), mean_square, TensorDataset(x, x[:, :1]), name="axes"
    )
    found = curvature(task, n_eigenvalues=1, n_probes=2)
    assert found.trace == pytest.approx(4, rel=1e-12)
    assert found.trace_standard_error < 1e-12


def test_operations_without_a_batching_rule_go_one_by_one(network, monkeypatch):
    from noise_lens.landscape import objective as module

    def refuse(*_):
        raise RuntimeError("no batching rule")

    task, exact, _, _ = network
    monkeypatch.setattr(module, "vmap", refuse)
    objective = TrainingLoss(task.build_model(0), task)
    eye = torch.eye(len(exact), dtype=torch.float64)
    torch.testing.assert_close(objective.products(eye), exact, atol=1e-13, rtol=1e-10)


def test_a_model_of_its_own_dtype_is_computed_in_it(rng):
    class Single(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3, 1))

        def forward(self, x):
            return x.float() @ self.weight  # float64 weights would not fit

    x = torch.from_numpy(rng.standard_normal((20, 3))).float()
    task = nl.Task(Single, mean_square, TensorDataset(x, x[:, :1]), name="single")
    found = curvature(task, n_eigenvalues=3)
    assert found.dtype == "float32"
    exact = np.linalg.eigvalsh((x.double().T @ x.double() / 20).numpy())[::-1]
    assert found.eigenvalues == pytest.approx(exact, rel=1e-5)


def test_a_subset_is_another_loss_and_says_so(regression):
    task, *_ = regression
    found = curvature(task, n_examples=30, n_eigenvalues=6, seed=3)
    again = curvature(task, n_examples=30, n_eigenvalues=6, seed=3)
    assert found.loss == again.loss
    assert (found.n_examples, found.n_all) == (30, 90)
    assert "30 of 90 examples" in str(found)
    assert found.loss != curvature(task, n_eigenvalues=6, seed=3).loss


def test_training_and_random_states_are_left_alone():
    task = load_task("digits-cnn")
    model = task.build_model(5)
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    curvature(task, model, n_eigenvalues=1, max_products=2, n_probes=2, n_examples=8)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


def test_weights_are_those_of_the_checkpoint(tmp_path, regression):
    task, *_ = regression
    path = tmp_path / "w.pt"
    model = task.build_model(7)
    torch.save(model.state_dict(), path)
    found = curvature(task, path, n_eigenvalues=2)
    assert found.loss == curvature(task, model, n_eigenvalues=2).loss
    assert found.checkpoint == "w.pt"
    assert len(found.checkpoint_sha256) == 64


def test_kept_in_a_run_folder_and_read_back(tmp_path):
    folder = tmp_path / "run"
    nl.measure("linear-regression", n_minibatches=60, groups="all", out=folder)
    found = curvature("linear-regression", n_eigenvalues=3, coordinates=[("weight", 2)])
    path = found.save(folder, step=12)
    assert path == folder / "curvature" / "00000012.json"
    json.loads(path.read_text(), parse_constant=pytest.fail)
    again = load_curvature(folder, 12)
    for name, value in vars(found).items():
        np.testing.assert_equal(getattr(again, name), value)
    assert len(nl.read_run(folder).records) == 1  # readers pass over it


def test_missing_or_other_curvature_is_one_clear_error(tmp_path):
    folder = tmp_path / "run"
    nl.measure("linear-regression", n_minibatches=60, groups="all", out=folder)
    with pytest.raises(RunFolderError, match=r"holds no curvature of step 0. Compute it: .*--task"):
        load_curvature(folder)
    (folder / "curvature").mkdir()
    (folder / "curvature" / "00000000.json").write_text('{"format": "other"}')
    with pytest.raises(RunFolderError, match="no curvature of this version"):
        load_curvature(folder)
    found = curvature("linear-regression", n_eigenvalues=1)
    with pytest.raises(RunFolderError, match="does not exist"):
        found.save(tmp_path / "nowhere")
    with pytest.raises(CaptureError, match=r"holds the diagonal at 0 coordinates.*weight\[1\]"):
        found.at([("weight", 1)])


def test_bad_input(regression):
    task, *_ = regression
    for options in ({"n_eigenvalues": 0}, {"n_probes": 1}, {"max_products": 3}, {"tolerance": 0}):
        with pytest.raises(CaptureError, match="curvature needs"):
            curvature(task, **options)
    with pytest.raises(CaptureError, match=r"n_examples must lie in \[1, 90\]"):
        curvature(task, n_examples=91)
    with pytest.raises(CaptureError, match="no trainable element weight"):
        curvature(task, coordinates=[("weight", 6)])
    with pytest.raises(CheckpointError, match="does not fit"):
        curvature(task, nn.Linear(5, 1, bias=False))
    stream = nl.Task(task.model, task.loss, iter([]), name="stream")
    with pytest.raises(CaptureError, match="is a stream"):
        curvature(stream)
    model = task.build_model(0)
    with torch.no_grad():
        model.weight.fill_(torch.nan)
    with pytest.raises(DivergedError, match="no curvature to take"):
        curvature(task, model)
    broken = nl.Task(task.model, lambda model, batch: 1 / 0, task.data, name="broken")
    with pytest.raises(CaptureError, match="raised ZeroDivisionError"):
        curvature(broken)
    vector = nl.Task(task.model, lambda m, b: m(b[0])[:2], task.data, name="vector")
    with pytest.raises(CaptureError, match="must return a scalar tensor"):
        curvature(vector)
