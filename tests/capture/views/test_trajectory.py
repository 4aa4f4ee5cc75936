"""The view ``trajectory``: Zhou's noise with the weights moving, against a loop by hand."""

from __future__ import annotations

import copy
import functools

import numpy as np
import pytest
import torch
from models import dataset, noisy_model, squared
from optimizers import all_of, same
from torch import nn

from noise_lens.capture.groups import build_groups
from noise_lens.capture.layout import build_layout
from noise_lens.capture.probe import probe_views
from noise_lens.capture.views.trajectory import Trajectory
from noise_lens.errors import CaptureError
from noise_lens.tasks import minibatches_of

BETA = 0.5  # windows of 4


def linear(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 1), nn.Flatten(0)).to(dtype)


def examples(dtype=torch.float64, n=50):
    x, y = (tensor[:n].to(dtype) for tensor in dataset().tensors)
    return torch.utils.data.TensorDataset(x, y)


def trajectory_of(model, optimizer, source, loss=squared, beta=BETA, size=16):
    parameters = dict(model.named_parameters())
    layout = build_layout(
        {name: p.shape for name, p in parameters.items()}, build_groups(list(parameters), "all")
    )
    whole = functools.partial(source.whole, size)
    return Trajectory(model, loss, layout, list(parameters.values()), optimizer, beta, whole)


def flat(vector):
    return torch.cat([part.flatten() for part in vector])


def gradient(model, batch):
    return torch.autograd.grad(squared(model, batch), list(model.parameters()))


def by_hand(model, make, state, batches, whole):
    """(m' - m) / (1 - beta**W) of Zhou et al. (2020), with its own recursion and training."""
    model = copy.deepcopy(model)
    optimizer = make(model)
    optimizer.load_state_dict(copy.deepcopy(state))
    m = [torch.zeros_like(p) for p in model.parameters()]
    m_full = [torch.zeros_like(p) for p in model.parameters()]
    for batch in batches:
        raw, full = gradient(model, batch), gradient(model, whole)
        m = [BETA * a + (1 - BETA) * g for a, g in zip(m, raw, strict=True)]
        m_full = [BETA * a + (1 - BETA) * g for a, g in zip(m_full, full, strict=True)]
        for p, g in zip(model.parameters(), raw, strict=True):
            p.grad = g
        optimizer.step()
    return (flat(m_full) - flat(m)) / (1 - BETA ** len(batches))


MAKES = {
    "sgd": lambda m: torch.optim.SGD(m.parameters(), lr=0.05),
    "momentum": lambda m: torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9),
    "adam": lambda m: torch.optim.Adam(m.parameters(), lr=0.05),
}


@pytest.mark.parametrize("name", MAKES)
def test_on_a_quadratic_it_is_the_loop_by_hand(name):
    """Minus Zhou's, whose noise is the full gradient minus the minibatch's. Each row begins at
    the same weights and state, and neither of the two is written to.
    """
    model, source = linear(), minibatches_of(examples())
    optimizer = MAKES[name](model)
    whole = [tensor.clone() for tensor in examples().tensors]
    for number in range(3):  # a past
        batch = source.pick(range(8 * number, 8 * number + 8))
        for p, g in zip(model.parameters(), gradient(model, batch), strict=True):
            p.grad = g
        optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    before = all_of(model, optimizer)
    view = trajectory_of(model, optimizer, source)
    assert (view.window, view.beta, view.name) == (4, BETA, "trajectory")
    batches = list(source.draw(12, 8, 5))
    rows = list(view.vectors(iter(batches), 3))
    assert same(before, all_of(model, optimizer))
    assert len(rows) == 3
    for number, row in enumerate(rows):
        own = batches[4 * number : 4 * number + 4]
        expected = -by_hand(model, MAKES[name], state, own, whole)
        assert float((flat(row) - expected).norm() / expected.norm()) < 1e-10
    again = list(trajectory_of(model, optimizer, source).vectors(iter(batches), 3))
    assert all(torch.equal(flat(a), flat(b)) for a, b in zip(rows, again, strict=True))


def test_rows_begin_at_the_same_state():
    """The same four minibatches again: the same row, whatever came between."""
    model, source = linear(), minibatches_of(examples())
    optimizer = MAKES["momentum"](model)
    batches = list(source.draw(8, 8, 5))
    view = trajectory_of(model, optimizer, source)
    first, _, again = view.vectors(iter([*batches, *batches[:4]]), 3)
    assert torch.equal(flat(first), flat(again))


@pytest.mark.parametrize("name", MAKES)
def test_where_weights_hardly_move_it_is_the_view_momentum(name):
    """Through a probe, in float32, to 1e-5 of the norm; and it moves where they do."""
    model = linear(torch.float32)
    data = minibatches_of(examples(torch.float32))

    def rows(rate):
        optimizer = MAKES[name](model)
        optimizer.param_groups[0]["lr"] = rate
        found = probe_views(
            model, squared, data, views=("momentum", "trajectory"), optimizer=optimizer,
            beta=BETA, n_minibatches=60, batch_size=8, groups="all",
        )  # fmt: skip
        one, two = (found[view].groups[0] for view in ("momentum", "trajectory"))
        assert np.array_equal(one.positions, two.positions)
        assert {found[view].reference for view in found} == {"full"}
        assert len(one.coordinates) == len(two.coordinates) == 60 // 4
        return np.abs(one.coordinates - two.coordinates).max(axis=1) / one.norms

    assert rows(1e-9).max() < 1e-5
    assert rows(0.05).min() > 1e-3


