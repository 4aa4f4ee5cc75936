from __future__ import annotations

import numpy as np

from noise_lens import SymmetricStable
from noise_lens.inference.homogeneity import homogeneity


def test_one_stable_law_is_homogeneous():
    """120 data sets of 1000 x 20 rows, independent and of one radius, alpha 1.3 and 1.8: p below
    .001 at most twice (expected .12 under independence, fewer under one radius; false alarm 3e-4).
    """
    low = 0
    for seed in range(30):
        for alpha in (1.3, 1.8):
            rng = np.random.default_rng([4, seed])
            rows = SymmetricStable(alpha).rvs((1000, 20), rng) * np.exp(rng.standard_normal(20))
            low += homogeneity(rows).pvalue < 1e-3
            radius = np.abs(SymmetricStable(alpha).rvs((1000, 1), rng))
            low += homogeneity(radius * rng.standard_normal((1000, 20))).pvalue < 1e-3
    assert low <= 2


def test_different_shapes_are_seen(rng):
    """Student t with 2.1 to 30 degrees: a spread of .15 in what single coordinates read."""
    nu = np.exp(rng.uniform(np.log(2.1), np.log(30), 20))
    found = homogeneity(rng.standard_t(nu, (1000, 20)))
    assert found.pvalue < 1e-10
    assert 0.08 < found.spread < 0.25
    assert found.n_columns == 20


def test_one_column_or_sparse_columns_say_nothing(rng):
    assert homogeneity(rng.standard_normal((100, 1))).pvalue == 1
    sparse = rng.standard_normal((100, 5)) * (rng.random((100, 5)) < 0.05)
    assert homogeneity(sparse).n_columns < 2


def test_unit_of_a_column_does_not_matter(rng):
    rows = rng.laplace(size=(500, 8))
    one, two = homogeneity(rows), homogeneity(rows * np.exp(5 * rng.standard_normal(8)))
    assert np.isclose(one.pvalue, two.pvalue)
