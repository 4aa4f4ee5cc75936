from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from noise_lens.theory.levy import adam_system, simulate

CURVATURES = torch.tensor([3.0, 0.5], dtype=torch.float64)


def test_without_noise_a_step_is_a_step_of_torch_adam():
    """Rates -log(beta)/h and learning rate h: the same iterates over 50 steps."""
    h, start = 0.03, torch.tensor([1.0, -2.0], dtype=torch.float64)
    system = adam_system(
        lambda x: x * CURVATURES,
        epsilon=0.0,
        alpha=1.5,
        beta1=-math.log(0.9) / h,
        beta2=-math.log(0.999) / h,
        eps=1e-3,
        noise_variance=0.0,
    )
    found = simulate(system, start, n_steps=50, step_size=h, n_paths=1, keep_every=1).positions
    weights = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([weights], lr=h, betas=(0.9, 0.999), eps=1e-3)
    for k in range(50):
        weights.grad = weights.detach() * CURVATURES
        optimizer.step()
        torch.testing.assert_close(found[k + 1, 0], weights.detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("bias_correction", [True, False])
def test_without_noise_it_solves_the_equations(bias_correction):
    """Zhou's equation 5 at epsilon 0 by an independent solver; the error halves with the step."""
    beta1, beta2, eps, variance, end = 2.0, 0.7, 1e-2, 0.2, 3.0
    curvatures = CURVATURES.numpy()

    def slope(t, y):
        theta, m, v = np.split(y, 3)
        mu = 1 / -np.expm1(-beta1 * t) if bias_correction else 1
        omega = 1 / -np.expm1(-beta2 * t) if bias_correction else 1
        gradient = curvatures * theta
        return np.concatenate(
            [
                -mu * m / (np.sqrt(omega * v) + eps),
                beta1 * (gradient - m),
                beta2 * (gradient**2 + variance - v),
            ]
        )

    start, begin = np.array([1.0, -2.0]), 1e-9
    gradient = curvatures * start
    early = [start, beta1 * begin * gradient, beta2 * begin * (gradient**2 + variance)]
    exact = integrate.solve_ivp(
        slope, (begin, end), np.concatenate(early), method="LSODA", rtol=1e-10, atol=1e-13
    ).y[:2, -1]

    system = adam_system(
        potential=lambda x: (x.square() * CURVATURES).sum(1) / 2,
        epsilon=0.0,
        alpha=1.5,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        noise_variance=variance,
        bias_correction=bias_correction,
    )
    errors = []
    for n in (250, 500):
        paths = simulate(system, start, n_steps=n, step_size=end / n, n_paths=1)
        errors.append(np.abs(paths.positions[-1, 0].numpy() - exact).max())
    assert errors[1] < 1e-2
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.1)


def test_noise_is_multiplied_by_sigma_and_then_divided_by_q():
    """From an empty start Q is sqrt(gradient^2 + diagonal of Sigma) + eps at once."""
    sigma = torch.tensor([[0.5, 0.2], [0.1, 2.0]], dtype=torch.float64)
    system = adam_system(
        lambda x: x * CURVATURES, epsilon=0.3, alpha=1.5, noise_matrix=sigma, eps=0.01
    )
    at = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    state = system.initial_state(at)
    noise = system.noise(
        1, 1, 2, step_size=0.1, generator=torch.Generator().manual_seed(0), device="cpu"
    )[0]
    unit = adam_system(lambda x: x, epsilon=0.3, alpha=1.5).noise(
        1, 1, 2, step_size=0.1, generator=torch.Generator().manual_seed(0), device="cpu"
    )[0]
    torch.testing.assert_close(noise, unit @ sigma.T)
    moved = system.step(state, noise, time=0.0, step_size=0.1)
    still = system.step(state, 0 * noise, time=0.0, step_size=0.1)
    q = ((at * CURVATURES) ** 2 + sigma.diagonal()).sqrt() + 0.01
    torch.testing.assert_close(system.position(moved - still), noise / q)
    torch.testing.assert_close(system.preconditioner(moved, time=0.1), q)


def test_the_squared_minibatch_gradient_can_be_modelled():
    """A function of the position replaces gradient^2 + variance."""
    system = adam_system(
        lambda x: x,
        epsilon=0.0,
        alpha=1.5,
        squared_gradient=lambda x, gradient: 4 + 0 * gradient,
        eps=0.0,
    )
    state = system.initial_state(torch.ones(1, 1, dtype=torch.float64))
    # mu m is the gradient, 1, and the root of omega v is 2.
    moved = system.position(system.step(state, torch.zeros(1, 1), time=0.0, step_size=0.1))
    assert float(moved) == pytest.approx(1 - 0.1 / 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"gradient": None}, "gradient or a potential, got neither"),
        ({"beta1": 0.0}, "beta1 is a rate per unit of time, above 0 and finite, got 0"),
        ({"beta2": -1.0}, "beta2 is a rate"),
        ({"eps": -1e-8}, "eps must be at least 0"),
        ({"noise_variance": [-1.0]}, "noise_variance must be at least 0"),
        ({"noise_variance": 1.0, "squared_gradient": max}, "got both"),
        ({"noise_matrix": [-1.0, 1.0]}, "noise_variance must be at least 0"),
        ({"epsilon": None}, "got neither"),
    ],
)
def test_what_is_no_adam_is_refused(options, said):
    options = {"gradient": lambda x: x, "epsilon": 0.1, "alpha": 1.5} | options
    with pytest.raises(ValueError, match=said):
        adam_system(**options)
