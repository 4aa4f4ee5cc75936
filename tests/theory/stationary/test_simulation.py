from __future__ import annotations

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from noise_lens.theory.kesten import lyapunov_exponent
from noise_lens.theory.stationary import simulate_stationary
from noise_lens.theory.stationary.recursion import BLOCK_BYTES, block_size

Z = 4.5  # of a normal: 1 false alarm in 150,000


def z_of_mean(values, expected):
    return (values.mean() - expected) / (values.std(ddof=1) / math.sqrt(len(values)))


@pytest.fixture(scope="module")
def small_data():
    rng = np.random.default_rng(3)
    inputs = rng.standard_normal((6, 2))
    return inputs, inputs @ [1.0, -2.0] + rng.standard_normal(6)


@pytest.mark.parametrize(
    ("eta", "b", "d", "sigma", "noise"), [(0.2, 1, 1, 1.0, 1.0), (0.1, 2, 3, 1.5, 0.5)]
)
def test_second_moments_are_the_closed_form(eta, b, d, sigma, noise):
    """With e = eta sigma^2: E|x|^2 = (e d / b) (noise / sigma)^2 / (2 - e (b + d + 1) / b).

    Iterates j steps apart have the correlation (1 - e)^j, which gives the average's.
    """
    sample = simulate_stationary(
        eta, b, d, sigma=sigma, noise=noise, n_replicas=20_000, n_steps=120, average_last=5, seed=1
    )

    e = eta * sigma**2
    moment = e * d / b * (noise / sigma) ** 2 / (2 - e * (b + d + 1) / b)
    assert abs(z_of_mean((sample.iterates**2).sum(1), moment)) < Z
    lags = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    averaged = moment * ((1 - e) ** lags).mean()
    assert abs(z_of_mean((sample.averages**2).sum(1), averaged)) < Z


def test_second_moments_with_momentum_are_the_closed_form():
    """d = 1: three linear equations for E x^2, E xD and E D^2, D the last displacement."""
    eta, mu, b = 0.15, 0.6, 2
    sample = simulate_stationary(
        eta, b, 1, momentum=mu, n_replicas=20_000, n_steps=200, average_last=2, seed=2
    )

    kurtosis = 1 + 2 / b  # E of the squared mean of b squared normals
    system = [
        [-2 * eta, 2 * mu, 1],
        [-eta, mu - 1, 1],
        [eta**2 * kurtosis, -2 * mu * eta, mu**2 - 1],
    ]
    square, product, _ = np.linalg.solve(system, [0, 0, -(eta**2) / b])
    assert abs(z_of_mean(sample.iterates[:, 0] ** 2, square)) < Z
    # The average of the last two is x - D / 2.
    moved = 2 * (sample.iterates - sample.averages)[:, 0]
    assert abs(z_of_mean(sample.iterates[:, 0] * moved, product)) < Z


