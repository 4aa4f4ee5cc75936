from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from models import data, dataset, noisy_model, plain_model, squared
from scipy.linalg import hadamard
from torch import nn

from noise_lens import CaptureError
from noise_lens.capture import probe
from noise_lens.capture.projections import sign_bank
from noise_lens.capture.seeding import derived_seed
from noise_lens.inference.jackknife import group_labels
from noise_lens.record import record_of
from noise_lens.tasks import minibatches_of


def gradients_of(model, n, batch_size, seed):
    """Each minibatch's gradient by name, the slow way, in float64."""
    rows = []
    for batch in data().draw(n, batch_size, derived_seed(seed, "minibatches")):
        model.zero_grad()
        squared(model, batch).backward()
        rows.append({name: p.grad.double().clone() for name, p in model.named_parameters()})
    model.zero_grad(set_to_none=True)
    return rows


def full_gradient(model):
    model.zero_grad()
    squared(model.double(), [tensor.double() for tensor in dataset().tensors]).backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.float().zero_grad(set_to_none=True)
    return found


def noise_of(rows, reference, model):
    if reference == "pair":
        return [
            {name: one[name] - two[name] for name in one}
            for one, two in zip(rows[::2], rows[1::2], strict=True)
        ]
    if reference == "mean":
        centre = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
    else:
        centre = full_gradient(model)
    return [{name: row[name] - centre[name] for name in row} for row in rows]


