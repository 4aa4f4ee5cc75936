"""Figures of what the contrasts say are tested as data: what is drawn equals the numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from noise_lens.contrasts import (
    Decomposition,
    Difference,
    Level,
    PairedDifference,
    Prediction,
    Ratio,
    SeedMean,
)
from noise_lens.figures import plot_decomposition, plot_differences, plot_predictions

NAN = math.nan


def mean(value, reach=0.1, n=5):
    return SeedMean(value, value - reach, value + reach, n, 0, None)


def paired(value, claim=None):
    return PairedDifference(value, value - 0.1, value + 0.1, 5, 0, 0.01, claim, None)


def drawn_bars(container):
    """Return the horizontal or vertical interval of each point of an errorbar."""
    return [
        np.ptp(segment, axis=0).max()
        for bar in container.lines[2]
        for segment in bar.get_segments()
        if np.size(segment)
    ]


def points(ax):
    """Return the errorbars of an axes by label."""
    return {c.get_label(): c for c in ax.containers}


# What averaging explains


def decomposition(optimizer="adam", share=0.9, base=(1.5, 1.8), own=(1.55, 1.83), **options):
    levels = [
        Level("sgd", "gradient", mean(base[0])),
        Level("sgd", "momentum", mean(base[1])),
        Level(optimizer, "gradient", mean(own[0])),
        Level(optimizer, "momentum", mean(own[1])),
        Level(optimizer, "update", mean(1.6)),
    ]
    interval = (share - 0.1, share + 0.2)
    found = Ratio(share, *interval, 5, 0, None)
    if math.isnan(share):
        found = Ratio(NAN, NAN, NAN, 5, 0, "the apparent gap is not told from 0")
    default = {"group": "all", "of": "projections", "quantity": "alpha", "step": 100}
    parts = {name: paired(0.1) for name in ("apparent", "averaging", "weights", "remainder")}
    return Decomposition(
        optimizer, "sgd", averaged="momentum", levels=tuple(levels), share=found, predictions=(),
        n_diverged=0, **parts, **default | options,
    )  # fmt: skip


def levels_of(ax):
    """Return (row, alpha, half interval) of every level that is drawn."""
    return [
        (round(c.lines[0].get_ydata()[0], 2), c.lines[0].get_xdata()[0], drawn_bars(c)[0] / 2)
        for c in ax.containers
    ]


def test_levels_are_drawn_once_for_the_baseline_and_once_an_optimizer():
    ax = plot_decomposition([decomposition("adam"), decomposition("yogi", own=(1.2, 1.7))])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["sgd", "adam", "yogi"]
    half = pytest.approx(0.1)
    assert levels_of(ax) == [
        (0, 1.5, half), (0, 1.8, half),
        (1, 1.55, half), (1, 1.83, half), (1.2, 1.6, half),
        (2, 1.2, half), (2, 1.7, half), (2.2, 1.6, half),
    ]  # fmt: skip


def test_the_ends_of_averaging_are_carried_down():
    """Vertical lines at the baseline's raw and averaged noise, past the last optimizer."""
    ax = plot_decomposition([decomposition("adam"), decomposition("yogi")])
    lines = [line for line in ax.get_lines() if line.get_linestyle() == ":"]
    assert [line.get_xdata()[0] for line in lines] == [1.5, 1.8]
    assert all(line.get_ydata()[0] == 0 and line.get_ydata()[1] > 2 for line in lines)


def test_over_other_seeds_the_baseline_is_another():
    """Its row comes again where its numbers differ."""
    ax = plot_decomposition([decomposition("adam"), decomposition("yogi", base=(1.4, 1.7))])
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["sgd", "adam", "sgd", "yogi"]


def test_shares_stand_with_their_interval_or_not_at_all():
    ax = plot_decomposition([decomposition("adam"), decomposition("yogi", share=NAN)])
    said = [text.get_text() for text in ax.texts]
    assert said == ["share of averaging", "90 % [80, 110]", "withheld"]


def test_a_level_that_was_not_measured_is_left_out():
    one = decomposition("adam")
    less = [level for level in one.levels if (level.weights, level.view) != ("adam", "momentum")]
    ax = plot_decomposition([Decomposition(**{**vars(one), "levels": tuple(less)})])
    assert [row for row, _, _ in levels_of(ax)] == [0, 0, 1, 1.2]


def test_one_figure_shows_one_quantity():
    with pytest.raises(ValueError, match=r"alpha of coordinates .*; alpha of projections"):
        plot_decomposition([decomposition(), decomposition(of="coordinates")])
    with pytest.raises(ValueError, match="got none"):
        plot_decomposition([])


# Laws


def prediction(weights, predicted, observed, claim=None, quantity="excess_kurtosis"):
    law = "finite variance" if quantity == "excess_kurtosis" else "stable"
    miss = paired(observed - predicted, claim)
    return Prediction(law, weights, quantity, mean(predicted), mean(observed, 0.3), miss)


