"""What tensor hooks keep, against gradients that are computed a second time by hand."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from noise_lens.capture.groups import build_groups
from noise_lens.capture.passive import PassiveCapture
from noise_lens.capture.passive.every import EveryCoordinate


class Kept:
    """A capture of a model's parameters, and all that it hands over."""

    def __init__(self, model, **options):
        self.parameters = dict(model.named_parameters())
        self.rows, self.norms, self.steps, self.problems = [], [], [], []
        self.capture = PassiveCapture(
            self.parameters, n_coordinates=options.pop("n_coordinates", 65_536), seed=0,
            on_rows=self.keep, on_problem=self.problems.append, **options,
        )  # fmt: skip

    def keep(self, rows):
        self.rows.extend(rows.values)
        self.norms.extend(rows.norms)
        self.steps.extend(rows.steps.tolist())

    def done(self):
        self.capture.drain()
        self.capture.remove()
        assert self.problems == []
        return np.array(self.rows), np.array(self.norms)

    def expected(self, gradients):
        """The row and norms of gradients by name; zeros where there is none."""
        row, norms = [], []
        for pick in self.capture.picks:
            gradient = gradients.get(pick.name)
            if gradient is None:
                gradient = torch.zeros_like(self.parameters[pick.name])
            row.append(gradient.detach().float().flatten()[torch.from_numpy(pick.positions)])
            norms.append(gradient.detach().float().norm())
        return torch.cat(row).numpy(), torch.stack(norms).numpy()


