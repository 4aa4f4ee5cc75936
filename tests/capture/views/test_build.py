"""From names to views of one probe: what is refused, what they share, what they are."""

from __future__ import annotations

import gc
from itertools import pairwise

import numpy as np
import pytest
import torch
from models import data, noisy_model, plain_model, squared
from optimizers import all_of, same
from torch import nn

from noise_lens import optim
from noise_lens.capture.probe import probe_views
from noise_lens.capture.ranks import Ranks
from noise_lens.capture.seeding import derived_seed
from noise_lens.capture.views import (
    VIEWS,
    build_views,
    check_views,
    common_reference,
    needs_beta,
    needs_optimizer,
)
from noise_lens.errors import CaptureError
from noise_lens.theory.averaging import ema_weights

FROZEN = ("gradient", "momentum", "update", "transformed")


def adal(model):
    return optim.AdaL(model.parameters(), lr=1e-2)


def probed(model, *views, n=60, batch_size=8, **options):
    return probe_views(
        model, squared, data(), views=views, n_minibatches=n, batch_size=batch_size, **options
    )


def gradients_of(model, n, batch_size=8, seed=0):
    """Gradients of the minibatches of a probe, flat, in float64: the slow way."""
    rows = []
    for batch in data().draw(n, batch_size, derived_seed(seed, "minibatches")):
        found = torch.autograd.grad(squared(model, batch), list(model.parameters()))
        rows.append(torch.cat([part.flatten().double() for part in found]))
    return torch.stack(rows).numpy()


def columns_of(sketch, model):
    """Places of the coordinates of `all` in a flat gradient of a model in its own order."""
    starts = dict(
        zip(
            dict(model.named_parameters()),
            np.cumsum([0, *(p.numel() for p in model.parameters())]),
            strict=False,
        )
    )
    group = sketch.groups[0]
    return [starts[sketch.tensors[tensor]] + place for tensor, place in group.positions]


def test_names():
    assert VIEWS == ("gradient", "momentum", "update", "transformed", "trajectory")
    check_views(["update", "gradient"])
    for bad in ((), ["grad"], ["gradient", "gradient"], "update"):
        with pytest.raises(CaptureError, match="views must be different ones of gradient, mom"):
            check_views(bad)
    assert not needs_optimizer(["gradient"])
    assert needs_optimizer(["momentum"])
    assert not needs_optimizer(["gradient", "momentum"], 0.9)
    assert needs_optimizer(["trajectory"], 0.9)
    assert [needs_beta([view]) for view in VIEWS] == [False, True, False, False, True]


def test_what_a_view_lacks_is_named():
    parameters = list(plain_model().parameters())
    with pytest.raises(CaptureError, match=r"views update are an optimizer's.*--optimizer"):
        build_views(["gradient", "momentum", "update"], parameters, None, 0.9, needs_state=False)
    for beta in (None, 1.0, -0.1, float("nan")):
        with pytest.raises(
            CaptureError, match=r"'momentum' averages with a decay beta in \[0, 1\)"
        ):
            build_views(["gradient", "momentum"], parameters, None, beta, needs_state=False)
    model = plain_model()
    with pytest.raises(CaptureError, match="'trajectory' averages with a decay beta"):
        probed(model, "trajectory", optimizer=torch.optim.SGD(model.parameters(), lr=0.1))


def test_labels():
    model = plain_model()
    views = build_views(FROZEN, list(model.parameters()), adal(model), 0.5, needs_state=False)
    labels = [(v.name, v.optimizer, v.beta, v.window, v.linear) for v in views]
    assert labels == [
        ("gradient", None, None, 1, True),
        ("momentum", "AdaL", 0.5, 4, False),
        ("update", "AdaL", None, 1, False),
        ("transformed", "AdaL", None, 1, False),
    ]
    (plain,) = build_views(["momentum"], list(model.parameters()), None, 0.5, needs_state=False)
    assert (plain.optimizer, plain.linear) == (None, True)


