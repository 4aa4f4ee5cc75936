"""Figures of comparisons are tested as data: what is drawn equals the numbers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from noise_lens.contrasts import (
    Decomposition,
    Difference,
    Level,
    PairedDifference,
    Prediction,
    Ratio,
    SeedMean,
    TableRow,
    Tail,
    comparison_table,
)
from noise_lens.figures import (
    SeedPoint,
    TailCurve,
    plot_against_parameter,
    plot_decomposition,
    plot_differences,
    plot_predictions,
    plot_tail_against_accuracy,
    plot_tail_over_training,
    published_curves,
    seed_points,
    series_look,
    tail_curves,
)
from noise_lens.inference.seeds import OverSeeds
from noise_lens.run import COLUMNS, Run

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


# Along training


def curve(name, *alphas, steps=(0, 10, 100)):
    return TailCurve(
        name, steps[: len(alphas)], tuple(OverSeeds(a, a - 0.1, a + 0.05, 5) for a in alphas)
    )


def test_every_optimizer_is_drawn_at_its_steps():
    """One that was cut off stays at its own steps; intervals are those of the estimates."""
    ax = plot_tail_over_training([curve("sgd", 1.5, 1.6, 1.7), curve("adam", 1.8, 1.9)])
    found = points(ax)
    assert list(found) == ["sgd", "adam"]
    assert found["sgd"].lines[0].get_ydata() == pytest.approx([1.5, 1.6, 1.7])
    assert found["adam"].lines[0].get_ydata() == pytest.approx([1.8, 1.9])
    assert drawn_bars(found["adam"]) == pytest.approx([0.15, 0.15])
    assert np.round(found["adam"].lines[0].get_xdata()).tolist() == [0, 1]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "10", "100"]


def test_the_published_estimator_has_a_panel_of_its_own():
    """Another quantity: not on the axis of the tail index, and named as what it is."""
    published = [TailCurve("adam", (0, 10), (mean(1.1), SeedMean(1.2, NAN, NAN, 1, 0, "one seed")))]
    ax = plot_tail_over_training([curve("sgd", 1.5), curve("adam", 1.8)], published=published)
    left, right = ax.figure.axes
    assert left is ax
    assert set(points(left)) == {"sgd", "adam"}
    assert points(right)["adam"].lines[0].get_ydata() == pytest.approx([1.1, 1.2])
    assert "α" not in right.get_ylabel()
    assert "as published" in right.get_title()
    colours = [points(panel)["adam"].lines[0].get_color() for panel in (left, right)]
    assert colours[0] == colours[1] != points(left)["sgd"].lines[0].get_color()


def test_two_panels_need_two_axes():
    one = Figure().subplots()
    with pytest.raises(ValueError, match="2 panels need as many axes, got 1"):
        plot_tail_over_training([curve("sgd", 1.5)], published=[curve("sgd", 1.1)], ax=one)


def test_ten_series_stay_apart():
    """No two have the same colour, marker and line; none crosses into the next step."""
    names = [f"optimizer {i}" for i in range(10)]
    ax = plot_tail_over_training([curve(name, 1.5, 1.6) for name in names])
    lines = [container.lines[0] for container in ax.containers]
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}
    assert len(looks) == 10
    assert len({(series_look(i)["color"], series_look(i)["marker"]) for i in range(12)}) == 12
    firsts = [line.get_xdata()[0] for line in lines]
    assert sorted(firsts) == firsts
    assert firsts[-1] - firsts[0] < 0.65


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


# Against a parameter


def row(optimizer, alpha, accuracy, n=5):
    tail = Tail(OverSeeds(alpha, alpha - 0.1, alpha + 0.1, n), mean(3.0), {}, ("full",))
    there = n > 0
    return TableRow(
        optimizer, 100, "all", (0.1,), n, 0,
        {("gradient", "projections"): tail} if there else {},
        {"test/accuracy": mean(accuracy, 0.02)} if there else {},
    )  # fmt: skip


def test_points_are_in_the_order_of_the_parameter():
    rows = [
        row("padam@p=0.5", 1.8, 0.9),
        row("sgd-momentum", 1.5, 0.85),
        row("padam@p=0.125", 1.6, 0.88),
    ]
    ax = plot_against_parameter(rows)
    left, right = ax.figure.axes
    assert left is ax
    assert left.containers[0].lines[0].get_xdata() == pytest.approx([0.125, 0.5])
    assert left.containers[0].lines[0].get_ydata() == pytest.approx([1.6, 1.8])
    assert drawn_bars(left.containers[0]) == pytest.approx([0.2, 0.2])
    assert right.containers[0].lines[0].get_ydata() == pytest.approx([0.88, 0.9])
    assert drawn_bars(right.containers[0]) == pytest.approx([0.04, 0.04])
    for panel, level in ((left, 1.5), (right, 0.85)):
        (line,) = [line for line in panel.get_lines() if line.get_label() == "sgd-momentum"]
        assert list(line.get_ydata()) == [level, level]
    assert left.get_xlabel() == right.get_xlabel() == "p"


def test_another_option_and_one_panel():
    rows = [row("adam@beta=0.9@p=3", 1.8, 0.9), row("adam@beta=0.5", 1.6, 0.8)]
    ax = plot_against_parameter(rows, parameter="beta", metric=None)
    assert ax.figure.axes == [ax]
    assert ax.containers[0].lines[0].get_xdata() == pytest.approx([0.5, 0.9])


def test_a_value_that_always_diverged_is_left_out():
    rows = [
        row("padam@p=0.5", 1.8, 0.9),
        row("padam@p=0.25", 1.8, 0.9, n=0),
        row("adam", 1, 1, n=0),
    ]
    ax = plot_against_parameter(rows)
    assert ax.containers[0].lines[0].get_xdata() == pytest.approx([0.5])
    assert not [line for line in ax.get_lines() if line.get_label() == "adam"]


def test_without_the_parameter_there_is_nothing_to_draw():
    with pytest.raises(ValueError, match="NAME@p=NUMBER; there are adam, sgd@nesterov=True"):
        plot_against_parameter([row("adam", 1.8, 0.9), row("sgd@nesterov=True", 1.8, 0.9)])


# Against accuracy


def test_one_point_a_seed():
    every = [
        SeedPoint("sgd", 0, 1.5, 1.4, 1.7, 0.8),
        SeedPoint("adam", 0, 1.8, 1.75, 1.9, 0.9),
        SeedPoint("sgd", 1, 1.55, 1.45, 1.65, 0.82),
    ]
    ax = plot_tail_against_accuracy(every, metric="gap/accuracy")
    found = points(ax)
    assert found["sgd"].lines[0].get_xdata() == pytest.approx([1.5, 1.55])
    assert found["sgd"].lines[0].get_ydata() == pytest.approx([0.8, 0.82])
    assert drawn_bars(found["sgd"]) == pytest.approx([0.3, 0.2])
    assert ax.get_ylabel() == "gap accuracy"
    assert to_rgba(found["adam"].lines[0].get_color()) != to_rgba(found["sgd"].lines[0].get_color())


# From a run


@pytest.fixture
def comparison():
    """Two optimizers, three seeds; the last one of adam diverged, and adam-s1 lacks step 100."""

    def record(optimizer, seed, step, view):
        base = 1.5 + 0.1 * seed + 0.2 * (optimizer == "adam") + step / 1000
        found = dict.fromkeys(COLUMNS.names) | {
            "rank": 0, "step": step, "view": view, "group": "all", "reference": "full",
            "batch_size": 32, "n_rows": 500, "window": 1,
            "metrics": {"train/accuracy": 0.95, "test/accuracy": 0.8 + 0.01 * seed},
            "published_alpha": base - 0.5 if view == "gradient" else None,
        }  # fmt: skip
        for of, shift in (("coordinates", -0.3), ("projections", 0.0)):
            for name, add in (("alpha", 0), ("low", -0.05), ("high", 0.05)):
                found[f"{of}_characteristic_function_{name}"] = base + shift + add
        return found

    runs = {}
    for optimizer in ("sgd", "adam"):
        for seed in range(3):
            name = f"{optimizer}-s{seed}"
            steps = (0,) if name == "adam-s1" else (0, 100)
            records = [record(optimizer, seed, s, v) for s in steps for v in ("gradient", "update")]
            settings = {
                "optimizer": optimizer, "seed": seed, "task": "t", "task_arguments": {},
                "mode": "train", "n_minibatches": 500, "n_examples": 100, "batch_size": 32,
                "learning_rates": {optimizer: 0.1},
            }  # fmt: skip
            status = "diverged" if name == "adam-s2" else "finished"
            runs[name] = Run(
                Path(name), {"kind": "run", "settings": settings}, records, {"status": status}
            )
    settings = {"optimizers": ["sgd", "adam"], "baseline": "sgd"}
    return Run(Path("c"), {"kind": "comparison", "settings": settings}, [], {}, runs=runs)


def test_curves_are_those_of_the_table(comparison):
    sgd, adam = tail_curves(comparison, of="coordinates")
    assert (sgd.optimizer, sgd.steps, adam.steps) == ("sgd", (0, 100), (0, 100))
    assert sgd.estimates[0].mean == pytest.approx(1.3)
    assert [estimate.n for estimate in adam.estimates] == [2, 1]
    for step, place in ((0, 0), (100, 1)):
        for one, made in zip(comparison_table(comparison, step=step), (sgd, adam), strict=True):
            assert one.tails["gradient", "coordinates"].alpha == made.estimates[place]
    assert tail_curves(comparison, view="momentum") == []


def test_published_curves_are_means_over_seeds(comparison):
    sgd, adam = published_curves(comparison)
    assert [estimate.mean for estimate in sgd.estimates] == pytest.approx([1.1, 1.2])
    reach = 4.302652729911275 * 0.1 / math.sqrt(3)
    assert sgd.estimates[0].high - sgd.estimates[0].mean == pytest.approx(reach)
    assert adam.estimates[1].n == 1
    assert math.isnan(adam.estimates[1].low)
    plot_tail_over_training(
        tail_curves(comparison), published=[sgd, adam]
    ).figure.draw_without_rendering()


def test_seed_points_are_those_of_the_records(comparison):
    """The last step of each run, or the one named; diverged runs and missing metrics stay out."""
    found = seed_points(comparison)
    assert [(p.optimizer, p.seed) for p in found] == [
        ("sgd", 0), ("sgd", 1), ("sgd", 2), ("adam", 0), ("adam", 1),
    ]  # fmt: skip
    assert [p.alpha for p in found] == pytest.approx([1.6, 1.7, 1.8, 1.8, 1.8])
    assert found[0].high - found[0].low == pytest.approx(0.1)
    assert [p.value for p in found[:3]] == pytest.approx([0.8, 0.81, 0.82])
    at_100 = seed_points(comparison, step=100, metric="gap/accuracy", view="update")
    assert [(p.optimizer, p.seed) for p in at_100] == [
        ("sgd", 0), ("sgd", 1), ("sgd", 2), ("adam", 0),
    ]  # fmt: skip
    assert at_100[1].value == pytest.approx(0.95 - 0.81)
    assert seed_points(comparison, metric="test/loss") == []