@pytest.mark.parametrize("reference", ["full", "pair", "mean"])
def test_a_sketch_is_what_naive_code_computes(reference):
    """Coordinates, projections, norms, squares, zero shares and histogram against one gradient at
    a time.
    """
    n, seed = 60, 3
    model = plain_model()
    sketch = probe(
        model, squared, data(), n_minibatches=n, batch_size=8, reference=reference,
        groups={"first": "0.*"}, seed=seed, n_coordinates=20,
    )  # fmt: skip
    raw = gradients_of(plain_model(), n, 8, seed)
    noise = noise_of(raw, reference, plain_model())
    for group in sketch.groups:
        names = [name for name in sketch.tensors if group.name == "all" or name.startswith("0.")]
        flat = np.stack([np.concatenate([row[m].numpy().ravel() for m in names]) for row in noise])
        starts = dict(
            zip(names, np.cumsum([0] + [noise[0][m].numel() for m in names]), strict=False)
        )
        columns = [starts[sketch.tensors[tensor]] + index for tensor, index in group.positions]
        assert group.coordinates == pytest.approx(flat[:, columns], rel=1e-4, abs=1e-6)
        assert group.norms == pytest.approx(np.linalg.norm(flat, axis=1), rel=1e-5)
        own = np.stack([np.concatenate([row[m].numpy().ravel() for m in names]) for row in raw])
        squares = (own**2).sum(axis=1).reshape(len(flat), -1).sum(axis=1)
        assert group.gradient_squares == pytest.approx(squares, rel=1e-5)
        if reference == "full":
            assert group.block_squares.shape == (0,)
        else:
            labels = np.repeat(group_labels(len(flat)), n // len(flat))
            sums = [own[labels == block].sum(axis=0) for block in range(labels[-1] + 1)]
            assert group.block_squares == pytest.approx([s @ s for s in sums], rel=1e-5)
        if reference == "pair":
            assert np.isnan(group.reference_square)
        else:
            centre = own[0] - flat[0]
            assert group.reference_square == pytest.approx(centre @ centre, rel=1e-5)
        zeros = np.mean(flat.astype(np.float32) == 0, axis=1)
        assert group.noise_zero_shares == pytest.approx(zeros, abs=2e-2)
        assert group.histogram.sum() == flat.size
        buckets = np.zeros((len(flat), 64))
        for name in names:
            own = flat[:, starts[name] : starts[name] + noise[0][name].numel()]
            offset = derived_seed(seed, "signs", name) % (len(sign_bank()) // 2)
            signed = own * sign_bank()[offset : offset + own.shape[1]].numpy()
            for index in range(own.shape[1]):
                buckets[:, index % 64] += signed[:, index]
        p = group.projections.shape[1]
        expected = buckets.reshape(len(flat), -1, p).sum(axis=1) @ hadamard(p)
        assert group.projections == pytest.approx(expected, rel=1e-4, abs=1e-5)
    zeros = np.array(
        [np.mean([(g == 0).numpy().sum() for g in row.values()]) * 4 / 65 for row in raw]
    )
    zeros = zeros.reshape(len(noise), -1).mean(axis=1)
    assert sketch.groups[0].gradient_zero_shares == pytest.approx(zeros, abs=1e-6)


@pytest.mark.parametrize("reference", ["full", "pair"])
def test_examples_are_those_of_the_minibatches(reference):
    """The norm of each row again, from the examples that the sketch says were in it."""
    n = 51
    sketch = probe(
        plain_model(), squared, data(), n_minibatches=n, batch_size=3, reference=reference, seed=4
    )
    assert sketch.example_indices.shape == (n, 3)
    assert sketch.example_indices.dtype == np.int64
    model = plain_model()
    raw = []
    for indices in sketch.example_indices:
        found = torch.autograd.grad(
            squared(model, data().pick(indices.tolist())), list(model.parameters())
        )
        raw.append(np.concatenate([part.numpy().ravel() for part in found]))
    squares = (np.array(raw, dtype=np.float64) ** 2).sum(axis=1)
    if reference == "pair":
        squares = squares[:50:2] + squares[1:50:2]
    assert sketch.groups[0].gradient_squares == pytest.approx(squares, rel=1e-5)


def test_examples_of_large_minibatches_are_not_kept():
    """64 bytes a minibatch are the most."""
    sizes = {
        batch_size: probe(
            plain_model(), squared, data(), n_minibatches=50, batch_size=batch_size
        ).example_indices
        for batch_size in (8, 9)
    }
    assert sizes[8].nbytes == 64 * 50
    assert sizes[9] is None


def test_without_block_sums_the_noise_scale_says_why():
    """All else is the same; a full gradient needs no sums."""
    for reference in ("pair", "mean", "full"):
        options = {"n_minibatches": 60, "batch_size": 8, "reference": reference}
        kept = probe(plain_model(), squared, data(), **options)
        without = probe(plain_model(), squared, data(), **options, block_sums=False)
        one, two = kept.groups[0], without.groups[0]
        assert np.array_equal(one.coordinates, two.coordinates)
        assert np.array_equal(one.gradient_squares, two.gradient_squares)
        assert len(two.block_squares) == 0
        record = record_of(without, 0, 0, {})
        if reference == "full":
            assert record["noise_scale"] == record_of(kept, 0, 0, {})["noise_scale"] > 0
        else:
            assert record["noise_scale"] is None
            assert record["noise_scale_reason"] == (
                "it needs the sum of gradients, 4 bytes a parameter, which was not kept"
            )


def test_odd_number_of_minibatches_leaves_one_out():
    assert (
        len(
            probe(plain_model(), squared, data(), n_minibatches=51, reference="pair")
            .groups[0]
            .norms
        )
        == 25
    )


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("reference", ["pair", "mean"])
def test_nothing_of_training_is_touched(mode, reference):
    """Weights, buffers, .grad, every random state and every module's mode, bit for bit."""
    model = noisy_model()
    model.body[3].eval()  # a frozen dropout must stay frozen
    squared(model, dataset()[:16]).backward()
    np.random.seed(5)  # noqa: NPY002 - the global state is what is tested
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    objects = {name: id(buffer) for name, buffer in model.named_buffers()}
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    modes = [module.training for module in model.modules()]

    sketch = probe(model, squared, data(), n_minibatches=50, mode=mode, reference=reference)

    assert np.ptp(sketch.groups[0].norms) > 0
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    for name, p in model.named_parameters():
        assert (p.grad is None) == (name not in grads), name
        assert p.grad is None or torch.equal(p.grad, grads[name]), name
    assert {name: id(buffer) for name, buffer in model.named_buffers()} == objects
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert random.getstate() == states[2]
    assert [module.training for module in model.modules()] == modes


def test_restored_after_an_error_too():
    """The loss fails at the seventh minibatch: the state is put back all the same."""
    model, calls = noisy_model(), []
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()

    def failing(model, batch):
        calls.append(1)
        if len(calls) == 7:
            raise RuntimeError("out of cheese")
        return squared(model, batch)

    with pytest.raises(CaptureError, match=r"raised RuntimeError: out of cheese\. Call it by hand"):
        probe(model, failing, data(), n_minibatches=50, reference="pair")
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_a_caller_without_gradients_is_no_obstacle(context):
    model = plain_model()
    with context():
        sketch = probe(model, squared, data(), n_minibatches=50)
    assert np.all(sketch.groups[0].norms > 0)


def test_hooks_of_training_rest_and_come_back():
    """A hook that clips every gradient neither fires in a probe nor is lost by it."""
    model = plain_model()
    fired = []
    for parameter in model.parameters():
        parameter.register_hook(lambda g: fired.append(1) or g.clamp(-1e-9, 1e-9))
    clean = probe(plain_model(), squared, data(), n_minibatches=50, seed=2).groups[0]
    seen = probe(model, squared, data(), n_minibatches=50, seed=2).groups[0]
    assert not fired
    assert np.array_equal(seen.norms, clean.norms)
    squared(model, dataset()[:8]).backward()
    assert len(fired) == 4
    assert float(model[0].weight.grad.abs().max()) <= 1e-9


def test_odd_models_are_measured_or_refused():
    """A parameter without elements; weights that a forward pass rewrites; shapes not yet known;
    a buffer that appears in the first forward pass.
    """
    empty = plain_model()
    empty.nothing = nn.Parameter(torch.empty(0))
    assert len(probe(empty, squared, data(), n_minibatches=50).tensors) == 5

    renormed = nn.Sequential(nn.Embedding(10, 3, max_norm=1.0))
    with pytest.raises(CaptureError, match="embedding '0' has max_norm"):
        probe(renormed, squared, data())
    with pytest.raises(CaptureError, match="has no shape yet"):
        probe(nn.LazyLinear(3), squared, data())

    late = plain_model()

    def loss(model, batch):
        model.register_buffer("late", torch.ones(1))
        return squared(model, batch)

    probe(late, loss, data(), n_minibatches=50, reference="pair")
    assert "late" not in late.state_dict()


def test_numpy_randomness_is_seeded_and_put_back():
    """Augmentation with NumPy's global generator repeats from probe to probe."""

    def noisy(model, batch):
        return squared(model, [batch[0] + float(np.random.standard_normal()), batch[1]])  # noqa: NPY002

    one, two = (
        probe(plain_model(), noisy, data(), n_minibatches=50, reference="pair").groups[0].norms
        for _ in range(2)
    )
    assert np.array_equal(one, two)


def test_same_seed_same_sketch_also_under_dropout():
    one, two = (
        probe(noisy_model(), squared, data(), n_minibatches=50, seed=4).groups[0] for _ in range(2)
    )
    other = probe(noisy_model(), squared, data(), n_minibatches=50, seed=5).groups[0]
    assert np.array_equal(one.projections, two.projections)
    assert not np.array_equal(one.norms, other.norms)


def test_a_sketch_seed_fixes_the_coordinates():
    one, two = (
        probe(plain_model(), squared, data(), n_minibatches=50, seed=seed, sketch_seed=9,
              n_coordinates=10).groups[0]
        for seed in (1, 2)
    )  # fmt: skip
    assert np.array_equal(one.positions, two.positions)
    assert not np.array_equal(one.coordinates, two.coordinates)


def test_frozen_and_tied_parameters_are_not_counted_twice():
    sketch = probe(noisy_model(), squared, data(), n_minibatches=50)
    assert len(sketch.tensors) == 6
    assert "frozen" not in sketch.tensors
    assert sketch.groups[0].n_parameters == 6 * 8 + 8 + 8 + 8 + 8 * 8 + 8


def test_a_parameter_without_a_gradient_is_zero():
    model = plain_model()
    model.unused = nn.Parameter(torch.ones(10))
    sketch = probe(model, squared, data(), n_minibatches=50)
    unused = next(group for group in sketch.groups if group.name == "unused")
    assert np.all(unused.gradient_zero_shares == 1)
    assert np.all(unused.noise_zero_shares == 1)
    assert not unused.coordinates.any()


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda m, b: m(b[0]), r"scalar, got shape \(32,\)"),
        (lambda m, b: squared(m, b).item(), "must return a scalar tensor, got float"),
        (lambda m, b: squared(m, b) * float("nan"), "the loss is nan on the first minibatch"),
        (lambda m, b: squared(m, b).detach(), "does not depend on the model's trainable"),
        (lambda m, b: torch.ones((), requires_grad=True) * 2, "does not depend on any"),
    ],
)
def test_bad_losses(loss, message):
    with pytest.raises(CaptureError, match=message):
        probe(plain_model(), loss, data(), n_minibatches=50, reference="pair")


