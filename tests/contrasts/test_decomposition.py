from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from noise_lens import RunFolderError, SymmetricStable, pooled
from noise_lens.contrasts import TERMS, decompose, predictions, ratio_of_means
from noise_lens.inference.moments import excess_kurtosis, log_scale
from noise_lens.theory import ema_weights, excess_kurtosis_factor, stable_scale_ratio

ALPHA = "projections_characteristic_function_alpha"
KURTOSIS = "projections_excess_kurtosis"
LOG_SCALE = "projections_log_scale"
# alpha of (raw, averaged) noise: averaging explains .61 of .65
LEVELS = {"sgd": (1.25, 1.86), "adam": (1.30, 1.90)}


@pytest.fixture
def invented(noise):
    """Averaging does most of it; the seed moves all four numbers."""

    def value(optimizer, seed, step, view, group):
        raw, averaged = LEVELS[optimizer]
        alpha = averaged if view in ("momentum", "trajectory") else raw
        if view == "update":
            alpha = 1.95
        return {ALPHA: alpha + noise("shared", seed) + noise(optimizer, seed, view, scale=0.01)}

    return value


def values_of(invented, optimizer, view):
    return np.array([invented(optimizer, s, 1000, view, "all")[ALPHA] for s in range(6)])


def test_the_parts_are_what_they_say(comparison, invented):
    """Each against the four numbers themselves; apparent = averaging + remainder."""
    found = decompose(comparison(invented), optimizer="adam")
    own_raw, own, other_raw, other = (
        values_of(invented, *place)
        for place in (("adam", "gradient"), ("adam", "momentum"),
                      ("sgd", "gradient"), ("sgd", "momentum"))
    )  # fmt: skip
    for name, truth in (
        ("apparent", own - other_raw),
        ("averaging", other - other_raw),
        ("weights", own_raw - other_raw),
        ("remainder", own - other),
    ):
        part = getattr(found, name)
        theirs = stats.ttest_1samp(truth, 0).confidence_interval(0.95)
        assert (part.low, part.high) == pytest.approx(theirs), name
        assert part.claim == "lighter", name
    assert found.averaging.mean + found.remainder.mean == pytest.approx(found.apparent.mean)
    assert (found.step, found.baseline, found.quantity) == (1000, "sgd", "alpha")


def test_the_share_is_fiellers(comparison, invented):
    found = decompose(comparison(invented), optimizer="adam")
    own, raw, other = (
        values_of(invented, *p)
        for p in (("adam", "momentum"), ("sgd", "gradient"), ("sgd", "momentum"))
    )
    assert found.share == ratio_of_means(other - raw, own - raw, name="the apparent gap")
    assert found.share.value == pytest.approx(0.61 / 0.65, abs=0.02)
    assert found.share.low < found.share.value < found.share.high < 1
    assert found.share.reason is None


def test_no_share_of_a_gap_that_is_not_there(comparison, noise):
    """Adam's averages are as heavy as sgd's raw noise: only differences are told."""

    def value(optimizer, seed, step, view, group):
        return {ALPHA: 1.5 + noise(optimizer, seed, view)}

    found = decompose(comparison(value), optimizer="adam")
    assert np.isnan([found.share.value, found.share.low, found.share.high]).all()
    assert found.share.reason.startswith("the apparent gap is not told from 0: its interval is")
    assert found.apparent.reason == "the interval includes 0"
    assert np.isfinite([found.averaging.low, found.remainder.low]).all()


def test_no_share_of_a_gap_between_two_limits(comparison, noise):
    """Gaussian noise everywhere: averages read 1.995 because they are few, and no gap is there."""

    def value(optimizer, seed, step, view, group):
        alpha = 1.9999 if view == "gradient" else 1.995 + noise(optimizer, seed, scale=1e-3)
        return {ALPHA: alpha, ALPHA.replace("alpha", "high"): 2.0}

    found = decompose(comparison(value), optimizer="adam")
    assert found.apparent.high < 0
    for reason in (found.apparent.reason, found.averaging.reason, found.share.reason):
        assert reason.startswith("most probes' own intervals reach 2")
    assert np.isnan(found.share.value)


