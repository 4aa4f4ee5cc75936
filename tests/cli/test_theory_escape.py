from __future__ import annotations

import math

import pytest

COMMAND = ("theory", "escape")


def test_help_has_an_example_and_every_option_is_explained(call):
    from noise_lens_cli import main

    text = call(*COMMAND, "--help").output
    assert "Example:" in text
    assert "noise-lens theory escape --alpha 1.5" in text
    assert all(option.help for option in main.commands["theory"].commands["escape"].params)


def test_the_interval_by_hand(call, strict):
    found = strict(call(*COMMAND, "--alpha", 1.2, "--epsilon", 0.1, "--json").stdout)
    prediction = found["prediction"]
    c = math.gamma(2.2) * math.sin(0.6 * math.pi) / math.pi
    assert prediction["mean_time"] == pytest.approx(0.6 / c * 10**1.2)
    assert prediction["mean_time_of_theorem"] == pytest.approx(0.6 * 10**1.2)
    assert prediction["radon_measure"] == pytest.approx(1)
    assert "takes c = 1" in prediction["normalisation"]
    assert prediction["violations"] == []
    assert found["settings"]["basin"] == "Interval(-1, 1)"
    assert "simulation" not in found


def test_what_is_violated_is_said_before_the_number(call):
    text = call(*COMMAND, "--alpha", 0.9, "--step-size", 0.1).stdout
    assert text.index("alpha = 0.9 is not above 1") < text.index("predicted mean escape time")
    assert "iterations of step size 0.1" in text
    assert "standard law, c = " in text
    assert "as Theorem 1 prints it, with c = 1" in text


@pytest.mark.parametrize(
    ("arguments", "basin"),
    [
        (("--low", -2, "--high", 1), "Interval(-2, 1)"),
        (("--basin", "ball", "--radius", 2, "--dim", 3), "Ball(2, dim=3)"),
        (("--basin", "ellipsoid", "--semi-axes", "1,2"), "Ellipsoid([1, 2])"),
        (("--basin", "level-set", "--curvatures", "1,4"), "LevelSet([1, 4], height=0.5)"),
    ],
)
@pytest.mark.parametrize("jumps", ["independent", "isotropic"])
def test_every_basin_and_kind_of_jumps(call, strict, arguments, basin, jumps):
    found = strict(
        call(*COMMAND, "--alpha", 1.5, "--epsilon", 0.1, *arguments, "--jumps", jumps,
             "--json").stdout
    )  # fmt: skip
    assert found["settings"]["basin"] == basin
    assert found["prediction"]["mean_time"] > 0


def test_adam_divides_the_noise_by_its_scale(call, strict):
    asked = (*COMMAND, "--alpha", 1.5, "--epsilon", 0.01, "--basin", "level-set", "--json",
             "--curvatures", "1,4", "--noise", "0.5,3")  # fmt: skip
    adam = strict(call(*asked, "--optimizer", "adam").stdout)["prediction"]
    assert adam["radon_measure"] == pytest.approx(1 + 4**0.75)
    sgd = strict(call(*asked).stdout)["prediction"]
    assert sgd["radon_measure"] == pytest.approx(0.5**1.5 + 6**1.5)


def test_never_is_said_and_null(call, strict):
    asked = (*COMMAND, "--alpha", 1.5, "--epsilon", 0.1, "--low", "-inf", "--high", "inf")
    assert "predicted: never" in call(*asked).stdout
    found = strict(call(*asked, "--json").stdout)["prediction"]
    assert (found["never"], found["mean_time"]) == (True, None)


def test_alpha_two_is_a_diffusion(call, strict):
    """The exact mean, by the tests of theory against a difference scheme: 70,369 at 0.2."""
    text = call(*COMMAND, "--alpha", 2, "--epsilon", 0.2).stdout
    assert "exact mean escape time 70369" in text
    assert "Kramers" in text
    found = strict(call(*COMMAND, "--alpha", 2, "--epsilon", 0.2, "--json").stdout)["prediction"]
    assert found["barrier_over_temperature"] == pytest.approx(12.5)
    assert found["asymptotic"] == pytest.approx(math.sqrt(2 * math.pi) * 0.1 * math.exp(12.5))
    adam = call(*COMMAND, "--alpha", 2, "--epsilon", 0.2, "--optimizer", "adam").stdout
    assert "no formula for Adam at alpha = 2 was verified" in adam


