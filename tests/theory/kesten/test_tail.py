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