def test_a_missing_number_says_what_its_records_say(comparison):
    run = comparison(lambda *_: {"projections_reason": "it needs at least 40 rows, got 5"})
    found = decompose(run, optimizer="adam")
    for name in TERMS:
        assert getattr(found, name).reason == "it needs at least 40 rows, got 5"


def test_levels_are_all_views_at_both_weights(comparison, invented):
    views = ("gradient", "momentum", "update")
    found = decompose(comparison(invented, views=views), optimizer="adam")
    assert [(one.weights, one.view) for one in found.levels] == [
        (weights, view) for weights in ("adam", "sgd") for view in views
    ]
    level = found.level("sgd", "gradient")
    values = values_of(invented, "sgd", "gradient")
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (level.low, level.high) == pytest.approx(theirs)
    assert found.level("sgd", "transformed") is None


def test_seeds_that_miss_a_number_are_out_of_every_part(comparison, invented):
    """Otherwise the parts would not add up."""

    def value(optimizer, seed, step, view, group):
        if (optimizer, seed, view) == ("adam", 4, "momentum"):
            return {ALPHA: None}
        return invented(optimizer, seed, step, view, group)

    run = comparison(value, diverged=("sgd-s0",))
    found = decompose(run, optimizer="adam")
    assert found.n_diverged == 1
    assert {getattr(found, name).n for name in TERMS} == {4}
    assert {getattr(found, name).n_dropped for name in TERMS} == {1}
    assert found.averaging.mean + found.remainder.mean == pytest.approx(found.apparent.mean)
    assert found.level("adam", "gradient").n == 5


def test_another_reference_is_not_compared(comparison, invented):
    def value(optimizer, seed, step, view, group):
        pair = {"reference": "pair"} if optimizer == "adam" else {}
        return invented(optimizer, seed, step, view, group) | pair

    found = decompose(comparison(value), optimizer="adam")
    for name in TERMS:
        assert "the references are" in getattr(found, name).reason
        assert np.isnan(getattr(found, name).mean)
    assert "the references are" in found.share.reason
    # At the weights of each, averages and raw noise have the same reference.
    assert {one.weights for one in found.predictions} == {"sgd", "adam"}


def test_another_average_explains_nothing(comparison, invented):
    """sgd's noise under 0.9 is not what an optimizer with 0.95 does to it."""

    def value(optimizer, seed, step, view, group):
        other = optimizer == "adam" and view == "momentum"
        return invented(optimizer, seed, step, view, group) | (
            {"beta": 0.95, "window": 45} if other else {}
        )

    found = decompose(comparison(value), optimizer="adam")
    for reason in (found.averaging.reason, found.remainder.reason, found.share.reason):
        assert "beta 0.95 over 45 minibatches and beta 0.9 over 22" in reason
    assert found.apparent.claim == "lighter"
    assert found.weights.claim == "lighter"


def test_without_averages_only_the_weights_are_left(comparison, invented):
    found = decompose(comparison(invented, views=("gradient",)), optimizer="adam")
    for reason in (found.apparent.reason, found.averaging.reason, found.share.reason):
        assert reason == "adam has no record of the view 'momentum' at step 1000"
    assert found.weights.n == 6
    assert found.predictions == ()


def test_an_optimizer_that_always_diverged(comparison, invented):
    run = comparison(invented, seeds=[0, 1], diverged=("adam-s0", "adam-s1"))
    found = decompose(run, optimizer="adam")
    assert found.n_diverged == 2
    assert found.levels == ()
    for reason in (found.apparent.reason, found.share.reason):
        assert reason == "every seed diverged under one of the two"


