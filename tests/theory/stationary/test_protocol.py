from __future__ import annotations

import numpy as np
import pytest

from noise_lens.theory.stationary import published_protocol

# At d = 100: the step sizes of alpha = 2, 2b / (b + 101), and of rho = 0 (Monte Carlo, 4 digits).
CRITICAL = {b: 2 * b / (b + 101) for b in (1, 2, 3, 4, 5, 10, 20)}
LARGEST = {1: 0.01963, 2: 0.03889, 3: 0.0578, 4: 0.07636, 5: 0.09458, 10: 0.18089, 20: 0.33257}


def test_the_flag_of_every_cell_is_that_of_the_largest_step_size():
    cells = published_protocol(simulate=False)

    assert [(one.batch_size, one.step_size) for one in cells] == [
        (b, pytest.approx(eta)) for b in LARGEST for eta in np.linspace(0.02, 0.2, 10)
    ]
    for one in cells:
        assert one.diverging is (one.step_size > LARGEST[one.batch_size]), str(one)
        assert (one.theory.regime == "no stationary law") is one.diverging
        assert (one.growth, one.estimate) == (None, None)
    heavy = [one for one in cells if not one.diverging and one.theory.alpha < 30]
    assert [(one.batch_size, one.step_size) for one in heavy] == [(10, 0.18)]  # the one exception
    assert heavy[0].theory.alpha == pytest.approx(2.51, abs=0.01)
    assert not heavy[0].mixed
    assert all(eta < LARGEST[b] for b, eta in CRITICAL.items())


def test_a_cell_alone_is_that_of_the_grid():
    small = {"n_rows": 300, "dim": 3, "n_runs": 400, "n_steps": 40, "average_last": 20}
    seen = []
    grid = published_protocol(
        batch_sizes=(1, 2), step_sizes=(0.1, 1.5), **small,
        on_progress=lambda *done: seen.append(done),
    )  # fmt: skip
    (alone,) = published_protocol(cells=[(2, 0.1)], **small)
    again, other = (published_protocol(cells=[(2, 0.1)], **small, seed=s)[0] for s in (0, 1))

    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert alone == again == grid[2] != other
    assert [one.diverging for one in grid] == [False, True, False, True]
    # Where starts are 5 wide and ends are not: runs have left them.
    assert grid[0].median_norm < 3
    assert "on diverging iterates" in str(grid[1])
    assert "not mixed after 20 steps" in str(grid[0])


def test_what_cannot_be_run_is_refused():
    with pytest.raises(ValueError, match="n_runs must be a whole number of at least 1, got 0"):
        published_protocol(n_runs=0)
    with pytest.raises(ValueError, match="step_size must be above 0"):
        published_protocol(cells=[(1, -0.1)])


@pytest.mark.slow
@pytest.mark.parametrize(("b", "eta", "alpha"), [(1, 0.01, 1.98), (5, 0.02, 2.00), (5, 0.1, 1.69)])
def test_the_published_numbers_come_again(b, eta, alpha):
    """1600 runs on another data set: the error of one reading is 0.02."""
    (one,) = published_protocol(cells=[(b, eta)])

    assert one.estimate.alpha == pytest.approx(alpha, abs=0.06)
    assert one.diverging is (eta == 0.1)


@pytest.mark.slow
def test_measured_growth_has_the_sign_of_the_flag():
    """Either side of where rho changes sign, on the finite data set itself."""
    cells = [(1, 0.02), (2, 0.02), (2, 0.04), (3, 0.06), (4, 0.08), (5, 0.08), (5, 0.1), (10, 0.18)]
    for one in published_protocol(cells=cells, n_runs=64):
        assert one.growth.sign == (1 if one.diverging else -1), str(one)
        # Finite data spread the eigenvalues of the inputs: close to the theory, not on it.
        assert one.growth.mean == pytest.approx(one.lyapunov_exponent, rel=0.1, abs=1.5e-4)
