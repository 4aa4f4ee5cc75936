"""Figures of comparisons are tested as data: what is drawn equals the numbers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from noise_lens.contrasts import (
    SeedMean,
    TableRow,
    Tail,
    comparison_table,
)
from noise_lens.figures import (
    SeedPoint,
    TailCurve,
    plot_against_parameter,
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