@pytest.mark.parametrize("replace", [False, True])
def test_the_covariance_of_a_data_set_is_that_of_all_its_minibatches(small_data, replace):
    """V = E M V M' + E q q', over every minibatch of two rows."""
    inputs, targets = small_data
    eta = 0.3
    sample = simulate_stationary(
        eta, 2, data=small_data, replace=replace, n_replicas=20_000, n_steps=150, seed=4
    )

    centre = np.linalg.lstsq(inputs, targets, rcond=None)[0]
    left = targets - inputs @ centre
    pairs = (
        itertools.product(range(6), repeat=2) if replace else itertools.combinations(range(6), 2)
    )
    transfer, source, n = np.zeros((4, 4)), np.zeros(4), 0
    for pair in map(list, pairs):
        m = np.eye(2) - eta / 2 * inputs[pair].T @ inputs[pair]
        q = eta / 2 * inputs[pair].T @ left[pair]
        transfer, source, n = transfer + np.kron(m, m), source + np.kron(q, q), n + 1
    covariance = np.linalg.solve(np.eye(4) - transfer / n, source / n).reshape(2, 2)

    assert np.allclose(sample.centre, centre)
    for i, j in [(0, 0), (0, 1), (1, 1)]:
        assert abs(z_of_mean(sample.iterates[:, i] * sample.iterates[:, j], covariance[i, j])) < Z
        assert abs(z_of_mean(sample.averages[:, i], 0)) < Z


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_a_whole_batch_goes_where_torch_goes(small_data, momentum):
    """Minibatches of all rows leave nothing to chance: torch.optim.SGD, step by step."""
    inputs, targets = map(torch.as_tensor, small_data)
    x = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([x], lr=0.1, momentum=momentum)
    path = []
    for _ in range(7):
        optimizer.zero_grad()
        (0.5 * (inputs @ x - targets).square().mean()).backward()
        optimizer.step()
        path.append(x.detach().clone())

    sample = simulate_stationary(
        0.1,
        6,
        data=small_data,
        momentum=momentum,
        start=0.0,
        n_replicas=3,
        n_steps=7,
        average_last=3,
    )

    ends = sample.iterates + sample.centre, sample.averages + sample.centre
    for found, expected in zip(ends, (path[-1], torch.stack(path[-3:]).mean(0)), strict=True):
        assert np.allclose(found, expected.numpy(), rtol=1e-12)


def test_momentum_zero_is_plain_bit_for_bit():
    """Also by the code that keeps a displacement: the smallest momentum that leaves no trace."""
    plain = simulate_stationary(0.5, 2, 3, n_replicas=200, n_steps=40)
    zero = simulate_stationary(0.5, 2, 3, n_replicas=200, n_steps=40, momentum=0.0)
    tiny = simulate_stationary(0.5, 2, 3, n_replicas=200, n_steps=40, momentum=1e-300)

    assert np.array_equal(plain.iterates, zero.iterates)
    assert np.array_equal(plain.averages, zero.averages)
    assert np.array_equal(plain.iterates, tiny.iterates)


@pytest.mark.parametrize("offline", [False, True])
def test_replicas_do_not_depend_on_how_many_there_are(small_data, offline):
    """Blocks of 4096 hold more than one and a part of one: nothing of a replica changes."""
    settings = {"data": small_data} if offline else {"dim": 2}
    more = simulate_stationary(0.4, 2, **settings, n_replicas=5000, n_steps=40, seed=5)
    fewer = simulate_stationary(0.4, 2, **settings, n_replicas=4200, n_steps=40, seed=5)
    few = simulate_stationary(0.4, 2, **settings, n_replicas=3, n_steps=40, seed=5)

    for one in (fewer, few):
        n = len(one.iterates)
        assert np.array_equal(more.iterates[:n], one.iterates)
        assert np.array_equal(more.averages[:n], one.averages)
    assert not np.isin(more.iterates[:900], more.iterates[4096:]).any()  # blocks differ


def test_one_seed_is_one_result_and_no_global_generator_is_touched():
    before = torch.get_rng_state()
    one, same, other = (
        simulate_stationary(0.5, 1, 2, n_replicas=50, n_steps=20, seed=seed) for seed in (7, 7, 8)
    )

    assert np.array_equal(one.iterates, same.iterates)
    assert not np.isin(one.iterates, other.iterates).any()
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("b", "d"), [(1, 1), (1, 2), (20, 100), (1000, 1000)])
def test_rows_of_a_step_stay_small(b, d):
    size = block_size(b, d)
    assert size == 1 or 8 * size * b * d <= BLOCK_BYTES
    assert size == 4096 or 8 * 2 * size * b * d > BLOCK_BYTES


