"""Every optimizer of the catalogue is its paper's rule (tests/optim/paper_rules.py)."""

from __future__ import annotations

import numpy as np
import paper_rules
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import noise_lens as nl

# The library adds 1e-15 under AdaBound's root, which is no part of the rule.
TOLERANCE = dict.fromkeys(nl.optim.names(), 1e-12) | {"adabound": 1e-6}


def test_every_optimizer_has_a_rule():
    assert tuple(paper_rules.RULES) == nl.optim.names()


@pytest.mark.parametrize("scale", [1.0, 1e-3])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("name", paper_rules.RULES)
def test_equals_the_rule_over_20_steps(name, weight_decay, scale):
    """Float64, four tensors in two groups of different learning rates."""
    found = paper_rules.deviation(name, weight_decay=weight_decay, scale=scale)
    assert found < TOLERANCE[name]


@pytest.mark.parametrize("name", paper_rules.DECOUPLED)
def test_equals_the_rule_with_decoupled_weight_decay(name):
    found = paper_rules.deviation(name, weight_decay=0.1, decoupled=True)
    assert found < TOLERANCE[name]


@pytest.mark.parametrize("name", ["adai", "adaiw", "yogi", "adabound"])
@pytest.mark.parametrize("foreach", [False, True])
def test_both_ways_of_the_library_equal_the_rule(name, foreach):
    """It chooses by what it is given; neither way may be another rule."""
    weights, steps = paper_rules.case(0.01)
    rule, defaults = paper_rules.RULES[name]
    parameters = [nn.Parameter(torch.tensor(w)) for w in weights]
    optimizer = nl.optim.create(name, parameters, weight_decay=0.1, foreach=foreach)
    *_, found = paper_rules.trained(optimizer, parameters, steps)
    *_, wanted = rule(weights, steps, [{**defaults, "weight_decay": 0.1}] * len(weights))
    for one, other in zip(found, wanted, strict=True):
        assert one == pytest.approx(other, abs=TOLERANCE[name])


decays = st.floats(0, 0.999)


@settings(max_examples=25, deadline=None)
@given(
    beta1=decays,
    beta2=decays,
    eps=st.sampled_from([1e-8, 1e-3, 0.1]),
    p=st.floats(0.01, 0.5),
    bias_correction=st.booleans(),
    decoupled=st.booleans(),
)
def test_padam_equals_the_rule_at_any_options(beta1, beta2, eps, p, bias_correction, decoupled):
    found = paper_rules.deviation(
        "padam", betas=(beta1, beta2), eps=eps, p=p, bias_correction=bias_correction,
        weight_decay=0.1, decoupled=decoupled,
    )  # fmt: skip
    assert found < 1e-10


@settings(max_examples=25, deadline=None)
@given(
    beta1=decays,
    beta2=decays,
    eps=st.sampled_from([0.0, 1e-8, 0.1]),
    norm_scope=st.sampled_from(["tensor", "global"]),
    norm=st.sampled_from(["l1", "mean_abs"]),
    lr_decay=st.booleans(),
    eps_mode=st.sampled_from(["outside", "adam"]),
    decoupled=st.booleans(),
)
def test_adal_equals_the_description_at_any_options(beta1, beta2, eps, **options):
    found = paper_rules.deviation(
        "adal", betas=(beta1, beta2), eps=eps, weight_decay=0.1, **options
    )
    assert found < 1e-10


def one_tensor(name, values, **options):
    """Weights after each step where the gradients of one tensor are `values`, from 1."""
    parameter = nn.Parameter(torch.ones(values[0].shape, dtype=torch.float64))
    optimizer = nl.optim.create(name, [parameter], **options)
    return np.array(
        [w for (w,) in paper_rules.trained(optimizer, [parameter], [[v] for v in values])]
    )


def averaged(values, beta):
    """Bias-corrected averages of the values up to each step."""
    m, found = np.zeros_like(values[0]), []
    for t, value in enumerate(values, start=1):
        m = beta * m + (1 - beta) * value
        found.append(m / (1 - beta**t))
    return np.array(found)


@pytest.mark.parametrize("name", ["adai", "adaiw"])
@pytest.mark.parametrize("size", [1.0, 1e-6])
def test_adai_with_equal_second_moments_is_averaged_momentum(name, size, rng):
    """All magnitudes are equal, signs are not: inertia 0.9 everywhere, at any size."""
    values = [size * rng.choice([-1.0, 1.0], 7) for _ in range(20)]
    found = one_tensor(name, values, lr=0.1)
    assert found == pytest.approx(1 - 0.1 * averaged(values, 0.9).cumsum(axis=0), abs=1e-12)


@pytest.mark.parametrize("decay", [{}, {"weight_decay": 0.1}])
def test_padam_with_a_half_is_torchs_amsgrad(decay, rng):
    values = [rng.standard_normal(7) * 10.0 ** rng.integers(-8, 2) for _ in range(20)]
    found = one_tensor("padam", values, lr=0.01, p=0.5, **decay)
    assert found == pytest.approx(one_tensor("amsgrad", values, lr=0.01, **decay), abs=1e-12)


def test_padam_with_a_half_and_decoupled_decay_is_torchs_adamw_with_amsgrad(rng):
    values = [rng.standard_normal(7) for _ in range(20)]
    found = one_tensor("padam", values, lr=0.01, p=0.5, weight_decay=0.1, decoupled=True)
    wanted = one_tensor("adamw", values, lr=0.01, weight_decay=0.1, amsgrad=True)
    assert found == pytest.approx(wanted, abs=1e-12)


def test_padam_towards_zero_is_sgd_on_averaged_gradients(rng):
    """With the learning rate lr sqrt(1 - beta2^t) and the bias-corrected average."""
    values = [rng.standard_normal(7) for _ in range(20)]
    rates = 0.1 * np.sqrt(1 - 0.999 ** np.arange(1, 21))[:, None]
    wanted = 1 - (rates * averaged(values, 0.9)).cumsum(axis=0)
    assert one_tensor("padam", values, lr=0.1, p=1e-12) == pytest.approx(wanted, abs=1e-10)


def test_padam_without_correction_towards_zero_is_momentum_up_to_a_factor(rng):
    """The paper's own rule: 1 - beta1 times SGD with momentum."""
    values = [rng.standard_normal(7) for _ in range(20)]
    found = one_tensor("padam", values, lr=0.1, p=1e-12, bias_correction=False)
    wanted = one_tensor("sgd-momentum", values, lr=0.01, momentum=0.9)
    assert found == pytest.approx(wanted, abs=1e-10)


@pytest.mark.parametrize("options", [{}, {"norm_scope": "global"}, {"norm": "mean_abs"}])
def test_a_factor_in_the_loss_cancels_in_adal_without_eps(options, rng):
    values = [rng.standard_normal(7) for _ in range(20)]
    found = one_tensor("adal", values, eps=0.0, **options)
    times_100 = one_tensor("adal", [100 * v for v in values], eps=0.0, **options)
    assert found == pytest.approx(times_100, rel=1e-12)
