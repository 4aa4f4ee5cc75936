"""A tail is a number where it is one, and says in words what else it is."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from noise_lens.theory.kesten import KestenTail, kesten_tail_index


def test_regimes():
    tail = kesten_tail_index([1e-4, 0.3, 0.8, 3.0], 1, 1)

    assert tail.regime.tolist() == ["light", "heavy", "infinite variance", "no stationary law"]
    assert tail.alpha[0] == math.inf
    assert math.isnan(tail.alpha[3])
    assert (tail.lyapunov_exponent < 0).tolist() == [True, True, True, False]
    assert str(tail) == "4 cells: 1 heavy, 1 infinite variance, 1 light, 1 no stationary law"
    assert tail.standard_error is None


@pytest.mark.parametrize(
    ("step_size", "sentence"),
    [
        (1e-4, "light tail: no finite tail index up to 1000, Lyapunov exponent -0.0001 a step"),
        (0.3, "tail index 5.306, finite variance, Lyapunov exponent -0.3946 a step"),
        (0.8, "tail index 1.546, infinite variance, Lyapunov exponent -0.4657 a step"),
        (3.0, "no stationary law: iterates diverge, Lyapunov exponent 0.1439 a step"),
    ],
)
def test_one_sentence(step_size, sentence):
    assert str(kesten_tail_index(step_size, 1, 1)) == sentence


def test_is_its_alpha_in_arithmetic():
    tail = kesten_tail_index(0.5, 1, 2)

    assert tail == pytest.approx(2)
    assert abs(tail - 2) < 1e-9
    assert tail < 2.5
    assert 1 / tail == pytest.approx(0.5)
    assert np.sqrt(tail) == pytest.approx(math.sqrt(2))
    assert f"{tail:.3f}" == "2.000"
    assert round(tail, 3) == 2.0
    assert math.isclose(tail, 2)
    assert np.asarray(tail, dtype=np.float32).dtype == np.float32


def test_arrays_are_their_alphas_with_nan_where_there_is_no_law():
    tail = kesten_tail_index([0.5, 9.0], 1, 2)

    assert np.isnan(tail).tolist() == [False, True]
    assert (tail < 2.5).tolist() == [True, False]


@pytest.mark.parametrize("use", [float, np.asarray, lambda tail: tail < 2, lambda tail: tail + 1])
def test_no_number_where_there_is_no_law(use):
    tail = kesten_tail_index(9.0, 1, 2)

    assert tail.regime == "no stationary law"
    message = "asked for: no stationary law: iterates diverge, Lyap.*Take a smaller step size"
    with pytest.raises(ValueError, match=message):
        use(tail)


@pytest.mark.parametrize(
    ("regime", "message"),
    [
        ("undecided", "undecided whether a stationary law exists.*Take more particles and steps"),
        ("beyond measure", "tail index beyond measure, above 3.2.*Take more particles"),
    ],
)
def test_no_number_where_it_was_not_measured(regime, message):
    with pytest.raises(ValueError, match=message):
        float(KestenTail(math.nan, -0.01, regime, seen=3.2))


def test_closed_forms_load_no_torch():
    code = "import sys, noise_lens.theory.kesten; assert 'torch' not in sys.modules"

    subprocess.run([sys.executable, "-c", code], check=True)


def test_cells_of_an_array_are_tails():
    grid = kesten_tail_index([0.1, 0.6, 1.2], 1, [[2], [1]])
    assert grid.shape == (2, 3)
    assert len(grid) == 2
    assert str(grid[0, 1]) == str(kesten_tail_index(0.6, 1, 2))
    assert list(grid[0].regime) == ["heavy", "infinite variance", "no stationary law"]
    assert grid[0, :2].shape == (2,)
    assert [row.shape for row in grid] == [(3,), (3,)]
    with pytest.raises(ValueError, match="no stationary law"):
        float(grid[0, 2])
    # As documented: NaN in an array, of which a comparison is False.
    assert (grid[0] < 2).tolist() == [False, True, False]


def test_an_array_of_cells_is_no_number():
    grid = kesten_tail_index([0.1, 0.6], 1, 2)
    for doing in (float, round, lambda tail: f"{tail:.2f}"):
        with pytest.raises(TypeError, match=r"array of shape \(2,\): take a cell"):
            doing(grid)
    for doing in (len, lambda tail: tail[0]):
        with pytest.raises(TypeError, match="a single cell"):
            doing(grid[0])


@pytest.mark.parametrize("value", ["0.6", None, ["0.6"], [None], 1j])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match="step_size must be a number or an array of numbers, got"):
        kesten_tail_index(value, 1, 2)


@pytest.mark.parametrize("step_size", [1e-300, 1e-100, 1e-16])
def test_a_step_of_nothing_is_light(step_size):
    """To first order: rho = -eta, the mean of eta X."""
    tail = kesten_tail_index(step_size, 1, 2)
    assert tail.regime == "light"
    assert tail.lyapunov_exponent == pytest.approx(-step_size, rel=1e-12)


@pytest.mark.parametrize("sigma", [1e200, 1e-200])
def test_a_square_that_leaves_float64_is_refused(sigma):
    with pytest.raises(ValueError, match="must lie between 1e-300 and 1e"):
        kesten_tail_index(0.5, 1, 2, sigma)