@pytest.mark.slow
def test_memory_is_the_result_and_little_more():
    """Real processes: 480,000 replicas more of two coordinates are 15 MB of result."""
    program = (
        "import resource, sys; from noise_lens.theory.stationary import simulate_stationary as s; "
        "s(0.5, 1, 2, n_replicas=int(sys.argv[1]), n_steps=4); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = [
        int(
            subprocess.run(
                [sys.executable, "-c", program, n], capture_output=True, check=True
            ).stdout
        )
        for n in ("20000", "500000")
    ]
    assert peaks[1] - peaks[0] < 1.6 * 480_000 * 32 / 1024


@pytest.mark.parametrize(("eta", "b", "d"), [(0.9, 1, 1), (0.6, 1, 2), (0.9, 3, 4), (1.1, 1, 2)])
def test_measured_growth_is_the_lyapunov_exponent(eta, b, d):
    sample = simulate_stationary(eta, b, d, n_replicas=300, n_steps=300, seed=9)

    rho = lyapunov_exponent(eta, b, d)
    assert abs(sample.growth.mean - rho) < Z * sample.growth.standard_error
    assert sample.growth.sign == np.sign(rho)
    assert sample.growth.n == 256
    assert sample.lyapunov_exponent == rho
    assert (sample.regime == "diverging") is (rho > 0)


def test_growth_with_momentum_is_that_of_products_of_matrices(small_data):
    """An independent run of (x, D) through 2d x 2d matrices, in NumPy."""
    inputs, _ = small_data
    eta, mu, rng = 0.9, 0.5, np.random.default_rng(6)
    logs = []
    for _ in range(40):
        pair = rng.standard_normal(4)
        for step in range(300):
            rows = inputs[rng.integers(6, size=1)]
            gradient = rows.T @ rows
            top = np.hstack([np.eye(2) - eta * gradient, mu * np.eye(2)])
            pair = np.vstack([top, top - np.eye(2, 4)]) @ pair
            norm = np.linalg.norm(pair)
            pair, logs = pair / norm, [*logs, math.log(norm)] if step >= 100 else logs
    runs = np.reshape(logs, (40, 200)).mean(1)

    sample = simulate_stationary(
        eta, 1, data=small_data, momentum=mu, n_replicas=256, n_steps=400, seed=6
    )

    error = math.hypot(runs.std(ddof=1) / math.sqrt(40), sample.growth.standard_error)
    assert abs(sample.growth.mean - runs.mean()) < Z * error
    assert sample.lyapunov_exponent == sample.growth.mean
    assert sample.lyapunov_error == sample.growth.standard_error


def test_steps_follow_the_lyapunov_exponent(small_data):
    sample = simulate_stationary(0.6, 1, 2, n_replicas=10)
    rho = -0.155948
    assert sample.burn_in == sample.needed_burn_in == math.ceil(10 / -rho)
    assert sample.n_steps == 2 * sample.burn_in == 2 * sample.average_last
    assert sample.regime == "stationary"
    assert "stationary: rho = -0.16 a step" in str(sample)
    # Of a data set it is measured first.
    offline = simulate_stationary(0.05, 2, data=small_data, n_replicas=300)
    assert offline.burn_in == pytest.approx(10 / -offline.lyapunov_exponent, rel=0.1)
    assert simulate_stationary(0.6, 1, 2, n_replicas=5, burn_in=70).n_steps == 140


def test_a_run_that_is_too_short_says_so():
    sample = simulate_stationary(0.17, 1, 10, n_replicas=10, n_steps=300)
    assert (sample.burn_in, sample.average_last) == (150, 150)
    assert sample.regime == "not mixed"
    assert "needs a burn-in of 1,2" in str(sample)
    assert "this one has 150" in str(sample)