def test_views_of_a_probe_have_one_reference():
    model = plain_model()
    parameters, optimizer = list(model.parameters()), torch.optim.SGD(model.parameters(), lr=0.1)
    views = {
        name: build_views([name], parameters, optimizer, 0.5, needs_state=False)[0]
        for name in ("gradient", "momentum", "update")
    }
    straight, bent = [views["gradient"], views["momentum"]], [views["gradient"], views["update"]]
    assert common_reference("full", "why", "auto", straight, FROZEN) == ("full", "why")
    chosen, reason = common_reference("full", "why", "auto", bent, FROZEN)
    assert chosen == "pair"
    assert "'update'" in reason
    for asked in ("pair", "mean"):
        assert common_reference(asked, "asked for", asked, bent, FROZEN) == (asked, "asked for")
    with pytest.raises(CaptureError, match=r"not the mean of the view 'update'.*reference='pair'"):
        common_reference("full", "why", "full", bent, FROZEN)


@pytest.mark.parametrize("reference", ["full", "pair", "mean"])
@pytest.mark.parametrize("n", [60, 63, 75])
def test_rows_of_an_average_are_those_of_naive_code(reference, n):
    """Also where a last window is not full, and with `mean`, which reads the minibatches twice."""
    model, beta, window = plain_model(), 0.5, 4
    found = probed(model, "gradient", "momentum", n=n, beta=beta, reference=reference)
    gradients = gradients_of(model, n)
    weights = ema_weights(beta, window)[::-1]
    n_windows = n // window
    vectors = np.stack([
        weights @ gradients[window * k : window * (k + 1)] for k in range(n_windows)
    ])  # fmt: skip
    if reference == "pair":
        vectors = vectors[: n_windows // 2 * 2]
        expected = vectors[::2] - vectors[1::2]
    elif reference == "mean":
        expected = vectors - vectors.mean(axis=0)
    else:
        whole = data().pick(range(200))
        full = torch.autograd.grad(squared(model, whole), list(model.parameters()))
        expected = vectors - torch.cat([g.flatten() for g in full]).double().numpy()
    sketch = found["momentum"]
    assert (sketch.view, sketch.beta, sketch.window) == ("momentum", beta, window)
    columns = expected[:, columns_of(sketch, model)]
    norms = np.linalg.norm(expected, axis=1)
    assert sketch.groups[0].coordinates.shape == columns.shape
    assert sketch.groups[0].coordinates == pytest.approx(columns, abs=2e-6 * norms.max())
    assert sketch.groups[0].norms == pytest.approx(norms, rel=1e-5)
    assert found["gradient"].groups[0].norms.shape == (n // 2 if reference == "pair" else n,)


@pytest.mark.parametrize("reference", ["pair", "mean", "full"])
def test_without_decay_momentum_is_gradient_bit_for_bit(reference):
    found = probed(plain_model(), "gradient", "momentum", beta=0.0, reference=reference)
    for one, two in zip(found["gradient"].groups, found["momentum"].groups, strict=True):
        for of in ("coordinates", "projections", "norms", "histogram", "noise_zero_shares"):
            assert np.array_equal(getattr(one, of), getattr(two, of))


@pytest.mark.parametrize("groups", ["tensor", {"b": "*.bias", "w": "*.weight"}])
def test_views_share_coordinates_and_order(groups):
    """Groups of patterns put biases together, so that gradients are not in the model's order; the
    rows of every view say whose they are.
    """
    model = plain_model()
    options = {"optimizer": adal(model), "beta": 0.0, "reference": "pair", "groups": groups}
    found = probed(model, *FROZEN, **options)
    assert list(found) == list(FROZEN)
    first, *others = found.values()
    assert all(np.array_equal(s.groups[0].positions, first.groups[0].positions) for s in others)
    assert all(s.tensors == first.tensors for s in others)
    gradients = gradients_of(model, 60)
    bounds = np.cumsum([0, *(p.numel() for p in model.parameters())])
    for start, stop in pairwise(bounds):
        part = gradients[:, start:stop]
        part *= np.abs(part).sum(axis=1, keepdims=True)
    expected = (gradients[::2] - gradients[1::2])[:, columns_of(first, model)]
    for view in ("transformed", "momentum"):  # of a decay of 0: what the moments would see
        assert found[view].groups[0].coordinates == pytest.approx(
            expected, abs=1e-5 * np.abs(expected).max()
        )


def test_order_of_views_is_that_asked_for():
    model = plain_model()
    views = ("transformed", "gradient", "update", "momentum")
    found = probed(model, *views, optimizer=adal(model), beta=0.5)
    assert tuple(found) == views
    alone = {view: probed(model, view, optimizer=adal(model), beta=0.5, reference="pair")[view]
             for view in views}  # fmt: skip
    for view in views:  # each as if it had been asked for alone
        one, two = found[view].groups[0], alone[view].groups[0]
        assert np.array_equal(one.coordinates, two.coordinates)
        assert np.array_equal(one.norms, two.norms)


def test_a_probe_of_all_views_leaves_training_alone():
    """BatchNorm, dropout, hooks, gradients in place, an optimizer in the middle of its way."""
    model = noisy_model()
    optimizer = adal(model)
    for number in range(3):
        squared(model, data().pick(range(number, number + 8))).backward()
        optimizer.step()
    calls = []
    optimizer.register_step_pre_hook(lambda *parts: calls.append(1))
    before = all_of(model, optimizer)
    found = probed(model, *FROZEN, optimizer=optimizer, beta=0.9, n=100)
    assert same(before, all_of(model, optimizer))
    assert not calls
    assert {sketch.reference for sketch in found.values()} == {"pair"}
    assert [len(sketch.groups[0].coordinates) for sketch in found.values()] == [50, 2, 50, 50]


def test_models_of_other_types():
    """Float64 and bfloat16, unused and tied parameters, a weight whose gradient is transposed."""

    class Odd(nn.Module):
        def __init__(self, dtype):
            super().__init__()
            self.one = nn.Linear(6, 6, bias=False, dtype=dtype)
            self.two = nn.Linear(6, 6, dtype=dtype)
            self.two.weight = self.one.weight
            self.unused = nn.Parameter(torch.ones(7, dtype=dtype))
            self.frozen = nn.Parameter(torch.ones(3, dtype=dtype), requires_grad=False)

        def forward(self, x):
            x = x.to(self.one.weight.dtype)
            return (self.two(torch.tanh(self.one(x))) @ self.one.weight.t()).sum(dim=1).float()

    for dtype in (torch.float64, torch.bfloat16):
        torch.manual_seed(0)
        model = Odd(dtype)
        found = probed(model, *FROZEN, optimizer=adal(model), beta=0.5)
        assert found["update"].tensors == ("unused", "one.weight", "two.bias")
        for sketch in found.values():
            unused = next(g for g in sketch.groups if g.name == "unused")
            assert not unused.norms.any()
            assert sketch.groups[0].norms.all()
            assert np.isfinite(sketch.groups[0].coordinates).all()


def test_several_ranks_are_refused():
    model = plain_model()
    for options in ({"views": ("gradient", "momentum"), "beta": 0.5}, {"published": True}):
        with pytest.raises(CaptureError, match=r"several ranks.*one process"):
            probe_views(
                model, squared, data(), n_minibatches=60, ranks=Ranks(1, 2), **options
            )  # fmt: skip


def test_windows_that_leave_fewer_than_two_rows():
    with pytest.raises(CaptureError, match=r"takes 44 minibatches .beta 0.9: windows of 22., and"):
        probed(plain_model(), "momentum", beta=0.9, reference="pair")


def test_examples_belong_to_minibatches_and_not_to_windows():
    model = plain_model()
    found = probed(model, *FROZEN, optimizer=adal(model), beta=0.5)
    assert [s.example_indices is None for s in found.values()] == [False, True, False, False]
    assert found["update"].example_indices.shape == (60, 8)


def test_nothing_stays_of_a_minibatch():
    """As many tensors are alive after 64 minibatches as after 256, both times with no window
    open and no pair: no graph, no vector, no copy stays.
    """
    model, alive = plain_model(), {}

    def count(_):
        alive["n"] = alive.get("n", 0) + 1
        if alive["n"] in (64, 256):
            gc.collect()
            alive[alive["n"]] = sum(issubclass(type(x), torch.Tensor) for x in gc.get_objects())

    probed(model, *FROZEN, optimizer=adal(model), beta=0.5, n=260, on_minibatch=count)
    assert alive[64] == alive[256]
