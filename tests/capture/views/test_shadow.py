"""The copy of an optimizer: what it steps like, what it leaves alone, what it refuses."""

from __future__ import annotations

import copy
import gc

import pytest
import torch
from optimizers import ALL, all_of, gradients_of, of, same, small_model, step_with, train, trained
from torch import nn
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from noise_lens.capture.views.shadow import Shadow
from noise_lens.capture.views.update import Update
from noise_lens.errors import CaptureError


def steps_of(shadow, gradients):
    shadow.reset()
    shadow.step(gradients)
    return [p.detach().clone() for p in shadow.parameters]


@pytest.mark.parametrize("name", ALL)
def test_a_step_of_the_copy_is_the_next_step_of_the_optimizer(name):
    """In float64 to 1e-12, with a schedule on it; a second time, and after another gradient, the
    same vectors; and nothing of the optimizer has changed until it steps itself.
    """
    model, optimizer, schedule = trained(name, scheduled=True)
    if schedule is not None:
        schedule.step()
    parameters = list(model.parameters())
    gradients, others = gradients_of(model, 10), gradients_of(model, 11)
    kept = [g.clone() for g in gradients]
    before = all_of(model, optimizer)
    view = Update(optimizer, parameters)
    first = view.update(gradients)
    middle = view.update(others)
    again = view.update(gradients)
    assert same(before, all_of(model, optimizer))
    assert all(torch.equal(g, k) for g, k in zip(gradients, kept, strict=True))
    there = [number for number, step in enumerate(first) if step is not None]
    assert all(torch.equal(first[i], again[i]) for i in there)
    assert any(not torch.equal(first[i], middle[i]) for i in there)

    weights = [p.detach().clone() for p in parameters]
    step_with(model, optimizer, gradients)
    for i, (parameter, weight) in enumerate(zip(parameters, weights, strict=True)):
        step = torch.zeros_like(weight) if first[i] is None else first[i]
        assert torch.allclose(weight + step, parameter.detach(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ALL)
def test_float32_weights_are_stepped_by_the_same_rule(name):
    """Against the real step in float32: its difference of weights keeps three digits or more,
    but those that begin at steps of 1e-6 keep none.
    """
    model, optimizer, _ = trained(name, torch.float32)
    parameters = list(model.parameters())
    gradients = gradients_of(model, 10)
    found = Update(optimizer, parameters).update(gradients)
    weights = [p.detach().double() for p in parameters]
    step_with(model, optimizer, gradients)
    if name == "Prodigy":
        return
    for step, parameter, weight in zip(found, parameters, weights, strict=True):
        if step is not None:
            real = parameter.detach().double() - weight
            assert float((step - real).norm()) <= 0.02 * float(real.norm()) + 1e-12


@pytest.mark.parametrize("name", ["sgd momentum", "adam", "amsgrad", "adal", "adamw", "nadam"])
def test_it_steps_in_float64_from_a_state_in_float32(name):
    """As the same optimizer does whose weights and state were converted first."""
    model, optimizer, _ = trained(name, torch.float32)
    wide = copy.deepcopy(model).double()
    other = ALL[name](list(wide.parameters()))
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    gradients = gradients_of(model, 10)
    found = Update(optimizer, list(model.parameters())).update(gradients)
    weights = [p.detach().clone() for p in wide.parameters()]
    step_with(wide, other, [g.double() for g in gradients])
    for step, parameter, weight in zip(found, wide.parameters(), weights, strict=True):
        assert step.dtype == torch.float32
        real = (parameter.detach() - weight).float()
        assert torch.allclose(step, real, rtol=1e-6, atol=1e-10)


def test_counters_in_groups_and_attributes_begin_again():
    """Of an optimizer that has not stepped: what a step makes anew is not there at the next."""
    for name in ("Adai", "SOAP", "Prodigy", "Lookahead", "adagrad", "adam", "adal"):
        model = small_model()
        optimizer = ALL[name](list(model.parameters()))
        before = all_of(model, optimizer)
        shadow = Shadow(optimizer, list(model.parameters()))
        gradients = gradients_of(model, 0)
        first = steps_of(shadow, gradients)
        for _ in range(3):
            again = steps_of(shadow, gradients)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        assert same(before, all_of(model, optimizer))


class Counting(torch.optim.Optimizer):
    """Keeps what it knows where nobody else does: in attributes, by id, under a word, in a list."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})
        self.n_steps, self.history, self.by_id = 0, [], {}
        self.me = self

    @torch.no_grad()
    def step(self, closure=None):
        self.n_steps += 1
        self.history.append(self.n_steps)
        self.state["all"].setdefault("n", torch.zeros(2))
        self.state["all"]["n"] += 1
        assert self.me is self
        for group in self.param_groups:
            group["seen"] = group.get("seen", 0) + 1
            for p in group["params"]:
                if p.grad is not None:
                    own = self.by_id.setdefault(id(p), {"sums": [torch.zeros_like(p)]})
                    own["sums"][0] += p.grad
                    weight = len(self.history) * group["seen"] * self.state["all"]["n"].sum()
                    p.sub_(own["sums"][0] * weight.to(p.dtype), alpha=group["lr"])
                    p.grad.zero_()


@pytest.mark.parametrize("n_before", [0, 3])
def test_state_may_be_anywhere(n_before):
    model = small_model()
    optimizer = Counting(list(model.parameters()), lr=1e-3)
    train(model, optimizer, n_before)
    parameters = list(model.parameters())
    before = all_of(model, optimizer)
    shadow = Shadow(optimizer, parameters)
    gradients = gradients_of(model, 10)
    found = [steps_of(shadow, gradients) for _ in range(3)][-1]
    assert same(before, all_of(model, optimizer))
    step_with(model, optimizer, gradients)
    assert all(
        torch.allclose(a, b, rtol=1e-12) for a, b in zip(found, model.parameters(), strict=True)
    )


def test_functions_that_would_step_the_optimizer_itself_are_refused():
    """As Accelerate keeps one under a loss scale: a copy of the wrapper would still call it."""
    model, optimizer, _ = trained("sgd")
    real = optimizer.step
    optimizer.patched = lambda: (real(), None)[1]
    optimizer.plain = lambda: model
    before = all_of(model, optimizer)
    with pytest.raises(CaptureError, match=r"a SGD cannot be copied .*would step .*that it wraps"):
        Update(optimizer, list(model.parameters()))
    assert same(before, all_of(model, optimizer))
    del optimizer.patched
    Update(optimizer, list(model.parameters()))


def test_a_wrapper_of_accelerate_steps_like_what_it_wraps():
    accelerate = pytest.importorskip("accelerate")
    model, optimizer, _ = trained("adam")
    gradients = gradients_of(model, 10)
    expected = Update(optimizer, list(model.parameters())).update(gradients)
    wrapper = accelerate.Accelerator(cpu=True).prepare_optimizer(optimizer)
    before = all_of(model, optimizer)
    found = Update(wrapper, list(model.parameters())).update(gradients)
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
    assert same(before, all_of(model, optimizer))


def test_hooks_and_schedules_are_of_training():
    """Neither those of this optimizer nor those of all optimizers see a step of the copy."""
    model, optimizer, schedule = trained("adam", scheduled=True)
    calls = []
    wrapped = optimizer.step
    handles = [
        optimizer.register_step_pre_hook(lambda *parts: calls.append("own")),
        optimizer.register_step_post_hook(lambda *parts: calls.append("own")),
        register_optimizer_step_pre_hook(lambda *parts: calls.append("all")),
        register_optimizer_step_post_hook(lambda *parts: calls.append("all")),
    ]
    try:
        count = schedule._step_count
        view = Update(optimizer, list(model.parameters()))
        view.update(gradients_of(model, 10))
        assert not calls
        assert optimizer.step is wrapped
        assert schedule._step_count == count
        train(model, optimizer, 1)
        assert calls == ["all", "own", "own", "all"]
    finally:
        for handle in handles:
            handle.remove()


def test_the_learning_rate_is_that_of_the_moment():
    """A schedule that moves on between two resets."""
    model, optimizer, _ = trained("sgd")
    shadow = Shadow(optimizer, list(model.parameters()))
    gradients = gradients_of(model, 10)
    steps = []
    for rate in (0.1, 0.05):
        optimizer.param_groups[0]["lr"] = rate
        after = steps_of(shadow, gradients)
        steps.append([a - p.detach() for a, p in zip(after, model.parameters(), strict=True)])
    for one, two in zip(*steps, strict=True):
        assert torch.allclose(one, 2 * two, rtol=1e-9, atol=1e-15)


def test_parameters_that_only_one_of_the_two_has():
    """The model's head is not trained, the optimizer holds a frozen tensor and one of another
    model; the frozen one and the stranger's state stay, and the head has no step.
    """
    model = small_model()
    model[2].weight.requires_grad_(False)
    stranger = nn.Parameter(torch.ones(3, dtype=torch.float64))
    held = [*model[0].parameters(), *model[2].parameters(), stranger]
    optimizer = torch.optim.Adam(held)
    stranger.grad = torch.ones_like(stranger)
    trainable = [p for p in model.parameters() if p.requires_grad]
    gradients = [torch.ones_like(p) for p in trainable]
    for p, g in zip(trainable, gradients, strict=True):
        p.grad = g.clone()
    optimizer.step()
    before = all_of(model, optimizer)
    found = Update(optimizer, trainable).update(gradients)
    assert same(before, all_of(model, optimizer))
    names = [n for n, p in model.named_parameters() if p.requires_grad]
    there = {n: step is not None for n, step in zip(names, found, strict=True)}
    assert there == {
        "0.weight": True, "0.bias": True, "2.bias": True, "3.weight": False, "3.bias": False,
    }  # fmt: skip


def test_a_parameter_without_a_gradient_does_not_move():
    model, optimizer, _ = trained("adamw")
    gradients = [None, *gradients_of(model, 10)[1:]]
    found = Update(optimizer, list(model.parameters())).update(gradients)
    assert not found[0].any()
    assert all(step.any() for step in found[1:])


def test_bfloat16_weights_have_steps_below_their_rounding():
    """A step of 1e-5 is lost in the weights themselves; the copy has it, to its digits."""
    model, optimizer, _ = trained("sgd", torch.bfloat16)
    optimizer.param_groups[0]["lr"] = 1e-7
    gradients = gradients_of(model, 10)
    for step, gradient in zip(
        Update(optimizer, list(model.parameters())).update(gradients), gradients, strict=True
    ):
        assert step.dtype == torch.float32
        assert torch.allclose(step.double(), -1e-7 * gradient.double(), rtol=1e-6, atol=1e-15)


def test_mixed_types_and_strides():
    model = small_model(torch.float32)
    model[3].to(torch.bfloat16)
    model[2].to(torch.float64)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)
    gradients = [torch.randn_like(p) for p in parameters]
    gradients[0] = gradients[0].t().contiguous().t()
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = g.clone()
    optimizer.step()
    found = Update(optimizer, parameters).update(gradients)
    assert [f.dtype for f in found] == [torch.float32] * 2 + [torch.float64] * 2 + [
        torch.float32
    ] * 2
    assert all(torch.isfinite(f).all() and f.any() for f in found)


def test_what_cannot_step_is_refused_before_any_minibatch():
    model = small_model()
    parameters = list(model.parameters())
    with pytest.raises(CaptureError, match=r"LBFGS raised .*without a closure.*leave them out"):
        Update(torch.optim.LBFGS(parameters), parameters)

    class Needy(torch.optim.SGD):
        def step(self, closure):
            return closure()

    with pytest.raises(CaptureError, match=r"a copy of Needy raised TypeError.*closure"):
        Update(Needy(parameters, lr=0.1), parameters)
    with pytest.raises(CaptureError, match=r"SparseAdam.*raised"):
        Update(torch.optim.SparseAdam(parameters), parameters)

    optimizer = torch.optim.SGD(parameters, lr=0.1)
    optimizer.lock = (one for one in range(3))
    with pytest.raises(CaptureError, match=r"a SGD cannot be copied \(TypeError"):
        Update(optimizer, parameters)


def test_an_optimizer_of_another_model_is_refused():
    model, other = small_model(), small_model()
    with pytest.raises(CaptureError, match="none of the model's parameters is in the SGD"):
        Update(torch.optim.SGD(other.parameters(), lr=0.1), list(model.parameters()))


@pytest.mark.parametrize(
    ("make", "refused"),
    [
        (of(torch.optim.SGD, lr=0.1), False),
        (of(torch.optim.SGD, lr=0.1, momentum=0.9), True),
        (of(torch.optim.Adam), True),
        (of(torch.optim.Adagrad), True),  # lays its state out when it is made
        (ALL["Adai"], True),
        (ALL["adal"], True),
    ],
)
def test_a_step_that_depends_on_the_past_needs_it(make, refused):
    model = small_model()
    optimizer = make(list(model.parameters()))
    if refused:
        with pytest.raises(CaptureError, match=r"needs the state of .*optimizer_state_dict"):
            Update(optimizer, list(model.parameters()), needs_state=True)
    train(model, optimizer, 1)
    Update(optimizer, list(model.parameters()), needs_state=True)


def test_no_memory_grows_with_minibatches():
    """The tensors alive after 20 updates are those after 200."""
    model, optimizer, _ = trained("adam")
    view = Update(optimizer, list(model.parameters()))
    gradients = gradients_of(model, 10)

    def alive(n):
        for _ in range(n):
            view.update(gradients)
        gc.collect()
        return sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects())

    assert alive(20) == alive(180)


def test_what_it_holds_is_counted():
    """Float64 weights and gradients; two moments and a step count, made at once if they were not
    there. The step itself comes when the gradients are gone.
    """
    for n_steps in (0, 2):
        model = small_model(torch.float32)
        parameters = list(model.parameters())
        optimizer = torch.optim.Adam(parameters)
        train(model, optimizer, n_steps)
        n = sum(p.numel() for p in parameters)
        assert Update(optimizer, parameters).state_bytes == 4 * 8 * n + 4 * len(parameters)