def test_rows_are_a_table(comparison, invented):
    rows = decompose(comparison(invented), optimizer="adam").rows()
    assert len({tuple(sorted(row)) for row in rows}) == 1
    table = pd.DataFrame(rows)
    assert list(table.part) == ["level"] * 4 + ["term"] * 4 + ["share"]
    assert list(table.name[4:8]) == list(TERMS)
    assert list(table.claim[4:8]) == ["lighter"] * 4
    assert table["mean"].iloc[8] == pytest.approx(0.61 / 0.65, abs=0.02)
    assert (table.optimizer == "adam").all()


def test_kurtosis_is_taken_apart_as_well(comparison, noise):
    """Excess kurtosis 8 raw and .9 averaged: averaging makes it lighter."""

    def value(optimizer, seed, step, view, group):
        level = {"sgd": (8.0, 0.9), "adam": (7.0, 0.8)}[optimizer][view == "momentum"]
        return {KURTOSIS: level * math.exp(noise(optimizer, seed, view))}

    found = decompose(comparison(value), optimizer="adam", quantity="excess_kurtosis")
    assert found.averaging.claim == found.apparent.claim == "lighter"
    assert found.share.value == pytest.approx(7.1 / 7.2, abs=0.02)


def test_what_is_refused(comparison, invented):
    run = comparison(invented)
    for wrong, said in (
        ({"optimizer": "adal"}, "no runs of 'adal'; its optimizers are sgd, adam"),
        ({"optimizer": "sgd"}, "'sgd' is the baseline itself"),
        ({"of": "norm"}, "of must be one of coordinates, projections, got 'norm'"),
        ({"quantity": "hill"}, "quantity must be one of alpha, excess_kurtosis, got 'hill'"),
        ({"averaged": "update"}, "averaged must be one of momentum, trajectory, got 'update'"),
        ({"group": "head"}, "group must be one of all, got 'head'"),
        ({"step": 7}, "step must be one of 0, 100, 1000, got 7"),
    ):
        with pytest.raises(ValueError, match=said):
            decompose(run, **{"optimizer": "adam"} | wrong)
    with pytest.raises(RunFolderError, match="is no comparison"):
        decompose(run.runs["adam-s0"], optimizer="adam")
    with pytest.raises(RunFolderError, match="holds no finished measurement yet"):
        decompose(comparison(lambda *_: None), optimizer="adam")


def test_predictions_by_hand(comparison, noise):
    """Stable of 1.5: alpha stays, the scale shrinks to .36 of it. Kurtosis 6 becomes .64."""

    def value(optimizer, seed, step, view, group):
        alpha, scale = 1.5 + noise("alpha", seed), noise("scale", seed)
        if view == "momentum":
            alpha += noise("more", seed)
            scale += math.log(stable_scale_ratio(1.5, 0.9, 22)) + noise("again", seed)
        return {ALPHA: alpha, LOG_SCALE: scale, KURTOSIS: 6.0 + noise("kurtosis", seed)}

    found = decompose(comparison(value), optimizer="adam").predictions
    assert [(p.weights, p.law, p.quantity) for p in found] == [
        (weights, *what)
        for weights in ("sgd", "adam")
        for what in (("stable", "alpha"), ("stable", "log_scale_shift"),
                     ("finite variance", "excess_kurtosis"))
    ]  # fmt: skip
    alpha, shift, kurtosis = found[:3]
    draws = [1.5 + noise("alpha", seed) for seed in range(6)]
    assert alpha.predicted.mean == pytest.approx(np.mean(draws))
    logs = [math.log(stable_scale_ratio(a, 0.9, 22)) for a in draws]
    assert shift.predicted.mean == pytest.approx(np.mean(logs))
    assert shift.miss.low < 0 < shift.miss.high
    factor = excess_kurtosis_factor(0.9, 22)
    assert kurtosis.predicted.mean == pytest.approx(
        factor * np.mean([6.0 + noise("kurtosis", seed) for seed in range(6)])
    )
    assert kurtosis.miss.claim == "above"  # the averages kept a kurtosis of 6
    row = kurtosis.row()
    assert row["predicted_mean"] == kurtosis.predicted.mean
    assert row["miss_claim"] == "above"