def test_a_loss_that_becomes_nan_is_named():
    calls = []

    def turning(model, batch):
        calls.append(1)
        return squared(model, batch) * (float("nan") if len(calls) > 40 else 1)

    with pytest.raises(
        CaptureError, match="not finite on 10 of 50 minibatches, first on number 40"
    ):
        probe(plain_model(), turning, data(), n_minibatches=50, reference="pair")


def test_bad_models_and_numbers():
    frozen = plain_model().requires_grad_(False)
    with pytest.raises(CaptureError, match="no trainable parameter"):
        probe(frozen, squared, data())
    with pytest.raises(CaptureError, match="at least 50 minibatches, got 49"):
        probe(plain_model(), squared, data(), n_minibatches=49)
    with pytest.raises(CaptureError, match="batch_size must be at least 1, got 0"):
        probe(plain_model(), squared, data(), batch_size=0)
    with pytest.raises(CaptureError, match="'train' or 'eval', got 'test'"):
        probe(plain_model(), squared, data(), mode="test")
    with pytest.raises(CaptureError, match="power of two up to 64, got 128 and 48"):
        probe(plain_model(), squared, data(), n_projections=48)
    complex_model = plain_model()
    complex_model.w = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    with pytest.raises(CaptureError, match="parameter w is complex"):
        probe(complex_model, squared, data())
    sparse = nn.Embedding(10, 3, sparse=True)
    with pytest.raises(CaptureError, match="gradient of weight is sparse"):
        probe(
            sparse,
            lambda m, b: m(b[0]).square().mean(),
            minibatches_of(torch.utils.data.TensorDataset(torch.arange(10))),
            reference="pair",
        )
