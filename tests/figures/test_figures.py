"""Figures are tested as data: what is drawn equals the numbers."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import special

from noise_lens import (
    SymmetricStable,
    aggregation_curve,
    hill,
    hill_path,
    moment,
    pooled,
    rotation_test,
)
from noise_lens.figures import (
    plot_aggregation,
    plot_efficiency,
    plot_estimates,
    plot_hill_path,
    plot_quantiles,
    plot_rotations,
    plot_survival,
    plot_tail_index,
    plot_training,
    quantile_curve,
    survival_curve,
)
from noise_lens.figures.survival import GAUSSIAN_SD
from noise_lens.inference.seeds import OverSeeds


def test_tail_index_is_drawn_with_its_interval():
    estimates = [OverSeeds(1.5, 1.4, 1.7, 1), OverSeeds(1.9, 1.8, 2.0, 1)]
    ax = plot_tail_index([0, 100], estimates, label="sgd")
    container = ax.containers[0]
    assert container.lines[0].get_ydata() == pytest.approx([1.5, 1.9])
    (bars,) = container.lines[2]
    assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [
        pytest.approx([1.4, 1.7]),
        pytest.approx([1.8, 2.0]),
    ]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "100"]


def test_series_with_other_steps_share_an_axis():
    """A series that was cut off does not move or relabel the other."""
    estimate = OverSeeds(1.5, 1.4, 1.7, 1)
    ax = plot_tail_index([0, 10, 100], [estimate] * 3, axis=[0, 10, 100])
    plot_tail_index([10], [estimate], axis=[0, 10, 100], ax=ax)
    assert ax.containers[1].lines[0].get_xdata() == pytest.approx([1])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "10", "100"]


def test_aggregation_is_drawn_as_computed(rng):
    curve = aggregation_curve(rng.laplace(size=(400, 20)), rng)
    ax = plot_aggregation(curve)
    drawn = ax.containers[0].lines[0]
    assert drawn.get_ydata() == pytest.approx(curve.alpha)
    assert drawn.get_xdata() == pytest.approx(curve.block_sizes)
    again = plot_aggregation(curve, ax=ax)
    assert again is ax
    assert (
        sum(line.get_label() == "α = 2: Gaussian" for line in ax.get_lines()) == 1
    )  # one line at 2, not two


def test_aggregation_bars_are_the_intervals_of_the_curve(rng):
    curve = aggregation_curve(rng.laplace(size=(400, 20)), rng)
    (bars,) = plot_aggregation(curve).containers[0].lines[2]
    drawn = np.array([segment[:, 1] for segment in bars.get_segments()])
    assert drawn[:, 0] == pytest.approx(curve.low)
    assert drawn[:, 1] == pytest.approx(curve.high)


def test_the_band_is_where_stable_rows_drift(rng):
    """At every m the limits of the drift from the first level, cut at 2; none unless asked."""
    curve = aggregation_curve(rng.standard_t(25, (400, 20)), rng)
    assert curve.uncut[0] + curve.drift_limits[1] > 2  # there is something to cut
    assert not plot_aggregation(curve).collections[1:]  # the bars alone
    band = plot_aggregation(curve, stable_band=True).collections[-1].get_paths()[0].vertices
    for size in curve.block_sizes:
        limits = curve.uncut[0] + np.array(curve.errors.drift_limits(curve.uncut[0], int(size)))
        there = band[band[:, 0] == size, 1]
        assert [there.min(), there.max()] == pytest.approx(np.clip(limits, 0, 2))


def test_rotations_are_drawn_with_what_was_observed(rng):
    test = rotation_test(rng.laplace(size=(200, 8)), rng=rng)
    ax = plot_rotations(test)
    assert ax.patches[0].get_data().values.sum() == test.n_rotations == 199
    assert ax.get_lines()[0].get_xdata() == pytest.approx([test.statistic] * 2)
    low, high = ax.get_xlim()
    assert low < test.null.min() < test.null.max() < test.statistic < high


def test_gaussian_quantiles_lie_on_the_diagonal(rng):
    """Where at least a hundred of 100,000 entries lie beyond, a magnitude is its own quantile."""
    rows = rng.standard_normal((2000, 50)) * np.exp(rng.standard_normal(50))
    survival = survival_curve(rows, 2.0, pooled(rows).sigma)
    curve = quantile_curve(survival)
    sure = survival.share > 1e-3
    assert curve.gaussian[sure] == pytest.approx(curve.magnitude[sure], rel=0.02)
    assert np.all(curve.low <= curve.gaussian)
    assert np.all(curve.gaussian <= curve.high)


def test_a_quantile_is_exceeded_as_often(rng):
    """By the definition: a Gaussian exceeds `gaussian` with the share of the noise."""
    survival = survival_curve(SymmetricStable(1.5).rvs((500, 20), rng), 1.5, 1.0)
    curve = quantile_curve(survival)
    assert 2 * special.ndtr(-curve.gaussian / GAUSSIAN_SD) == pytest.approx(survival.share)
    assert 2 * special.ndtr(-curve.stable / GAUSSIAN_SD) == pytest.approx(survival.stable)
    heavy = curve.magnitude > 20
    assert np.all(curve.magnitude[heavy] > 2 * curve.gaussian[heavy])
    assert np.isinf(curve.high[-1])  # one minibatch reaches so far: its share may be 0


def test_quantiles_are_drawn_as_computed(rng):
    curve = quantile_curve(survival_curve(rng.laplace(size=(300, 10)), None, None))
    ax = plot_quantiles(curve, ax=Figure().subplots(), label="mine")
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert set(lines) == {"Gaussian", "mine"}
    assert lines["mine"].get_xdata() == pytest.approx(curve.gaussian)
    assert lines["mine"].get_ydata() == pytest.approx(curve.magnitude)
    assert lines["Gaussian"].get_xdata() == pytest.approx(lines["Gaussian"].get_ydata())
    assert ax.get_xscale() == ax.get_yscale() == "log"


def test_quantiles_of_noise_without_small_magnitudes(rng):
    """All magnitudes above the first level: its share is 1, and the axis still begins above 0."""
    curve = quantile_curve(survival_curve(1 + rng.random((300, 10)), None, None))
    assert curve.gaussian.min() == 0
    assert plot_quantiles(curve).get_xlim()[0] > 0


def test_training_is_the_mean_and_the_range():
    ax = plot_training([0, 10], [[1.0, 3.0], [2.0, 2.0]], ylabel="loss")
    assert ax.get_lines()[0].get_ydata() == pytest.approx([2.0, 2.0])
    low, high = np.ptp(ax.collections[0].get_paths()[0].vertices, axis=0)
    assert (low, high) == (1, 2)


def test_gaussian_noise_lies_on_the_gaussian_line(rng):
    """Within the drawn interval at four of five levels where it is not narrower than 1e-3."""
    rows = rng.standard_normal((2000, 50)) * np.exp(rng.standard_normal(50))
    curve = survival_curve(rows, 2.0, pooled(rows).sigma)
    inside = (curve.low - 1e-3 <= curve.gaussian) & (curve.gaussian <= curve.high + 1e-3)
    assert inside.mean() > 0.8
    assert curve.stable == pytest.approx(curve.gaussian, abs=5e-3)


def test_the_gaussian_of_geometric_mean_one(rng):
    draws = GAUSSIAN_SD * rng.standard_normal(200_000)
    assert np.log(np.abs(draws)).mean() == pytest.approx(0, abs=4 * 1.12 / np.sqrt(200_000))


def test_stable_noise_lies_on_the_stable_line(rng):
    rows = SymmetricStable(1.5).rvs((2000, 50), rng)
    found = pooled(rows)
    curve = survival_curve(rows, found.alpha, found.sigma)
    middle = (curve.share > 1e-3) & (curve.share < 0.9)
    assert curve.share[middle] == pytest.approx(curve.stable[middle], rel=0.1)
    far = curve.levels > 20
    assert np.all(curve.share[far] > 100 * curve.gaussian[far])


def test_survival_is_drawn_as_computed(rng):
    curve = survival_curve(rng.laplace(size=(300, 10)), None, None)
    assert curve.stable is None
    ax = plot_survival(curve, ax=Figure().subplots(), label="mine")
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert set(lines) == {"Gaussian", "mine"}
    assert lines["mine"].get_ydata() == pytest.approx(curve.share)
    assert ax.get_xscale() == ax.get_yscale() == "log"


def test_zeros_are_no_magnitudes(rng):
    """Exact zeros are counted out: half of them changes no share."""
    rows = rng.standard_normal((400, 10))
    holes = rows.copy()
    holes[::2] = 0
    one, two = survival_curve(rows[1::2], None, None), survival_curve(holes, None, None)
    assert two.levels == pytest.approx(one.levels)
    assert two.share == pytest.approx(one.share)


def test_hill_path_is_drawn_with_its_band_and_its_choice(rng):
    path = hill_path(rng.pareto(1.5, 2000) + 1)
    ax = plot_hill_path(path)
    assert ax.get_lines()[0].get_ydata() == pytest.approx(path.alpha)
    assert ax.get_lines()[1].get_xdata() == [path.choose_k()]
    assert ax.get_xscale() == "log"
    flat_nowhere = hill_path(np.exp(700 / np.arange(1, 401) ** 2.0))
    assert "no tail index is identified" in plot_hill_path(flat_nowhere).get_title()


def test_estimates_side_by_side(rng):
    """Intervals as lines, estimates as points; what has no power tail is an arrow at the end."""
    x = rng.random(2000)
    estimates = [hill(rng.pareto(1.5, 2000) + 1, 100), moment(x, 100)]
    ax = plot_estimates(["hill", "moment"], estimates)
    lines = ax.get_lines()
    assert lines[0].get_xdata() == pytest.approx(estimates[0].confidence_interval())
    assert lines[1].get_xdata() == pytest.approx([estimates[0].alpha])
    assert lines[3].get_marker() == ">"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["hill", "moment"]


def test_efficiency_is_the_bound_over_the_error():
    rows = [
        {"method": "a", "alpha": alpha, "bound": 1.0, "rmse": rmse, "repeats": 200}
        for alpha, rmse in [(1.0, 1.0), (1.5, 2.0)]
    ]
    ax = plot_efficiency(rows)
    assert ax.containers[0].lines[0].get_ydata() == pytest.approx([1.0, 0.5])
    (bars,) = ax.containers[0].lines[2]
    assert bars.get_segments()[0][:, 1] == pytest.approx([0.9, 1.1])
