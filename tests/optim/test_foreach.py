"""What AdaL and Padam have in common: how they step, not which rule they follow."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from noise_lens.optim import AdaL, Padam, foreach

BOTH = pytest.mark.parametrize("kind", [AdaL, Padam], ids=lambda kind: kind.__name__)
EVERY = pytest.mark.parametrize(
    ("kind", "options"),
    [
        (AdaL, {}),
        (AdaL, {"norm_scope": "global", "norm": "mean_abs", "lr_decay": True, "weight_decay": 0.1}),
        (AdaL, {"eps_mode": "adam", "weight_decay": 0.1, "decoupled": True}),
        (Padam, {}),
        (Padam, {"p": 0.4, "weight_decay": 0.1}),
        (Padam, {"p": 0.5, "bias_correction": False, "weight_decay": 0.1, "decoupled": True}),
    ],
)


def parameters(dtype=torch.float32, device="cpu", shapes=((3, 4), (5,), (), (0, 2), (2, 3, 2))):
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(s, dtype=dtype, device=device)) for s in shapes]


def train(optimizer, given, n_steps, seed=0):
    """Step with gradients that depend on the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n_steps):
        for p in given:
            p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p)
        optimizer.step()
    return [p.detach().clone() for p in given]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@EVERY
def test_lists_that_are_cut_for_the_cache_change_nothing(kind, options, monkeypatch):
    """Pieces of 4 elements, and everything at once as on a GPU: the same to rounding."""
    whole, cut, plain = parameters(), parameters(), parameters()
    wanted = train(kind(whole, **options), whole, 5)
    monkeypatch.setattr(foreach, "_CACHED", 4)
    for given in (cut, plain):
        torch.testing.assert_close(train(kind(given, **options), given, 5), wanted)
        monkeypatch.setattr(foreach, "_plain", lambda columns: False)


