"""Predictions where noise and loss are exactly what the theory wants, and where they are not."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

import noise_lens as nl
from noise_lens.errors import CaptureError, CheckpointError, RunFolderError
from noise_lens.landscape import LossLine
from noise_lens.prediction import _predict, curvature_of_run, predict
from noise_lens.theory.escape import LevelSet
from noise_lens.theory.escape.jumps import jump_density_constant
from noise_lens.theory.escape.radon import escape_rate

ALPHA, STEP = 1.5, 0.1

BARRIER = 20.0
# The data is large and the network is nothing; the trace is tested elsewhere.
AT_ONCE = {"chunk_size": 50_000, "n_probes": 2}


def closed_form(h, sigma, barrier, eta=STEP, alpha=ALPHA):
    """1 over ``eps^alpha (c/alpha) sum 2 (sigma_i sqrt(h_i / 2 Delta))^alpha``."""
    c = jump_density_constant(alpha)
    rate = eta ** (alpha - 1) * c / alpha * 2 * (sigma * np.sqrt(h / (2 * barrier))) ** alpha
    return 1 / rate.sum()


@pytest.fixture(scope="module")
def measured(quadratic, tmp_path_factory):
    task, h, sigma = quadratic(dim=40, n=20_000)
    folder = tmp_path_factory.mktemp("predict") / "run"
    nl.measure(task, n_minibatches=1000, batch_size=1, groups="all", reference="full", out=folder)
    curvature_of_run(folder, task, **AT_ONCE)
    return folder, task, h, sigma


def test_where_all_is_true_the_closed_form_comes_out(measured):
    """Fixed seed; the range is a 95 % one."""
    folder, _, h, sigma = measured
    found = predict(folder, barrier=BARRIER, learning_rate=STEP)
    assert found.label == "stable"
    jumps = found.escapes[0]
    assert jumps.low <= closed_form(h, sigma, BARRIER) <= jumps.high
    assert jumps.high / jumps.low < 2.5
    assert jumps.iterations[0] == pytest.approx(jumps.time / STEP)
    assert {one.name for one in found.violations} <= {"beyond the data"}
    assert found.n_coordinates == found.n_parameters == 40


def test_at_the_true_alpha_only_scales_err(measured):
    """Log-moment errors of 1000 rows a coordinate, 4 of them: a false alarm in 16,000."""
    folder, _, h, sigma = measured
    run = _with_verdict(folder, alpha=ALPHA, interval=(ALPHA, ALPHA))
    found = predict(run, barrier=BARRIER, learning_rate=STEP).escapes[0]
    error = np.pi / np.sqrt(6) * np.sqrt(1 / ALPHA**2 + 0.5) / np.sqrt(1000) * ALPHA
    weights = (sigma * np.sqrt(h)) ** ALPHA
    error *= np.sqrt((weights**2).sum()) / weights.sum()
    assert error < 0.02
    assert found.time == pytest.approx(closed_form(h, sigma, BARRIER), rel=4 * error)


def test_epsilon_and_relaxation(measured):
    folder, _, h, _ = measured
    found = predict(folder, barrier=BARRIER, learning_rate=STEP)
    assert found.epsilon == pytest.approx(STEP ** ((found.alpha - 1) / found.alpha))
    assert found.relaxation_time == pytest.approx(1 / h.mean(), rel=1e-6)


def test_text_has_violations_first(measured):
    folder, *_ = measured
    text = str(predict(folder, barrier=1e-4, learning_rate=STEP))
    assert text.index("violate") < text.index("Assumed") < text.index("mean escape time")
    assert "1. step size: the predicted time is below one iteration" in text
    assert "small noise:" in text
    assert text.index("Assumed") < text.index("to distrust first") < text.index("the same law")
    assert "independent jumps" in text


@pytest.mark.slow
def test_sgd_escapes_when_it_is_said_to(quadratic, tmp_path):
    """SGD out of the level set; 600 exponential times err by 4 %: four of them are allowed."""
    task, h, sigma = quadratic(dim=8)
    folder = tmp_path / "run"
    nl.measure(task, n_minibatches=4000, batch_size=1, groups="all", reference="full", out=folder)
    found = predict(
        folder, curvature_of_run(folder, task, **AT_ONCE), barrier=5.0, learning_rate=STEP
    )
    rng = np.random.default_rng(1)
    law = nl.SymmetricStable(ALPHA)
    n, w = 600, np.zeros((600, 8))
    times, inside = np.zeros(n), np.ones(n, dtype=bool)
    for step in range(1, 200_000):
        noise = law.rvs((int(inside.sum()), 8), rng) * sigma
        w[inside] -= STEP * (h * w[inside] + noise)
        left = inside & ((h * w**2).sum(axis=1) / 2 > 5.0)
        times[left] = step
        inside &= ~left
        if not inside.any():
            break
    assert not inside.any()
    mean = times.mean()
    exact = closed_form(h, sigma, 5.0) / STEP
    assert mean == pytest.approx(exact, rel=0.17)
    low, high = found.escapes[0].iterations[1:]
    assert low <= exact <= high
    assert found.escapes[0].iterations[0] == pytest.approx(mean, rel=0.4)


def test_some_coordinates_stand_for_all(quadratic, tmp_path):
    """128 of 2000 coordinates: the sum over all within its own error."""
    task, h, sigma = quadratic(dim=2000, n=1500)
    folder = tmp_path / "run"
    nl.measure(task, n_minibatches=400, batch_size=1, groups="all", reference="full", out=folder)
    known = curvature_of_run(
        folder, task, n_eigenvalues=2, max_products=10, tolerance=0.5, **AT_ONCE
    )
    found = predict(folder, known, barrier=50.0, learning_rate=STEP)
    assert (found.n_coordinates, found.n_parameters) == (128, 2000)
    exact = closed_form(h, sigma, 50.0)
    assert found.escapes[0].low <= exact <= found.escapes[0].high
    assert found.escapes[0].time == pytest.approx(exact, rel=0.5)


def test_one_radius_is_seen_and_predicted(quadratic, tmp_path):
    """Elliptical noise: dependence is listed, and at the true alpha the other formula is right."""
    task, h, sigma = quadratic(dim=12, radius=True)
    folder = tmp_path / "run"
    nl.measure(task, n_minibatches=1500, batch_size=1, groups="all", reference="full", out=folder)
    known = curvature_of_run(folder, task, **AT_ONCE)
    run = _with_verdict(folder, alpha=ALPHA, interval=(ALPHA, ALPHA))
    found = predict(run, known, barrier=BARRIER, learning_rate=STEP)
    dependence = [one.message for one in found.violations if one.name == "dependence"]
    assert any("come together" in message for message in dependence)
    epsilon = STEP ** ((ALPHA - 1) / ALPHA)
    exact = 1 / float(escape_rate(LevelSet(h, BARRIER), sigma, ALPHA, epsilon, "isotropic"))
    independent, shared, _ = found.escapes
    # One radius a row: scales of all coordinates err together. Four errors.
    error = np.pi / np.sqrt(6) * np.sqrt(1 / ALPHA**2 + 0.5) / np.sqrt(1500) * ALPHA
    assert shared.time == pytest.approx(exact, rel=4 * error)
    assert abs(independent.time / exact - 1) > 6 * error  # so that it matters which


def test_gaussian_noise_is_told_first_and_never_jumps(tmp_path):
    folder = tmp_path / "run"
    nl.measure("digits-mlp", n_minibatches=300, batch_size=64, groups="all", out=folder)
    known = curvature_of_run(
        folder, "digits-mlp", n_examples=60, n_eigenvalues=1, max_products=20, n_probes=2
    )
    found = predict(folder, known, learning_rate=0.1)
    assert found.violations[0].name == "verdict"
    names = [one.name for one in found.violations]
    assert {"minimum", "flat directions", "curvature", "weights"} >= set(names) - {
        "verdict", "alpha", "dependence", "beyond the data", "small noise"
    }  # fmt: skip
    assert "minimum" in names  # initial weights: a gradient and negative curvature
    assert "curvature" in names  # of 60 examples
    assert found.barrier == found.loss
    assert "less than doubles" in found.barrier_source


def test_a_step_beyond_stability_is_listed(measured):
    """Each of three limits where it is crossed, and none where it is not."""
    folder, _, h, _ = measured

    def said(rate, barrier, **options):
        found = predict(folder, barrier=barrier, learning_rate=rate, **options)
        return [one.message for one in found.violations if one.name == "step size"]

    assert said(STEP, BARRIER) == []
    assert said(1.99 / h.max(), 1e6) == []
    (beyond,) = said(2.01 / h.max(), 1e6)
    assert "times the largest eigenvalue is 2.01, beyond 2" in beyond
    assert not any("eigenvalue" in one for one in said(2.01 / h.max(), 1e6, optimizer="adam"))
    assert [one[:7] for one in said(1.0, 1e9)] == (
        ["the lea", "epsilon"] if h.max() > 2 else ["epsilon"]
    )
    (soon,) = said(STEP, 1e-4)
    number = predict(folder, barrier=1e-4, learning_rate=STEP).escapes[0].iterations[0]
    assert number < 1
    assert f"below one iteration: {number:.3g} (independent jumps)" in soon


def test_an_interval_that_reaches_two_has_no_upper_end(measured):
    folder, *_ = measured
    replaced = _with_verdict(folder, alpha=1.97, interval=(1.9, 2.0))
    found = predict(replaced, barrier=BARRIER, learning_rate=STEP)
    jumps = found.escapes[0]
    assert math.isinf(jumps.high)
    assert math.isfinite(jumps.time)
    assert "no upper end" in jumps.note
    assert any("reaches 2" in one.message for one in found.violations)
    assert "never]" in str(found)
    found = predict(
        _with_verdict(folder, alpha=2.0, interval=(2.0, 2.0)),
        barrier=BARRIER, learning_rate=STEP,
    )  # fmt: skip
    assert math.isinf(found.escapes[0].time)
    assert "at alpha = 2 there are none" in found.escapes[0].note


def test_an_index_below_one_is_outside_the_theorem(measured):
    folder, *_ = measured
    run = _with_verdict(folder, alpha=0.9, interval=(0.8, 1.05))
    found = predict(run, barrier=BARRIER, learning_rate=STEP)
    assert found.epsilon > 1
    assert any(one.name == "alpha" and "small epsilon" in one.message for one in found.violations)


def test_no_alpha_is_no_number(measured):
    folder, *_ = measured
    run = _with_verdict(folder, alpha=np.nan, interval=(np.nan, np.nan), label="unusable")
    found = predict(run, barrier=BARRIER, learning_rate=STEP)
    assert math.isnan(found.escapes[0].time)
    assert "nothing to predict from" in found.escapes[0].note
    assert "nan" not in str(found).lower()


def _with_verdict(folder, *, alpha, interval, label="stable"):
    run = nl.read_run(folder)
    record = {
        **run.records[0],
        "coordinates_verdict": label,
        "coordinates_verdict_alpha": alpha,
        "coordinates_verdict_low": interval[0],
        "coordinates_verdict_high": interval[1],
    }
    return replace(run, records=[record])


def test_a_line_gives_the_barrier(measured):
    folder, *_ = measured
    t = np.linspace(0, 1, 3)
    line = LossLine(
        "quadratic", "a", "b", t, np.array([0.0, 3.0, 1.0]), None, {}, 1.0, "none there"
    )
    found = predict(folder, barrier=line, learning_rate=STEP)
    assert found.barrier == 3
    assert found.barrier_source == "the rise on the line to b"
    up = LossLine("quadratic", "a", "b", t, np.array([0.0, 1, 4.0]), None, {}, 1.0, "none there")
    found = predict(folder, barrier=up, learning_rate=STEP)
    assert found.barrier == 4
    assert "highest point is that end itself (no ridge lies before it)" in found.barrier_source
    past = replace(up, fractions=np.linspace(0, 1, 4), train=np.array([0.0, 2, 0, 9]))
    source = predict(folder, barrier=past, learning_rate=STEP).barrier_source
    assert "(a ridge of 2 lies before it)" in source
    flat = LossLine(
        "quadratic", "a", "b", t, np.array([0.0, -1, -2.0]), None, {}, 1.0, "none there"
    )
    with pytest.raises(CaptureError, match="no barrier on the line from a to b"):
        predict(folder, barrier=flat, learning_rate=STEP)
    other = LossLine("quadratic", "a", "b", t, np.array([2.0, 3, 2.0]), None, {}, 1.0, "none there")
    with pytest.raises(CaptureError, match="give a line from the weights that were measured"):
        predict(folder, barrier=other, learning_rate=STEP)


def test_what_is_missing_is_one_clear_error(measured, quadratic, tmp_path):
    folder, *_ = measured
    with pytest.raises(CaptureError, match="give learning_rate="):
        predict(folder, barrier=BARRIER)
    with pytest.raises(CaptureError, match="cannot be doubled"):
        predict(folder, learning_rate=STEP)  # the loss is 0 there
    for bad in (0, -1, math.nan):
        with pytest.raises(CaptureError, match="must be a positive number"):
            predict(folder, learning_rate=STEP, barrier=bad)
        with pytest.raises(CaptureError, match="must be a positive number"):
            predict(folder, learning_rate=bad, barrier=1)
    with pytest.raises(CaptureError, match="there is none of 'padam'"):
        predict(folder, learning_rate=STEP, barrier=1, optimizer="padam")
    with pytest.raises(RunFolderError, match=r"no measurement of group 'all'.* at step 7"):
        predict(folder, step=7)
    bare = tmp_path / "bare"
    nl.measure(quadratic(n=50)[0], n_minibatches=60, batch_size=1, groups="all", out=bare)
    with pytest.raises(RunFolderError, match="holds no curvature of step 0") as only:
        predict(bare, learning_rate=STEP)
    assert "learning rate" not in str(only.value)
    with pytest.raises(RunFolderError, match=r"holds no curvature of step 0.*give learning_rate="):
        predict(bare)


def test_other_weights_are_refused(measured, quadratic, tmp_path, monkeypatch):
    folder, task, *_ = measured
    task, *_ = quadratic(dim=40, n=50)
    path = tmp_path / "other.pt"
    torch.save(task.build_model(1).state_dict(), path)
    with pytest.raises(CheckpointError, match="measured the task's initial weights"):
        curvature_of_run(folder, task, path)
    at = tmp_path / "run"
    nl.measure(task, path, n_minibatches=60, batch_size=1, groups="all", out=at)
    with monkeypatch.context() as patch:
        patch.setattr(_predict, "curvature", lambda *_, **__: pytest.fail("worked before it said"))
        with pytest.raises(CheckpointError, match=r"measured other\.pt"):
            curvature_of_run(at, task)
    assert curvature_of_run(at, task, path).checkpoint == "other.pt"
    assert curvature_of_run(at, task).checkpoint == "other.pt"  # kept: no need to name it again


def test_a_comparison_brings_optimizer_and_rate(tmp_path):
    folder = tmp_path / "runs"
    nl.compare(
        "linear-regression", ["adam", "sgd-momentum"], n_steps=2, probe_steps=[0], seeds=[0],
        n_minibatches=200, out=folder, learning_rates={"adam": 0.02},
    )  # fmt: skip
    with pytest.raises(RunFolderError, match="is a comparison of 2 runs"):
        predict(folder)
    known = curvature_of_run(folder / "adam-s0", "linear-regression", n_probes=2)
    found = predict(folder / "adam-s0")
    assert (found.optimizer, found.learning_rate, found.batch_size) == ("adam", 0.02, 32)
    assert any("preconditioner is held" in one.message for one in found.violations)
    momentum = predict(folder / "sgd-momentum-s0", known)
    assert (momentum.optimizer, momentum.learning_rate) == ("sgd", 0.01)
    assert any("the run is of sgd-momentum" in one.message for one in momentum.violations)


def test_kept_curvature_is_read_again(measured, monkeypatch):
    folder, task, *_ = measured
    monkeypatch.setattr(_predict, "curvature", lambda *_, **__: pytest.fail("computed again"))
    assert curvature_of_run(folder, task).task == "quadratic"


def test_adams_preconditioner_is_the_second_moment(measured):
    folder, _, h, sigma = measured
    run = nl.read_run(folder)
    rows = run.sketch(run.records[0])["coordinates"].astype(float)
    found = predict(run, barrier=BARRIER, learning_rate=STEP, optimizer="adam")
    q = np.sqrt((rows**2).mean(axis=0))
    order = [
        index + (10 if tensor else 0) for tensor, index in run.sketch(run.records[0])["positions"]
    ]
    own = closed_form(h[order], sigma[order] / q, BARRIER, alpha=found.alpha)
    assert found.escapes[0].time == pytest.approx(own, rel=0.15)


def test_numbers_of_a_prediction_are_plain(measured):
    """NumPy's own numbers would not be written to JSON."""
    found = asdict(predict(measured[0], barrier=BARRIER, learning_rate=STEP))

    assert json.loads(json.dumps(found))["alpha"] == found["alpha"]
