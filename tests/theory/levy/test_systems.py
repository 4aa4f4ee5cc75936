from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import linalg, stats

from noise_lens.stable import SymmetricStable
from noise_lens.theory.levy import (
    epsilon_of_step_size,
    gradient_system,
    sgd_system,
    simulate,
)


@pytest.mark.parametrize("alpha", [0.8, 1.0, 1.5, 2.0])
def test_ornstein_uhlenbeck_has_its_exact_law(alpha):
    """X_n = epsilon h^(1/alpha) sum (1-h)^j xi_j is stable, of scale^alpha a geometric series."""
    h, n, epsilon = 0.1, 12, 0.3
    well = gradient_system(lambda x: x, epsilon=epsilon, alpha=alpha)
    end = simulate(well, 0.0, n_steps=n, step_size=h, n_paths=20_000, seed=4).positions[-1]
    scale = epsilon * (h * sum((1 - h) ** (alpha * j) for j in range(n))) ** (1 / alpha)
    assert stats.kstest(end[:, 0].numpy(), SymmetricStable(alpha, scale).cdf).pvalue > 1e-4


@pytest.mark.parametrize("alpha", [1.2, 2.0])
def test_the_stationary_law_is_that_of_the_equation(alpha):
    """Scale epsilon alpha^(-1/alpha) [the integral of exp(-alpha t)], less than h/2 away."""
    h, epsilon = 0.01, 2.0
    well = gradient_system(lambda x: x, epsilon=epsilon, alpha=alpha)
    end = simulate(well, 0.0, n_steps=1000, step_size=h, n_paths=8000, seed=1).positions[-1]
    law = SymmetricStable(alpha, epsilon * alpha ** (-1 / alpha))
    assert stats.kstest(end[:, 0].numpy(), law.cdf).pvalue > 1e-4


MATRIX = [[1.0, 0.5], [-0.3, 2.0]]


@pytest.mark.parametrize("jumps", ["independent", "isotropic"])
@pytest.mark.parametrize("sigma", [None, 0.7, [0.5, 2.0], MATRIX])
def test_noise_matrices_act_on_the_increments(sigma, jumps):
    """One step: E exp(i<t, eps h^(1/alpha) Sigma xi>) = exp(-eps^alpha h psi(Sigma' t))."""
    alpha, epsilon, h, n = 1.4, 0.8, 0.25, 1 << 17
    system = gradient_system(epsilon=epsilon, alpha=alpha, noise_matrix=sigma, jumps=jumps)
    end = simulate(system, [3.0, -1.0], n_steps=1, step_size=h, n_paths=n, seed=8).positions[-1]
    moved = end - torch.tensor([3.0, -1.0], dtype=torch.float64)
    full = np.eye(2) if sigma is None else np.array(sigma)
    full = np.eye(2) * full if full.ndim == 0 else np.diag(full) if full.ndim == 1 else full
    for t in ([1.0, 0.0], [0.6, 0.8], [-0.5, 1.0]):
        s = np.abs(full.T @ t)
        size = (s**alpha).sum() if jumps == "independent" else (s @ s) ** (alpha / 2)
        decay = epsilon**alpha * h * size
        phi, phi_twice = math.exp(-decay), math.exp(-decay * 2**alpha)
        found = float((moved @ torch.tensor(t, dtype=torch.float64)).cos().mean())
        z = (found - phi) / math.sqrt(((1 + phi_twice) / 2 - phi**2) / n)
        assert abs(z) < 4.5  # 24 tests: 2e-4 in all


def test_a_potential_is_differentiated():
    """V = x^4/4 + sin(x) y: the step is that of its gradient, and leaves no graph behind."""
    given = gradient_system(
        potential=lambda x: x[:, 0] ** 4 / 4 + x[:, 0].sin() * x[:, 1], epsilon=0.0, alpha=1.5
    )
    by_hand = gradient_system(
        lambda x: torch.stack([x[:, 0] ** 3 + x[:, 0].cos() * x[:, 1], x[:, 0].sin()], 1),
        epsilon=0.0,
        alpha=1.5,
    )
    at = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    steps = [s.step(at, torch.zeros_like(at), time=0.0, step_size=0.1) for s in (given, by_hand)]
    torch.testing.assert_close(steps[0], steps[1])
    assert not steps[0].requires_grad
    with torch.no_grad():
        assert torch.equal(given.step(at, 0 * at, time=0.0, step_size=0.1), steps[0])