def test_observed_against_predicted_with_both_intervals():
    every = [
        prediction("sgd", 1.0, 1.1),
        prediction("sgd", 1.0, 1.1),  # from another optimizer's decomposition
        prediction("adam", 0.5, 2.5, claim="above"),
        prediction("adam", 7.0, 9.0, quantity="alpha"),
    ]
    ax = plot_predictions(every)
    found = points(ax)
    assert list(found) == ["at sgd's weights", "at adam's weights"]
    assert found["at adam's weights"].lines[0].get_xdata() == [0.5]
    assert found["at adam's weights"].lines[0].get_ydata() == [2.5]
    assert sorted(drawn_bars(found["at sgd's weights"])) == pytest.approx([0.2, 0.6])
    assert "finite variance" in ax.get_xlabel()
    assert plot_predictions(every, quantity="alpha").containers[0].lines[0].get_ydata() == [9.0]


def test_a_miss_is_filled_and_the_line_is_the_identity():
    ax = plot_predictions([prediction("sgd", 1.0, 1.1), prediction("adam", 0.5, 2.5, "above")])
    fills = [c.lines[0].get_markerfacecolor() for c in ax.containers]
    assert fills[0] == "none"
    assert fills[1] == ax.containers[1].lines[0].get_color()
    (line,) = [line for line in ax.get_lines() if line.get_label() == "as predicted"]
    assert line.get_xdata() == pytest.approx(line.get_ydata())
    assert ax.get_xlim() == ax.get_ylim() == pytest.approx(tuple(line.get_xdata()))
    low, high = ax.get_ylim()
    assert low < 0.4
    assert high > 2.8


def test_there_may_be_nothing_to_predict():
    assert plot_predictions([]).get_xlim()[0] < 0
    with pytest.raises(ValueError, match="quantity must be one of alpha"):
        plot_predictions([], quantity="scale")


# Differences


def difference(optimizer, value, claim=None, **options):
    default = {
        "baseline": "sgd", "view": "gradient", "group": "all", "of": "projections",
        "quantity": "alpha", "matched_by": "step", "at": 100, "mean": value,
        "low": value - 0.1, "high": value + 0.2, "n": 5, "n_diverged": 0, "n_unmatched": 0,
        "pvalue": 0.01, "claim": claim, "reason": None if claim else "the interval includes 0",
    }  # fmt: skip
    return Difference(optimizer, **default | options)


def test_differences_stand_below_each_other_with_their_intervals():
    ax = plot_differences([difference("adam", 0.3, "lighter"), difference("adal", -0.05)])
    first, second = ax.containers
    assert first.lines[0].get_xdata() == [0.3]
    ((start, end),) = (s[:, 0] for bar in first.lines[2] for s in bar.get_segments())
    assert (start, end) == pytest.approx((0.2, 0.5))
    assert first.lines[0].get_ydata()[0] < second.lines[0].get_ydata()[0]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first at the top
    assert [label.get_text() for label in ax.get_yticklabels()] == ["adam", "adal"]
    assert any(list(line.get_xdata()) == [0, 0] for line in ax.get_lines())


def test_claims_are_filled_and_the_axis_says_what_a_side_means():
    ax = plot_differences([difference("adam", 0.3, "lighter"), difference("adal", -0.05)])
    fills = [c.lines[0].get_markerfacecolor() for c in ax.containers]
    assert fills == [ax.containers[0].lines[0].get_color(), "none"]
    assert "difference from sgd\n← heavier · lighter →" in ax.get_xlabel()
    metric = {"quantity": "test/accuracy", "view": None, "of": None, "group": None}
    assert (
        "← lower · higher →" in plot_differences([difference("adam", 0.1, **metric)]).get_xlabel()
    )
    kurtosis = plot_differences([difference("adam", 0.1, quantity="excess_kurtosis")])
    assert "← lighter · heavier →" in kurtosis.get_xlabel()


def test_a_row_is_named_by_what_differs():
    ax = plot_differences(
        [
            difference("adam", 0.1),
            difference("adam", 0.2, view="update"),
            difference("adal", 0.2, of="coordinates"),
        ]
    )
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == [
        "adam  gradient  projections",
        "update  projections",
        "adal  gradient  coordinates",
    ]


def test_what_is_withheld_is_said_and_what_has_no_interval_has_no_bar():
    rows = [
        difference("adam", NAN, low=NAN, high=NAN, n=0, reason="the references are full and pair"),
        difference("adal", 0.1, low=NAN, high=NAN, n=1, reason="one seed"),
    ]
    ax = plot_differences(rows)
    assert [text.get_text() for text in ax.texts] == ["no value"]
    (one,) = ax.containers
    assert one.lines[0].get_xdata() == [0.1]
    assert not drawn_bars(one) or all(map(math.isnan, drawn_bars(one)))
    ax.figure.draw_without_rendering()


def test_different_quantities_share_no_axis():
    rows = [difference("adam", 0.1), difference("adam", 0.1, quantity="excess_kurtosis")]
    with pytest.raises(ValueError, match="got alpha from sgd by step; excess_kurtosis from sgd"):
        plot_differences(rows)
    with pytest.raises(ValueError, match="got none"):
        plot_differences([])