def test_simulation_beside_the_prediction(call, strict):
    asked = (*COMMAND, "--alpha", 1.2, "--epsilon", 0.05, "--simulate", "--paths", 300)
    found = strict(call(*asked, "--json").stdout)["simulation"]
    assert found["n_exits"] == 300
    assert found["n_censored"] == found["n_diverged"] == 0
    assert abs(found["over_prediction"] - 1) < 5 * found["over_prediction_error"]
    assert found["exponential_pvalue"] > 1e-3
    assert "extrapolated" in found["kind"]
    text = call(*asked).stdout
    for words in ("300 of 300 paths left", "over the prediction", "Kolmogorov-Smirnov p"):
        assert words in text


def test_censoring_is_said(call):
    text = call(
        *COMMAND, "--alpha", 1.5, "--epsilon", 0.02, "--simulate", "--paths", 20, "--max-time", 50
    ).stdout
    assert "still inside at time 50 (censored)" in text


def test_a_time_step_beyond_stability_is_said(call):
    asked = (*COMMAND, "--alpha", 1.5, "--epsilon", 0.1, "--curvatures", 30, "--simulate",
             "--paths", 50, "--time-step", 0.2)  # fmt: skip
    error = " ".join(call(*asked, code=2).stderr.split())
    assert "--time-step 0.2 times curvature 30 is 6, beyond stability (2)" in error
    # Adam's average over a share 0.165 of the gradient bears 2 * 1.835 / 0.165 = 22.
    call(*asked, "--optimizer", "adam", "--max-time", 5)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--epsilon", 100), "fewer than 10: take a smaller step"),
        (("--epsilon", 0.1, "--time-step", 1.9), "halving moves the mean by"),
    ],
)
def test_a_step_too_long_to_extrapolate_from_is_said(call, strict, arguments, text):
    """The first once said -0.015 units of time."""
    asked = (*COMMAND, "--alpha", 1.5, "--simulate", "--paths", 200, *arguments)
    said = call(*asked).stdout
    assert text in said
    assert "no ratio to the prediction" in said
    found = strict(call(*asked, "--json").stdout)["simulation"]
    assert found["kind"] == "mean"
    assert found["mean"] > 0
    assert found["over_prediction"] is None


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--alpha", 1.5), "--epsilon or --step-size"),
        (("--alpha", 1.5, "--epsilon", 1, "--step-size", 1), "one of the two"),
        (("--alpha", 1.5, "--epsilon", 0.1, "--radius", 1), "--radius is for --basin ball"),
        (("--alpha", 1.5, "--epsilon", 0.1, "--basin", "ellipsoid"), "needs --semi-axes"),
        (("--alpha", 1.5, "--epsilon", 0.1, "--noise", "1,x"), "takes numbers such as"),
        (("--alpha", 1.5, "--epsilon", 0.1, "--noise", "0"), "takes positive numbers"),
        (("--alpha", 1.5, "--epsilon", 0.1, "--noise", "1,2"), "has 2 numbers, the basin 1"),
        (("--alpha", 1.5, "--epsilon", 0.1, "--max-time", 9), "--max-time is for --simulate"),
        (
            ("--alpha", 1.5, "--epsilon", 0.1, "--low", "-inf", "--high", "inf", "--simulate"),
            "say with --max-time when to stop",
        ),
        (("--alpha", 1.5, "--epsilon", 1e-5, "--simulate"), "Take a larger --epsilon"),
        (
            ("--alpha", 1.5, "--epsilon", 0.1, "--simulate", "--time-step", 0),
            "--time-step must be positive, got 0",
        ),
        (("--alpha", 1.5, "--epsilon", 0.1, "--simulate", "--paths", 1), "needs at least 2, got 1"),
    ],
)
def test_wrong_usage_is_status_two(call, arguments, text):
    assert text in " ".join(call(*COMMAND, *arguments, code=2).stderr.split())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--alpha", 2.5, "--epsilon", 0.1), "alpha must lie in (0, 2], got 2.5"),
        (("--alpha", 1.5, "--epsilon", -0.1), "epsilon must be positive"),
        (("--alpha", 1.5, "--step-size", -0.1), "step size must be positive"),
        (("--alpha", 1.5, "--epsilon", 0.1, "--low", 1), "low < centre < high"),
        (("--alpha", 2, "--epsilon", 0), "epsilon must be positive"),
    ],
)
def test_bad_numbers_are_one_line_and_status_one(call, arguments, text):
    error = call(*COMMAND, *arguments, code=1).stderr
    assert text in error
    assert error.startswith("Error: ")
    assert error.count("\n") == 1