def test_what_leaves_float64_is_counted_and_not_kept():
    sample = simulate_stationary(1e150, 1, 2, n_replicas=100, n_steps=8)
    assert sample.n_diverged == 100
    assert sample.iterates.shape == sample.averages.shape == (0, 2)
    assert sample.regime == "diverging"
    assert "100 of 100 replicas left float64" in str(sample)

    some = simulate_stationary(40.0, 1, 1, n_replicas=500, n_steps=290)
    assert 0 < some.n_diverged < 500
    assert len(some.iterates) == len(some.averages) == 500 - some.n_diverged
    assert np.isfinite(some.iterates).all()
    assert np.isfinite(some.averages).all()


def test_a_growth_that_may_be_either_side_of_zero_is_undecided():
    """Momentum: no closed form. A run of two replicas cannot tell."""
    sample = simulate_stationary(0.93, 1, 2, momentum=1e-9, n_replicas=2, n_steps=40, seed=1)
    assert sample.growth.sign == 0
    assert sample.regime == "undecided"
    assert "may be either side of 0" in str(sample)


def test_a_vector_that_a_step_erases_is_no_nan():
    """Rows of length 1, eta = 1: M = 0."""
    data = np.ones((5, 1)), np.arange(5.0)
    sample = simulate_stationary(1.0, 1, data=data, n_replicas=300)
    assert sample.lyapunov_exponent == -math.inf
    assert sample.regime == "stationary"
    assert set(sample.iterates[:, 0].round(12)) == {-2.0, -1.0, 0.0, 1.0, 2.0}  # y - mean y


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"step_size": 0.0}, "step_size must be a positive number, got 0.0"),
        ({"step_size": -0.1}, "step_size must be a positive number, got -0.1"),
        ({"step_size": math.nan}, "step_size must be a positive number, got nan"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"batch_size": 1.5}, "batch_size must be a whole number of at least 1, got 1.5"),
        ({"dim": None}, "dim must be a whole number of at least 1, got None"),
        ({"dim": 0}, "dim must be a whole number of at least 1, got 0"),
        ({"sigma": 0}, "sigma must be a positive standard deviation, got 0"),
        ({"noise": -1}, "noise must be a positive standard deviation, got -1"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\), got 1.0"),
        ({"start": -1.0}, "start is a standard deviation, finite and at least 0, got -1.0"),
        ({"n_replicas": 0}, "n_replicas must be a whole number of at least 1, got 0"),
        ({"n_steps": 0}, "n_steps must be a whole number of at least 1, got 0"),
        ({"n_steps": 9, "burn_in": 5, "average_last": 5}, "exceed n_steps 9"),
        ({"n_steps": 9, "burn_in": 9}, "burn_in 9 and average_last 1 exceed n_steps 9"),
        ({"step_size": [0.6, 0.5]}, r"step_size must be one number, got \[0.6, 0.5\]"),
        ({"batch_size": np.array([1, 2])}, "batch_size must be one number"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"n_replicas": 10**11}, "need 3,200,005,242,880 bytes, and this machine has"),
        ({"batch_size": 10**15}, "need 80,000,000,000,000,0[0-9]+ bytes"),
        ({"batch_size": 10**6, "n_replicas": 10**5}, "some 528 hours.*drawn unasked"),
        ({"device": "abacus"}, "device must be one of torch"),
        ({"step_size": 1e-5}, "rho = -1e-05 a step.*pass n_steps"),
        ({"dim": 3, "data": "data"}, "dim is 3, and the rows of the data have 2 columns"),
        ({"dim": None, "data": "data", "sigma": 2}, "describe fresh rows"),
        ({"dim": None, "data": "data", "batch_size": 7}, "exceeds the 6 rows of the data"),
    ],
)
def test_what_cannot_be_simulated_is_refused(small_data, changed, said):
    settings = {"step_size": 0.1, "batch_size": 1, "dim": 2, "n_replicas": 2} | changed
    if "data" in settings:
        settings["data"] = small_data
    with pytest.raises(ValueError, match=said):
        simulate_stationary(**settings)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_said():
    with pytest.raises(ValueError, match="torch sees no GPU here"):
        simulate_stationary(0.1, 1, 1, device="cuda")
