"""Ritz values against dense eigenvalues, and bounds that hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from noise_lens.landscape.lanczos import lanczos


def run(matrix, **options):
    settings = {"n_eigenvalues": 5, "max_products": 200, "tolerance": 1e-8, **options}
    return lanczos(
        lambda v: matrix @ v, len(matrix), generator=torch.Generator().manual_seed(1), **settings
    )


@pytest.fixture
def symmetric(rng):
    """A dense matrix with five eigenvalues far above a bulk of both signs."""
    values = np.concatenate([[50.0, 30.0, 20.0, 12.0, 9.0], rng.uniform(-1, 1, 115)])
    q, _ = np.linalg.qr(rng.standard_normal((120, 120)))
    return torch.from_numpy(q @ np.diag(values) @ q.T), np.sort(values)


def test_top_eigenvalues_to_the_tolerance(symmetric):
    matrix, values = symmetric
    found = run(matrix)
    assert found.converged
    assert found.n_products < 60  # far below the dimension: the rest was not needed
    assert found.largest == pytest.approx(values[:-6:-1], abs=1e-8 * 50)


def test_every_ritz_value_has_an_eigenvalue_within_its_error(symmetric):
    matrix, values = symmetric
    for budget in (6, 10, 20):
        found = run(matrix, max_products=budget)
        for value, error in zip(found.largest, found.errors, strict=True):
            assert np.abs(values - value).min() <= error
        assert np.abs(values - found.smallest).min() <= found.smallest_error


def test_errors_are_the_residuals_of_the_krylov_space(symmetric):
    """The space of v, Av, ..., built by QR: norms of Ax - theta x in full."""
    matrix = symmetric[0].numpy() / 50
    start = torch.randn(120, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    space = start.numpy()[:, None]
    for _ in range(5):
        space = np.linalg.qr(np.c_[space, matrix @ space[:, -1]])[0]
    values, vectors = np.linalg.eigh(space.T @ matrix @ space)
    ritz = space @ vectors
    residuals = np.linalg.norm(matrix @ ritz - ritz * values, axis=0)
    found = run(symmetric[0] / 50, n_eigenvalues=6, max_products=6)
    assert found.largest == pytest.approx(values[::-1], rel=1e-9)
    assert found.errors == pytest.approx(residuals[::-1], rel=1e-6)
    assert found.smallest_error == pytest.approx(residuals[0], rel=1e-6)


def test_too_few_products_are_not_called_converged(symmetric):
    assert not run(symmetric[0], max_products=6).converged


def test_all_products_give_the_whole_spectrum_with_multiplicities():
    """One start sees a multiple eigenvalue once; new directions find its copies."""
    matrix = torch.diag(torch.tensor([3.0, 3.0, 3.0, 1.0, 1.0, 0.0, -2.0], dtype=torch.float64))
    found = run(matrix, n_eigenvalues=7)
    assert found.largest == pytest.approx([3, 3, 3, 1, 1, 0, -2], abs=1e-12)
    assert found.smallest == pytest.approx(-2, abs=1e-12)


def test_identity():
    """Every start is an eigenvector at once."""
    found = run(torch.eye(5, dtype=torch.float64))
    assert found.largest == pytest.approx([1] * 5, abs=1e-14)


def test_zero_matrix():
    found = run(torch.zeros(4, 4, dtype=torch.float64), n_eigenvalues=9)
    assert found.largest.tolist() == [0.0] * 4
    assert found.converged


def test_no_ghosts_without_orthogonality_loss():
    """A spectrum over 14 decades, where plain Lanczos makes copies of the largest."""
    values = torch.logspace(0, -14, 200, dtype=torch.float64)
    found = run(torch.diag(values), n_eigenvalues=10, max_products=120, tolerance=1e-10)
    assert found.largest == pytest.approx(values[:10].numpy(), rel=1e-9)