def records_of(rows, beta, window):
    """Return what a record says of rows, by the estimators that a record uses."""
    found = pooled(rows)
    average = {"beta": beta, "window": window} if beta else {"beta": None, "window": 1}
    return average | {
        "n_rows": len(rows),
        ALPHA: float(found.alpha),
        KURTOSIS: excess_kurtosis(rows),
        LOG_SCALE: log_scale(rows),
    }


@pytest.mark.parametrize("law", ["stable", "finite variance"])
def test_each_law_is_recognised_by_its_own_noise(rng, law):
    """Stable rows of 1.6 follow the stable law and no other; Laplace rows the other way about.

    Eight seeds of 800 rows and as many averages. A law that holds is rejected with p < .001 in
    one of 1000 tests, of which there are three.
    """
    beta, window, n, d = 0.5, 4, 800, 12
    weights = ema_weights(beta, window)
    raw, averaged = [], []
    for _ in range(8):
        draws = (
            SymmetricStable(1.6).rvs((n, d, window + 1), rng)
            if law == "stable"
            else rng.laplace(size=(n, d, window + 1))
        )
        raw.append(records_of(draws[..., -1], None, 1))
        averaged.append(records_of(draws[..., :-1] @ weights, beta, window))

    alpha, shift, kurtosis = predictions("sgd", raw, averaged, "projections")

    if law == "stable":
        assert alpha.miss.pvalue > 1e-3
        assert shift.miss.pvalue > 1e-3
        assert kurtosis.miss.claim == "above"
    else:
        assert kurtosis.miss.pvalue > 1e-3
        assert alpha.miss.claim == "above"
        assert shift.miss.claim is not None


def test_the_kurtosis_of_few_averages_is_no_evidence(comparison, noise):
    """46 averages of noise with four moments read less than the law says, and not against it."""

    def value(optimizer, seed, step, view, group):
        averages = view == "momentum"
        return {
            ALPHA: 1.5 + noise(seed, view) + 0.2 * averages,
            KURTOSIS: (0.5 if averages else 10.0) + noise("kurtosis", seed, view),
            "n_rows": 46 if averages else 1000,
        }

    few = decompose(comparison(value), optimizer="adam").predictions
    alpha, _, kurtosis = few[:3]
    assert kurtosis.miss.high < 0
    assert kurtosis.miss.claim is None
    assert kurtosis.miss.reason.startswith("46 averages: the kurtosis of so few reads low")
    assert alpha.miss.claim == "above"  # the index of few rows has no such error

    run = comparison(lambda *place: value(*place) | {"n_rows": 200})
    assert decompose(run, optimizer="adam").predictions[2].miss.claim == "below"


@pytest.mark.parametrize("adal", ["adal", "adal@eps=0.001"])
def test_adal_averages_what_it_transformed(comparison, noise, adal):
    """Its moments see the transformed gradient: predicting from the plain one would be wrong."""

    def value(optimizer, seed, step, view, group):
        if optimizer == "sgd" and view == "transformed":
            return None
        alpha = {"gradient": 1.6, "transformed": 1.3, "momentum": 1.8}[view]
        return {ALPHA: alpha + noise(optimizer, seed, view)}

    views = ("gradient", "momentum", "transformed")
    run = comparison(value, optimizers=("sgd", adal), views=views)
    found = {p.weights: p for p in decompose(run, optimizer=adal).predictions
             if p.quantity == "alpha"}  # fmt: skip
    assert found[adal].predicted.mean == pytest.approx(1.3, abs=0.05)
    assert found["sgd"].predicted.mean == pytest.approx(1.6, abs=0.05)
    without = comparison(value, optimizers=("sgd", adal))
    assert {p.weights for p in decompose(without, optimizer=adal).predictions} == {"sgd"}