@pytest.mark.parametrize("alpha", [1.1, 1.5, 2.0])
def test_a_step_of_sgd_is_a_step_of_its_equation(alpha):
    """Of length eta it moves by eta (noise - gradient)."""
    eta = 0.05
    system = sgd_system(lambda x: 3 * x, learning_rate=eta, alpha=alpha)
    assert system.epsilon == pytest.approx(eta ** ((alpha - 1) / alpha))
    assert system.epsilon * eta ** (1 / alpha) == pytest.approx(eta)
    noise = system.noise(
        1, 4, 2, step_size=eta, generator=torch.Generator().manual_seed(2), device="cpu"
    )
    unit = sgd_system(lambda x: 3 * x, epsilon=1.0, alpha=alpha).noise(
        1, 4, 2, step_size=1.0, generator=torch.Generator().manual_seed(2), device="cpu"
    )
    torch.testing.assert_close(noise, eta * unit, rtol=1e-5, atol=0)


def test_without_noise_sgd_is_gradient_flow():
    """Against exp(-Ht) x0, with an error that halves with the step."""
    hessian = np.array([[2.0, 0.4], [0.4, 0.3]])
    start = np.array([1.0, -2.0])
    flow = linalg.expm(-hessian * 1.5) @ start
    matrix = torch.from_numpy(hessian)
    system = sgd_system(
        potential=lambda x: torch.einsum("ni,ij,nj->n", x, matrix, x) / 2, epsilon=0.0, alpha=1.5
    )
    errors = []
    for n in (150, 300):
        paths = simulate(system, start, n_steps=n, step_size=1.5 / n, n_paths=1)
        errors.append(np.abs(paths.positions[-1, 0].numpy() - flow).max())
    assert errors[1] < 2e-3
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.03)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: gradient_system(epsilon=0.1, alpha=2.5), r"\(0, 2\], got 2.5"),
        (lambda: gradient_system(epsilon=-0.1, alpha=1.5), "epsilon must be finite and at least 0"),
        (lambda: gradient_system(epsilon=0.1, alpha=1.5, jumps="x"), "got 'x'"),
        (lambda: gradient_system(abs, potential=abs, epsilon=0.1, alpha=1.5), "got both"),
        (
            lambda: gradient_system(epsilon=0.1, alpha=1.5, noise_matrix=[[1.0, 2.0]]),
            r"got shape \(1, 2\)",
        ),
        (lambda: gradient_system(epsilon=0.1, alpha=1.5, noise_matrix=math.nan), "must be finite"),
        (lambda: sgd_system(abs, alpha=1.5), "got neither"),
        (lambda: sgd_system(abs, alpha=1.5, epsilon=1.0, learning_rate=0.1), "got 0.1 and 1.0"),
        (lambda: epsilon_of_step_size(0.1, 1.0), "alpha must be above 1, got 1"),
        (lambda: epsilon_of_step_size(0.1, 0.7), "does not shrink with the step size"),
        (lambda: epsilon_of_step_size(-0.1, 1.5), r"\(0, 1\) for small noise, got -0.1"),
        (lambda: epsilon_of_step_size(1.0, 1.5), "got 1.0"),
        (lambda: epsilon_of_step_size([0.1, 0.2], 1.5), "step_size must be one number"),
        (lambda: epsilon_of_step_size(0.1, [1.2, 1.5]), "alpha must be one number"),
        (lambda: gradient_system(5, epsilon=0.1, alpha=1.5), "gradient must be a function.*got 5"),
        (lambda: gradient_system(potential=5, epsilon=0.1, alpha=1.5), "potential must be a func"),
        (lambda: sgd_system(5, epsilon=0.1, alpha=1.5), "gradient must be a function"),
    ],
)
def test_what_is_no_system_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_shapes_that_do_not_fit_are_named():
    three = gradient_system(epsilon=0.1, alpha=1.5, noise_matrix=[1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="noise_matrix is of 3 coordinates, the paths of 2"):
        simulate(three, [0.0, 0.0], n_steps=1, step_size=0.1)
    summed = gradient_system(potential=lambda x: x.square().sum(), epsilon=0.1, alpha=1.5)
    with pytest.raises(ValueError, match=r"must be of shape \(1000,\), got \(\); sum over"):
        simulate(summed, [0.0, 0.0], n_steps=1, step_size=0.1)
    reshaping = gradient_system(lambda x: x[:1], epsilon=0.1, alpha=1.5)
    with pytest.raises(ValueError, match="must return the shape that it is given"):
        simulate(reshaping, [0.0, 0.0], n_steps=1, step_size=0.1, n_paths=3)