def model_and_data(seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
    batches = [torch.randn(4, 6) for _ in range(6)]
    return model, batches


def gradients_of(model, batch):
    """Gradients of a copy, which has no hooks; that of the mean square of what it returns."""
    model = copy.deepcopy(model)
    for parameter in model.parameters():
        parameter.grad = None
        parameter._backward_hooks = None
        parameter._post_accumulate_grad_hooks = None
    model(batch).square().mean().backward()
    return {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("set_to_none", [True, False])
def test_rows_are_the_gradients_of_single_micro_batches(accumulate, set_to_none):
    """Also where .grad accumulates, is clipped and is zeroed in place behind the hooks' back."""
    model, batches = model_and_data()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    kept, expected = Kept(model, n_coordinates=60), []
    for index, batch in enumerate(batches):
        expected.append(kept.expected(gradients_of(model, batch)))
        model(batch).square().mean().backward()
        if index % accumulate == accumulate - 1:
            nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
            optimizer.step()
            kept.capture.end_step()
            optimizer.zero_grad(set_to_none=set_to_none)
    rows, norms = kept.done()
    assert np.array_equal(rows, [row for row, _ in expected])
    assert norms == pytest.approx(np.array([norm for _, norm in expected]), rel=1e-6)
    assert kept.steps == [index // accumulate for index in range(6)]
    assert kept.capture.micro_batches_a_step == accumulate


def test_a_loss_scale_and_a_divisor_are_taken_out():
    model, batches = model_and_data()
    scale = torch.tensor(1024.0)
    kept = Kept(model, scale=lambda: scale, loss_divisor=4.0)
    expected, _ = kept.expected(gradients_of(model, batches[0]))
    (model(batches[0]).square().mean() / 4 * scale).backward()
    rows, _ = kept.done()
    assert rows[0] == pytest.approx(expected, rel=1e-6)


def test_a_parameter_without_a_gradient_has_zeros():
    model, batches = model_and_data()
    unused = nn.Linear(2, 2)
    both = nn.ModuleList([model, unused])
    kept = Kept(both)
    model(batches[0]).sum().backward()
    rows, norms = kept.done()
    assert (rows[0][-6:] == 0).all()
    assert (rows[0][:-6] != 0).any()
    assert norms[0][-2:].tolist() == [0, 0]


def test_other_memory_formats_give_the_same_coordinates():
    """A channels_last gradient is not contiguous; coordinates are those of the logical order."""
    torch.manual_seed(0)
    model = nn.Conv2d(8, 4, 3).to(memory_format=torch.channels_last)
    x = torch.randn(2, 8, 6, 6).to(memory_format=torch.channels_last)
    kept = Kept(model, n_coordinates=50)
    expected, norms = kept.expected(gradients_of(model, x))
    model(x).square().mean().backward()
    assert not model.weight.grad.is_contiguous()
    rows, found = kept.done()
    assert rows[0] == pytest.approx(expected, rel=1e-6)
    assert found[0] == pytest.approx(norms, rel=1e-6)


def test_reentrant_checkpoints_leave_one_row():
    """Each segment is a backward pass of its own inside the one of training."""
    model, batches = model_and_data()
    kept = Kept(model)
    expected, _ = kept.expected(gradients_of(model, batches[0]))
    x = batches[0].requires_grad_()
    hidden = checkpoint(model[0], x, use_reentrant=True)
    checkpoint(model[2], model[1](hidden), use_reentrant=True).square().mean().backward()
    rows, _ = kept.done()
    assert len(rows) == 1
    assert rows[0] == pytest.approx(expected, rel=1e-6)


def test_low_precision_gradients_are_kept_in_float32():
    model, batches = model_and_data()
    model.bfloat16()
    kept = Kept(model)
    expected, _ = kept.expected(gradients_of(model, batches[0].bfloat16()))
    model(batches[0].bfloat16()).square().mean().backward()
    rows, _ = kept.done()
    assert np.array_equal(rows[0], expected)
    assert kept.capture.dtypes == {"bfloat16"}


def test_a_step_inside_the_backward_pass_is_seen_before_it():
    """The optimizer writes into the gradient in a post-accumulate hook of the user."""
    model, batches = model_and_data()
    kept = None

    def step(parameter):
        parameter.grad.mul_(1e-3)  # as a clip inside the backward pass would
        parameter.data.sub_(parameter.grad)
        parameter.grad = None

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(step)
    kept, expected = Kept(model), []
    for batch in batches[:3]:
        expected.append(kept.expected(gradients_of(model, batch))[0])
        model(batch).square().mean().backward()
        kept.capture.end_step()
    rows, _ = kept.done()
    assert np.array_equal(rows, expected)


def _wipe(parameter):
    parameter.grad.zero_()


def test_a_write_that_nobody_announced_loses_the_row_and_is_counted():
    """A post-accumulate hook that came after the capture: one row is lost, the next are right."""
    model, batches = model_and_data()
    kept = Kept(model)
    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(_wipe)
    expected = []
    for batch in batches[:3]:
        expected.append(kept.expected(gradients_of(model, batch))[0])
        model(batch).square().mean().backward()
        model.zero_grad()
        kept.capture.end_step()
    rows, _ = kept.done()
    assert kept.capture.n_lost == 1
    assert np.array_equal(rows, expected[1:])


def test_a_backward_pass_that_breaks_off_does_not_mix_into_the_next():
    class Breaks(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            raise ZeroDivisionError

    model, batches = model_and_data()
    kept = Kept(model)
    with pytest.raises(ZeroDivisionError):
        model[2](Breaks.apply(model[1](model[0](batches[0])))).sum().backward()
    expected, _ = kept.expected(gradients_of(model, batches[1]))
    model.zero_grad()
    model(batches[1]).square().mean().backward()
    kept.capture.end_step()
    rows, _ = kept.done()
    assert np.array_equal(rows[-1], expected)


def test_views_do_not_keep_gradients_alive():
    """After a backward pass nothing of a gradient is held: storage goes with .grad."""
    model, batches = model_and_data()
    kept = Kept(model)
    model(batches[0]).square().mean().backward()
    assert kept.capture._held == []
    kept.done()


def test_a_failure_takes_the_hooks_away_and_training_goes_on():
    model, batches = model_and_data()
    kept = Kept(model)
    kept.capture._ring.row = None  # not callable: the next gather fails
    model(batches[0]).square().mean().backward()
    assert len(kept.problems) == 1
    assert all(not p._backward_hooks for p in model.parameters())
    model(batches[1]).square().mean().backward()


def test_every_coordinate_against_stored_gradients():
    model, batches = model_and_data()
    parameters = dict(model.named_parameters())
    groups = build_groups(list(parameters), "module")
    sizes = {name: p.numel() for name, p in parameters.items()}
    every = EveryCoordinate(sizes, groups, torch.device("cpu"))
    kept = Kept(model, every=every)
    stored = []
    for batch in batches:
        stored.append(gradients_of(model, batch))
        model(batch).square().mean().backward()
        kept.capture.end_step()
        model.zero_grad()
    found = every.compute()
    kept.done()
    assert list(found) == ["0", "2"]
    first = torch.cat(
        [torch.stack([g[name].flatten() for g in stored]) for name in ("0.weight", "0.bias")], 1
    ).double()
    variance = first.var(0)
    assert found["0"].noise == pytest.approx(float(variance.sum()), rel=1e-5)
    signal = (first.mean(0).square() - variance / 6).sum()
    assert found["0"].signal == pytest.approx(float(signal), rel=1e-4)
    assert found["0"].scale_spread == pytest.approx(
        float((0.5 * variance.log()).std(correction=0)), rel=1e-4
    )
    assert found["0"].histogram.n + found["0"].histogram.n_zero == first.numel()
    assert every.compute() == {}