def test_pieces_hold_no_more_than_the_limit(monkeypatch):
    monkeypatch.setattr(foreach, "_CACHED", 4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    columns = [[torch.arange(n) for n in (1, 2, 9, 3, 4)] for _ in range(2)]

    found = list(foreach.batches(columns))

    assert [rows for rows, _ in found] == [[0, 1], [2], [2], [2, 3], [4]]
    for index, column in enumerate(columns):
        pieces = [piece for _, lists in found for piece in lists[index]]
        assert max(sum(p.numel() for p in lists[index]) for _, lists in found) == 4
        assert torch.equal(torch.cat(pieces), torch.cat(column))
        assert {p.untyped_storage().data_ptr() for p in pieces} == {
            t.untyped_storage().data_ptr() for t in column
        }


@EVERY
def test_other_memory_formats_change_nothing(kind, options, monkeypatch):
    monkeypatch.setattr(foreach, "_CACHED", 4)
    shapes = ((2, 3, 4, 5), (7,))
    plain, last = parameters(shapes=shapes), parameters(shapes=shapes)
    last[0].data = last[0].data.to(memory_format=torch.channels_last)
    wanted = train(kind(plain, **options), plain, 3)
    torch.testing.assert_close(train(kind(last, **options), last, 3), wanted)


@EVERY
def test_a_step_reads_nothing_on_the_host(kind, options, monkeypatch):
    """No number of a tensor becomes one of Python's, and the gradients stay as they are."""

    class NoHost(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            assert "local_scalar" not in str(function), function
            assert "nonzero" not in str(function), function
            return function(*args, **(kwargs or {}))

    given = parameters()
    optimizer = kind(given, **options)
    for p in given:
        p.grad = torch.randn_like(p)
    gradients = [p.grad.clone() for p in given]

    def refuse(*_):
        raise AssertionError("a tensor was read on the host")

    with monkeypatch.context() as patch, NoHost():
        for way in (
            "item",
            "tolist",
            "numpy",
            "cpu",
            "__bool__",
            "__float__",
            "__int__",
            "__index__",
        ):
            patch.setattr(torch.Tensor, way, refuse)
        optimizer.step()
        optimizer.step()
    assert same([p.grad for p in given], gradients)


@EVERY
def test_a_step_needs_no_data(kind, options):
    """Tensors without data: reading one raises, inside torch's own code too."""
    given = parameters(device="meta")
    optimizer = kind(given, **options)
    for p in given:
        p.grad = torch.empty_like(p)
    optimizer.step()
    optimizer.step()
    assert optimizer.state[given[0]]["step"] == 2


@EVERY
def test_a_state_dict_goes_through_a_file_that_runs_no_code(kind, options, tmp_path):
    """The run that goes on from it is the run that was not interrupted, to the bit."""
    straight, before, after = parameters(), parameters(), parameters()
    first = kind([{"params": straight[:2]}, {"params": straight[2:], "lr": 0.3}], **options)
    train(first, straight, 3)
    wanted = train(first, straight, 3, seed=1)

    second = kind([{"params": before[:2]}, {"params": before[2:], "lr": 0.3}], **options)
    weights = train(second, before, 3)
    torch.save(second.state_dict(), tmp_path / "optimizer.pt")
    third = kind([{"params": after[:2]}, {"params": after[2:]}])
    third.load_state_dict(torch.load(tmp_path / "optimizer.pt", weights_only=True))
    for p, weight in zip(after, weights, strict=True):
        p.data.copy_(weight)

    assert third.param_groups[1]["lr"] == 0.3
    assert same(train(third, after, 3, seed=1), wanted)


@BOTH
def test_a_copy_steps_apart(kind):
    given = parameters()
    optimizer = kind(given)
    train(optimizer, given, 2)
    before = copy.deepcopy(optimizer.state_dict())
    other = copy.deepcopy(optimizer)
    train(other, [p for g in other.param_groups for p in g["params"]], 2)
    for one, two in zip(
        before["state"].values(), optimizer.state_dict()["state"].values(), strict=True
    ):
        assert one["step"] == two["step"]
        assert same([one["exp_avg"]], [two["exp_avg"]])


@BOTH
def test_groups_and_closure(kind):
    one, two, idle = (nn.Parameter(torch.ones(n)) for n in (3, 2, 2))
    optimizer = kind([{"params": [one]}, {"params": [two, idle], "lr": 0.0}], weight_decay=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (one.square().sum() + two.square().sum()) / 2
        loss.backward()
        return loss

    assert float(optimizer.step(closure).detach()) == pytest.approx(2.5)
    assert not torch.equal(one.detach(), torch.ones(3))
    assert torch.equal(two.detach(), torch.ones(2))
    assert torch.equal(idle.detach(), torch.ones(2))
    assert idle not in optimizer.state


@BOTH
def test_nothing_to_do(kind):
    given = parameters()
    optimizer = kind(given)
    assert optimizer.step() is None
    assert not optimizer.state


@BOTH
def test_parameters_count_their_own_steps(kind):
    """One that had no gradient at first is where it would be alone."""
    late, alone, early = (nn.Parameter(torch.ones(4, dtype=torch.float64)) for _ in range(3))
    optimizer = kind([early, late])
    train(optimizer, [early], 5)
    gradients = [torch.randn(4, dtype=torch.float64) for _ in range(3)]
    single = kind([alone])
    for gradient in gradients:
        late.grad, alone.grad, early.grad = gradient, gradient.clone(), torch.ones_like(early)
        optimizer.step()
        single.step()
    assert (optimizer.state[early]["step"], optimizer.state[late]["step"]) == (8, 3)
    torch.testing.assert_close(late, alone)


@BOTH
@pytest.mark.parametrize("order", [1, -1])
def test_dtypes_beside_each_other(kind, order):
    """A model of float32 with a part in float16: each part is where it would be alone."""
    dtypes = (torch.float32, torch.float16)[::order]
    shapes = ((30, 40), (50,))
    mixed = [p for dtype in dtypes for p in parameters(dtype, shapes=shapes)]
    apart = [parameters(dtype, shapes=shapes) for dtype in dtypes]
    optimizers = [kind(mixed), *(kind(part) for part in apart)]
    for _ in range(3):
        gradients = [torch.randn_like(p) / 100 for p in mixed]
        for given in (mixed, [p for part in apart for p in part]):
            for p, g in zip(given, gradients, strict=True):
                p.grad = g.clone()
        for optimizer in optimizers:
            optimizer.step()
    assert same([p for part in apart for p in part], mixed)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (AdaL, {"lr": 0.01}),
        (AdaL, {"lr": 0.01, "norm": "mean_abs", "eps_mode": "adam"}),
        (AdaL, {"lr": 0.01, "norm": "mean_abs", "weight_decay": 0.01, "decoupled": True}),
        (Padam, {"lr": 0.02}),
        (Padam, {"lr": 0.01, "p": 0.5}),
        (Padam, {"lr": 0.01, "p": 0.4, "bias_correction": False}),
    ],
)
def test_half_precision_trains(kind, options, dtype):
    """State in the parameters' dtype, some gradients below it; the loss falls to a third."""
    torch.manual_seed(0)
    x = torch.randn(64, 8, dtype=dtype)
    x[:, 0] *= 1e-4  # its squared gradients are no numbers of float16
    y = (x @ torch.randn(8, 1, dtype=dtype)).detach()
    layer = nn.Linear(8, 1, dtype=dtype)
    optimizer = kind(layer.parameters(), **options)
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        loss = (layer(x) - y).float().square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    for p in layer.parameters():
        assert p.isfinite().all()
        for key, value in optimizer.state[p].items():
            assert key == "step" or (value.dtype == dtype and value.isfinite().all())
    assert losses[-1] < losses[0] / 3


def test_the_l1_norm_of_a_large_half_precision_gradient_is_a_number():
    """100,000 ones sum to more than float16 has."""
    gradient = torch.ones(100_000, dtype=torch.float16)
    weight = nn.Parameter(torch.zeros(100_000, dtype=torch.float16))
    bucket = foreach.Bucket({}, 1, [weight], [gradient])
    assert float(foreach.l1_norms(bucket)[0]) == 100_000
    gradient[7] = 1e-3  # its product with the norm is a number, the norm in float16 is none
    seen = AdaL([weight]).transformed({weight: gradient})[weight]
    assert float(seen[7]) == pytest.approx(100, rel=0.01)


@BOTH
def test_schedulers_and_hooks_work(kind):
    given = parameters()
    optimizer = kind(given, lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.0)
    steps = []
    optimizer.register_step_post_hook(lambda *_: steps.append(1))
    train(optimizer, given, 1)
    schedule.step()
    before = [p.detach().clone() for p in given]
    assert same(train(optimizer, given, 2), before)
    assert len(steps) == 3


@pytest.mark.gpu
@EVERY
def test_no_sync_on_a_gpu_and_the_same_numbers(kind, options):
    here, there = parameters(torch.float64), parameters(torch.float64, "cuda")
    for one, other in zip(here, there, strict=True):
        other.data.copy_(one.data)
    wanted = train(kind(here, **options), here, 1)
    optimizer = kind(there, **options)
    found = train(optimizer, there, 1)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.cpu(), other)
    torch.cuda.synchronize()
    try:
        torch.cuda.set_sync_debug_mode("error")
        optimizer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
