from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from noise_lens.theory.stationary import simulate_stationary, stationary_tails

ONE = ("theory", "stationary", "--step-size", "0.6", "--batch-size", "1", "--dim", "2")


def test_theory_and_simulation_are_those_of_the_library(call, strict):
    found = strict(call(*ONE, "--replicas", 2000, "--steps", 150, "--seed", 3, "--json").stdout)

    sample = simulate_stationary(0.6, 1, 2, n_replicas=2000, n_steps=150, seed=3)
    rows = stationary_tails(sample)
    assert set(found) == {"settings", "theory", "simulation", "tails"}
    assert found["settings"] == {
        "step_size": 0.6, "batch_size": 1, "dim": 2, "sigma": 1.0, "momentum": 0.0, "data": None,
        "seed": 3,
    }  # fmt: skip
    assert found["theory"]["alpha"] == pytest.approx(1.3008, abs=1e-4)
    assert found["theory"]["regime"] == "infinite variance"
    assert found["theory"]["critical_step_size"] == pytest.approx(0.5)
    assert found["theory"]["largest_step_size"] == pytest.approx(0.9371, abs=1e-4)
    assert found["simulation"]["regime"] == "stationary"
    assert found["simulation"]["measured_growth"] == sample.growth.mean
    assert found["simulation"]["centre"] == [0, 0]
    assert [entry["alpha"] for entry in found["tails"]] == [row.estimate.alpha for row in rows]
    assert set(found["tails"][0]) == {
        "of", "method", "setting", "alpha", "low", "high", "standard_error", "theory", "regime",
        "label", "bias", "said", "interval_of",
    }  # fmt: skip


def test_a_reader_sees_the_theory_first_and_every_bias(call):
    text = call(*ONE, "--replicas", 1000, "--steps", 20).stdout
    assert text.startswith("theory: tail index 1.301, infinite variance")
    assert "infinite variance above step size 0.5000, no stationary law above 0.9371" in text
    assert "simulation: not mixed" in text
    assert "These readings are of a run that has not mixed, not a stationary tail." in text
    assert text.count("Reads low") == 3


def test_divergence_is_null_and_words(call, strict):
    found = strict(
        call("theory", "stationary", "--step-size", 1e150, "--batch-size", 1, "--dim", 2,
             "--replicas", 10, "--steps", 9, "--json").stdout
    )  # fmt: skip
    assert found["theory"]["alpha"] is None
    assert found["theory"]["regime"] == "no stationary law"
    assert found["simulation"]["n_diverged"] == 10
    assert found["simulation"]["needed_burn_in"] is None
    assert [entry["alpha"] for entry in found["tails"]] == [None] * 3
    assert all("no estimate" in entry["said"] for entry in found["tails"])


@pytest.mark.slow
def test_a_data_set_from_a_file(call, strict, tmp_path):
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((40, 2))
    table = np.column_stack([inputs, inputs @ [1.0, 2.0] + rng.standard_normal(40)])
    np.save(tmp_path / "data.npy", table)
    found = strict(
        call("theory", "stationary", "--step-size", 0.3, "--batch-size", 4, "--data",
             tmp_path / "data.npy", "--momentum", 0.5, "--replicas", 500, "--json").stdout
    )  # fmt: skip
    expected = np.linalg.lstsq(table[:, :2], table[:, 2], rcond=None)[0]
    assert np.allclose(found["simulation"]["centre"], expected)
    assert found["settings"]["dim"] == 2
    assert found["theory"]["critical_step_size"] is None  # of Gaussian inputs alone
    assert found["simulation"]["regime"] == "stationary"


def test_a_file_that_is_no_data_set(call, tmp_path):
    np.save(tmp_path / "flat.npy", np.ones(9))
    refused = call("theory", "stationary", "--step-size", 0.3, "--batch-size", 4, "--data",
                   tmp_path / "flat.npy", code=1)  # fmt: skip
    assert "of shape (n, d + 1)" in refused.stderr


def test_the_theory_alone_imports_no_torch(tmp_path):
    """A real process: neither does the help, which imports no NumPy either."""
    program = (
        "import sys; from noise_lens_cli import main; main(sys.argv[1:], standalone_mode=False); "
        "print([name for name in ('torch', 'numpy', 'matplotlib') if name in sys.modules])"
    )

    def modules(*arguments):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()[-1]

    assert modules("theory", "stationary", "--help") == "[]"
    assert modules(*ONE, "--no-simulation") == "['numpy']"


def test_theory_alone_has_no_simulation(call, strict):
    found = strict(call(*ONE, "--no-simulation", "--json").stdout)
    assert found["simulation"] is None
    assert found["tails"] == []


