from __future__ import annotations

import itertools

import paper_rules
import pytest
import torch
from torch import nn

from noise_lens.optim import AdaL

OPTIONS = list(
    itertools.product(("tensor", "global"), ("l1", "mean_abs"), (False, True), ("outside", "adam"))
)


@pytest.mark.parametrize(("norm_scope", "norm", "lr_decay", "eps_mode"), OPTIONS)
def test_equals_the_description_over_20_steps(norm_scope, norm, lr_decay, eps_mode):
    """Every reading of the secondary source, with a coordinate without gradients."""
    found = paper_rules.deviation(
        "adal", lr=0.01, betas=(0.9, 0.99), eps=1e-3, norm_scope=norm_scope, norm=norm,
        lr_decay=lr_decay, eps_mode=eps_mode,
    )  # fmt: skip
    assert found < 1e-12


def test_numbers_by_hand():
    """g = (3, -1): ghat = (12, -4). First step: mhat = ghat, vhat = ghat^2, so signs times lr."""
    weight = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer = AdaL([weight], lr=0.5, eps=0)
    weight.grad = torch.tensor([3.0, -1.0], dtype=torch.float64)
    optimizer.step()
    state = optimizer.state[weight]
    assert state["exp_avg"].tolist() == pytest.approx([1.2, -0.4])
    assert state["exp_avg_sq"].tolist() == pytest.approx([0.144, 0.016])
    assert weight.tolist() == pytest.approx([-0.5, 0.5])


def quadratic(scale, **options):
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(10, dtype=torch.float64))
    optimizer = AdaL([weight], lr=0.05, eps=0, **options)
    for _ in range(30):
        optimizer.zero_grad()
        (scale * (weight - 1).square().sum()).backward()
        optimizer.step()
    return weight.detach()


def test_a_factor_in_the_loss_cancels_without_eps():
    """Gradients that depend on the weights: the whole trajectory."""
    assert torch.allclose(quadratic(1.0), quadratic(100.0), rtol=1e-9)


@pytest.mark.parametrize("options", [{}, {"eps": 0}, {"eps_mode": "adam", "eps": 0}])
def test_zero_gradients_never_make_nan(options):
    weight = nn.Parameter(torch.ones(4))
    optimizer = AdaL([weight], lr=0.1, **options)
    weight.grad = torch.zeros(4)
    for _ in range(3):
        optimizer.step()
    assert torch.equal(weight.detach(), torch.ones(4))


def test_a_second_moment_that_underflows_makes_no_long_step():
    """float32: (1 - beta2) ghat^2 is below the smallest number, ghat is not."""
    weight = nn.Parameter(torch.zeros(2))
    optimizer = AdaL([weight], lr=1.0)
    weight.grad = torch.tensor([1.0, 1e-25])
    optimizer.step()
    assert optimizer.state[weight]["exp_avg_sq"][1] == 0
    assert optimizer.state[weight]["exp_avg"][1] > 0
    assert abs(float(weight.detach()[1])) < 1e-2


@pytest.mark.parametrize("norm", ["l1", "mean_abs"])
@pytest.mark.parametrize("norm_scope", ["tensor", "global"])
def test_transformed_is_what_the_first_moment_takes_in(norm_scope, norm):
    """With beta1 = 0 the first moment is the transformed gradient; weight decay is not in it."""
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.randn(s)) for s in [(3, 4), (5,), (2,)]]
    gradients = {p: torch.randn_like(p) for p in parameters}
    given = {p: g.clone() for p, g in gradients.items()}
    groups = [{"params": parameters[:1]}, {"params": parameters[1:]}]
    optimizer = AdaL(groups, betas=(0, 0.9), norm_scope=norm_scope, norm=norm)
    decaying = AdaL(parameters, norm_scope=norm_scope, norm=norm, weight_decay=0.5)

    seen = optimizer.transformed(gradients)

    assert not optimizer.state
    assert list(seen) == list(gradients)
    assert all(torch.equal(gradients[p], given[p]) for p in parameters)
    for parameter in parameters:
        assert torch.equal(decaying.transformed(gradients)[parameter], seen[parameter])
        parameter.grad = gradients[parameter]
    optimizer.step()
    for parameter in parameters:
        torch.testing.assert_close(optimizer.state[parameter]["exp_avg"], seen[parameter])


def test_transformed_by_hand():
    one, two = (nn.Parameter(torch.zeros(2)) for _ in range(2))
    gradients = {one: torch.tensor([1.0, -2.0]), two: torch.tensor([0.5, 0.5])}
    own = AdaL([one, two]).transformed(gradients)
    assert (own[one].tolist(), own[two].tolist()) == ([3.0, -6.0], [0.5, 0.5])
    mixed = AdaL([{"params": [one], "norm_scope": "global", "norm": "mean_abs"}, {"params": [two]}])
    seen = mixed.transformed(gradients)
    assert (seen[one].tolist(), seen[two].tolist()) == ([1.0, -2.0], [0.5, 0.5])
    assert AdaL([one]).transformed({}) == {}


def test_transformed_refuses_parameters_of_others():
    one, two = (nn.Parameter(torch.zeros(2)) for _ in range(2))
    with pytest.raises(ValueError, match=r"shape \(2,\) is not of this AdaL"):
        AdaL([one]).transformed({two: torch.ones(2)})


def test_a_state_of_before_weight_decay_could_be_decoupled_is_loaded():
    weight = nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3)
    optimizer = AdaL([weight], weight_decay=0.1)
    optimizer.step()
    saved = optimizer.state_dict()
    for group in saved["param_groups"]:
        del group["decoupled"]

    optimizer.load_state_dict(saved)
    optimizer.step()

    assert optimizer.param_groups[0]["decoupled"] is False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "l2"}, "norm must be one of l1, mean_abs; got 'l2'"),
        ({"norm_scope": "layer"}, "norm_scope must be one of tensor, global; got 'layer'"),
        ({"eps_mode": "inside"}, "eps_mode must be one of outside, adam; got 'inside'"),
    ],
)
def test_words_that_are_no_option(options, message):
    with pytest.raises(ValueError, match=message):
        AdaL([nn.Parameter(torch.ones(1))], **options)
