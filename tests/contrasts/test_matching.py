"""Matchings on runs of which only steps and losses are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from noise_lens import RunFolderError
from noise_lens.contrasts.matching import ByEpoch, ByLoss, ByStep
from noise_lens.contrasts.trainings import Training
from noise_lens.run import Run


def training(losses, steps=None, name="sgd", seed=0, batch_size=32, n_examples=3200):
    steps = range(0, 100 * len(losses), 100) if steps is None else steps
    metrics = {
        step: {} if loss is None else {"train/loss": loss}
        for step, loss in zip(steps, losses, strict=True)
    }
    settings = {"batch_size": batch_size, "n_examples": n_examples}
    run = Run(f"{name}-folder", {}, [], None)
    return Training(name, seed, run, settings, False, {}, metrics)


def test_linear_in_the_logarithm_between_two_probes():
    """0.5 is half way from 1 to 0.25 in the logarithm, 0.625 half way in the loss."""
    run = training([1.0, 0.25])
    shares = ByLoss([run]).shares(run, 0.5)
    assert shares == [(0, pytest.approx(0.5)), (100, pytest.approx(0.5))]


def test_a_probed_loss_is_taken_as_it_is():
    run = training([1.0, 0.25, 0.125])
    for step, loss in run.metrics.items():
        assert ByLoss([run]).shares(run, loss["train/loss"]) == [(step, 1.0)]


@pytest.mark.parametrize("loss", [1.01, 0.1249])
def test_nothing_is_extrapolated(loss):
    run = training([1.0, 0.25, 0.125])
    assert ByLoss([run]).shares(run, loss) == []


def test_the_last_crossing_counts():
    """The loss falls below 0.5, rises above it and falls again."""
    run = training([1.0, 0.25, 1.0, 0.25])
    (first, _), (last, share) = ByLoss([run]).shares(run, 0.5)
    assert (first, last, share) == (200, 300, pytest.approx(0.5))
    rising = training([1.0, 0.25, 1.0])
    assert [step for step, _ in ByLoss([rising]).shares(rising, 0.5)] == [100, 200]


@pytest.mark.parametrize("gap", [0.0, -1.0, math.inf, math.nan, None])
def test_a_loss_without_a_logarithm_encloses_nothing(gap):
    """No value is taken across a probe whose loss is 0, negative, not finite or missing."""
    run = training([1.0, gap, 0.25])
    assert ByLoss([run]).shares(run, 0.5) == []
    assert ByLoss([run]).shares(run, 1.0) == [(0, 1.0)]


def test_losses_to_match_at():
    """Medians over the optimizer's seeds, and the lowest loss that all runs reached."""
    own = [training([2.0, a, b], name="adam", seed=i)
           for i, (a, b) in enumerate([(1.0, 0.1), (0.8, 0.05), (0.9, 0.2)])]  # fmt: skip
    other = [training([2.0, 1.5, 0.7], seed=i) for i in range(3)]
    assert ByLoss([*own, *other]).places(own, other) == [2.0, 0.9, 0.7, 0.1]
    faster = [training([2.0, 0.5, 0.01], seed=i) for i in range(3)]
    assert ByLoss([*own, *faster]).places(own, faster) == [2.0, 0.9, 0.2, 0.1]


def test_a_run_without_losses_cannot_be_matched():
    with pytest.raises(RunFolderError, match="sgd-folder holds no training loss above 0"):
        ByLoss([training([None, None])])


def test_epochs_are_examples():
    """400 steps of 8 examples are 100 of 32, one epoch of 3200."""
    small, large = training([1.0] * 5, batch_size=8), training([1.0] * 2, batch_size=32)
    matching = ByEpoch([small, large])
    assert matching.places([small], [large]) == [0, 800, 1600, 2400, 3200]
    assert matching.label(3200) == 1.0
    assert matching.shares(small, 3200) == [(400, 1.0)]
    assert matching.shares(large, 3200) == [(100, 1.0)]
    assert matching.shares(large, 800) == []


def test_epochs_need_the_number_of_examples():
    with pytest.raises(RunFolderError, match="does not say how many training examples"):
        ByEpoch([training([1.0], n_examples=None)])


def test_steps_of_other_sizes_are_not_the_same():
    runs = [training([1.0], batch_size=32), training([1.0], batch_size=128)]
    with pytest.raises(RunFolderError, match="steps of 32 and of 128 examples are not the same"):
        ByStep(runs)


def test_steps_are_those_of_all():
    one, two = training([1.0, 1.0]), training([1.0, 1.0], steps=[0, 250])
    matching = ByStep([one, two])
    assert matching.places([one], [two]) == [0, 100, 250]
    assert matching.shares(one, 250) == []
    assert np.isclose(matching.label(250), 250)