def test_the_published_experiment(call, strict):
    arguments = ("theory", "stationary", "--protocol", "--cells", "5:0.1,20:0.02")
    found = strict(call(*arguments, "--no-simulation", "--json").stdout)
    assert [cell["diverging"] for cell in found["cells"]] == [True, False]
    assert found["cells"][0]["theory"] is None
    assert found["cells"][0]["alpha"] is None
    assert "iterates diverge" in found["cells"][0]["said"]
    text = call(*arguments, "--no-simulation").stdout
    assert "no stationary law" in text
    assert "1 of 2 cells diverge" in text


@pytest.mark.slow
def test_the_published_experiment_runs(call, strict):
    found = strict(
        call(
            "theory", "stationary", "--protocol", "--cells", "1:0.1", "--runs", 400, "--json"
        ).stdout
    )
    (cell,) = found["cells"]
    assert cell["alpha"] == pytest.approx(0.22, abs=0.04)
    assert cell["measured_growth"] == pytest.approx(cell["lyapunov_exponent"], rel=0.02)
    assert cell["median_norm"] > 1e90


def test_a_figure(call, tmp_path):
    target = tmp_path / "tail.svg"
    call(*ONE, "--replicas", 500, "--plot", target)
    text = target.read_text(encoding="utf-8")
    assert "simulated, b = 1" in text
    assert "step size" in text
    missing = call(*ONE, "--no-simulation", "--plot", tmp_path / "no" / "tail.svg", code=1)
    assert "cannot be written" in missing.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--step-size, --batch-size and --dim are needed"),
        (("--step-size", "0.1", "--batch-size", "1"), "--dim are needed"),
        (("--protocol", "--dim", "3"), "--dim sets a single simulation"),
        (("--protocol", "--cells", "1-2"), "got '1-2'"),
        (
            ("--protocol", "--runs", "100"),
            "--runs 100 is too few for the published reading: at least",
        ),
        (("--step-size", "0.1", "--batch-size", "1", "--data", "a.npy", "--sigma", "2"), "--sigma"),
        ((*ONE[2:], "--runs", "3"), "--runs is for --protocol"),
        ((*ONE[2:], "--plot", "a.png"), "--plot writes an .svg file, got a.png"),
        ((*ONE[2:], "--momentum", "0.5", "--plot", "a.svg"), "without momentum"),
    ],
)
def test_wrong_usage_is_said(call, arguments, said):
    assert said in call("theory", "stationary", *arguments, code=2).stderr


def test_a_number_out_of_range_is_one_line(call):
    result = call(
        "theory", "stationary", "--step-size", "-1", "--batch-size", 1, "--dim", 1, code=1
    )
    assert "step_size must be a positive number, got -1.0" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--replicas", "100000000000"), "need 3,200,0"),
        (("--dim", "2000000000"), "need 3,200,0"),
        (("--seed", "-1"), "seed must be a whole number of at least 0, got -1"),
        (("--sigma", "1e200"), "sigma^2 must lie between"),
        (("--device", "abacus"), "device must be one of torch"),
    ],
)
def test_nothing_is_printed_before_what_is_asked_is_checked(call, arguments, said):
    refused = call(*ONE, *arguments, code=1)
    assert said in refused.stderr
    assert refused.stdout == ""
    assert len(refused.stderr.strip().splitlines()) == 1


def test_data_with_nan_is_refused_before_anything_is_printed(call, tmp_path):
    np.save(tmp_path / "data.npy", np.full((9, 3), np.nan))
    refused = call("theory", "stationary", "--step-size", 0.3, "--batch-size", 4, "--data",
                   tmp_path / "data.npy", code=1)  # fmt: skip
    assert "got NaN or inf in 9 of 9 rows" in refused.stderr
    assert refused.stdout == ""


def test_a_step_too_short_for_a_simulation_has_a_theory(call):
    said = call(
        "theory", "stationary", "--step-size", 1e-300, "--batch-size", 1, "--dim", 2, code=1
    )
    assert "light tail" in said.stdout
    assert "forgotten after some 1.0e+291 steps, and 50,000 is the most" in said.stderr


def test_data_that_are_fitted_exactly_have_no_tail_in_the_theory(call, strict, tmp_path):
    inputs = np.random.default_rng(0).standard_normal((9, 1))
    np.save(tmp_path / "data.npy", np.column_stack([inputs, 2 * inputs]))
    found = strict(
        call("theory", "stationary", "--step-size", 0.3, "--batch-size", 1, "--data",
             tmp_path / "data.npy", "--replicas", 500, "--json").stdout
    )  # fmt: skip
    assert found["theory"]["regime"] == found["simulation"]["regime"] == "degenerate"
    assert found["theory"]["alpha"] is None
    assert "the law is a point" in found["theory"]["said"]
    assert [entry["alpha"] for entry in found["tails"]] == [None] * 3


def test_intervals_say_of_what_they_are(call, strict):
    arguments = (*ONE, "--replicas", 500, "--steps", 130)
    assert "alpha [95 %, sampling]" in call(*arguments).stdout
    for entry in strict(call(*arguments, "--json").stdout)["tails"]:
        assert "not the bias" in entry["interval_of"]