def test_minibatches_that_leave_a_parameter_out():
    """Its noise is minus the full gradient then, not nothing."""

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)

    def picked(model, batch):
        x = batch[0]
        parts = []
        if (x > 0).any():
            parts.append(model.one(x[x > 0][:, None]).sum())
        if (x < 0).any():
            parts.append(model.two(x[x < 0][:, None]).sum())
        return sum(parts) / len(x)

    model = Two().double()
    x = torch.tensor([1.0, 2.0, -3.0, -4.0], dtype=torch.float64)
    source = minibatches_of(torch.utils.data.TensorDataset(x))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    view = trajectory_of(model, optimizer, source, picked, beta=0.0)
    (row,) = view.vectors(iter([[x[:2]]]), 1)
    # Full gradients: 3 / 4 and -7 / 4; of the first two examples: 3 / 2 and none.
    assert flat(row).tolist() == pytest.approx([0.75, 1.75])


def test_a_model_in_parts_of_one_data_set_of_any_size():
    """Parts of 7 of 50 examples give the same full gradient as one of 50."""
    model, source = linear(), minibatches_of(examples())
    batches = list(source.draw(4, 8, 5))
    rows = [
        next(trajectory_of(model, MAKES["sgd"](model), source, size=size).vectors(iter(batches), 1))
        for size in (7, 50)
    ]
    assert torch.allclose(flat(rows[0]), flat(rows[1]), rtol=1e-10)


@pytest.mark.parametrize("bf16", [False, True])
def test_what_is_not_trained_stays(bf16):
    """Parameters that are not the optimizer's are full of noise and do not move."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 1), nn.Flatten(0))
    model[1].weight.data = model[1].weight.data.to(torch.float32)
    model = model.bfloat16() if bf16 else model
    kind = torch.bfloat16 if bf16 else torch.float32
    source = minibatches_of(examples(kind))
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1)
    view = trajectory_of(model, optimizer, source)
    (row,) = view.vectors(iter(list(source.draw(4, 8, 5))), 1)
    assert all(part.dtype == torch.float32 and part.any() for part in row)
    moved = view._gradients._model
    assert torch.equal(moved[1].weight, model[1].weight)
    assert not torch.equal(moved[0].weight, model[0].weight)


def test_recurrent_networks_move_too():
    """An LSTM keeps a second list of its weights, which has to be the copy's."""
    torch.manual_seed(0)

    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.LSTM(2, 3, batch_first=True), nn.Linear(3, 1)

        def forward(self, x):
            return self.head(self.body(x.view(-1, 3, 2))[0][:, -1]).flatten()

    model = Last().double()
    source = minibatches_of(examples())
    make = MAKES["adam"]
    batches = list(source.draw(4, 8, 5))
    (row,) = trajectory_of(model, make(model), source).vectors(iter(batches), 1)
    whole = list(examples().tensors)
    expected = -by_hand(model, make, make(model).state_dict(), batches, whole)
    assert float((flat(row) - expected).norm() / expected.norm()) < 1e-10


def probe_trajectory(model, *views, **options):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return probe_views(
        model, squared, minibatches_of(dataset()), views=views or ("trajectory",),
        optimizer=optimizer, beta=BETA, n_minibatches=50, batch_size=8, **options,
    )  # fmt: skip


def test_alone():
    """Without a view of frozen weights there is no full gradient to keep, and no vector."""
    model = linear(torch.float32)
    lines = {}
    found = probe_trajectory(model, on_budget=lines.update)["trajectory"]
    assert len(found.groups[0].coordinates) == 50 // 4
    assert (found.view, found.optimizer, found.beta, found.window) == (
        "trajectory", "SGD", BETA, 4,
    )  # fmt: skip
    assert found.reference_reason == "a full gradient at every step"
    assert len(found.losses) == 50
    assert not any("full gradient" in name for name in lines)
    assert any("trajectory view, what it holds" in name for name in lines)


def test_what_it_cannot_be_is_refused():
    dropping = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 1), nn.Flatten(0))
    with pytest.raises(CaptureError, match=r"needs a full gradient.*is active.*mode='eval'"):
        probe_trajectory(dropping)
    plain = linear(torch.float32)
    with pytest.raises(CaptureError, match=r"reference 'pair' was asked for.*reference='full'"):
        probe_trajectory(plain, reference="pair")
    with pytest.raises(CaptureError, match="'trajectory' is noise against full gradients and 'upd"):
        probe_trajectory(plain, "trajectory", "update")

    plain.cache = plain[0].weight * 2
    with pytest.raises(CaptureError, match="Sequential cannot be copied"):
        probe_trajectory(plain)
    found = probe_trajectory(noisy_model().eval(), mode="eval")
    assert found["trajectory"].mode == "eval"
