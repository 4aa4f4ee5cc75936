from __future__ import annotations

import numpy as np
import pytest

from noise_lens.figures import EscapePoint, plot_escape_law, plot_escape_scaling

_POINTS = [
    EscapePoint(alpha, epsilon, 0.9 * epsilon**-alpha, 0.01 * epsilon**-alpha, epsilon**-alpha)
    for alpha in (1.5, 1.2)
    for epsilon in (0.1, 0.02)
]


def _lines(ax):
    return {line.get_label(): line for line in ax.get_lines()}


def test_the_ratio_and_its_interval():
    ratio, _ = plot_escape_scaling(_POINTS)
    bars = {c.get_label(): c for c in ratio.containers}
    assert list(bars) == ["α = 1.2", "α = 1.5"]
    data, _, (segments,) = bars["α = 1.5"].lines
    np.testing.assert_allclose(data.get_xdata(), [0.02, 0.1])
    np.testing.assert_allclose(data.get_ydata(), 0.9)
    low, high = segments.get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((0.9 - 0.0196, 0.9 + 0.0196), abs=1e-5)
    assert any("limit of small noise" in label for label in _lines(ratio))


def test_the_line_of_the_limit_has_slope_minus_alpha():
    _, time = plot_escape_scaling(_POINTS)
    lines = [line for line in time.get_lines() if len(line.get_xdata()) == 2]
    slopes = sorted(
        np.diff(np.log(line.get_ydata()))[0] / np.diff(np.log(line.get_xdata()))[0]
        for line in lines
        if line.get_linestyle() == "-"
    )
    np.testing.assert_allclose(slopes, [-1.5, -1.2])
    assert (time.get_xscale(), time.get_yscale()) == ("log", "log")


def test_the_law_is_the_share_still_inside():
    times = np.array([1.0, 4.0, 2.0, 8.0])
    ax = plot_escape_law(times, mean=2.0)
    simulated = _lines(ax)["simulated"]
    np.testing.assert_allclose(simulated.get_xdata(), [0, 0.5, 1, 2])
    np.testing.assert_allclose(simulated.get_ydata(), [1, 0.75, 0.5, 0.25])
    limit = _lines(ax)["exponential, predicted mean"]
    np.testing.assert_allclose(np.log(limit.get_ydata()), -limit.get_xdata(), atol=1e-12)


def test_censored_paths_stay_inside():
    ax = plot_escape_law([1.0, 3.0, 3.0, 3.0], mean=2.0, max_time=3.0)
    np.testing.assert_allclose(_lines(ax)["simulated"].get_ydata(), [1, 0.75])


def test_given_axes_are_drawn_on():
    from matplotlib.figure import Figure

    axes = Figure().subplots(1, 2)
    assert plot_escape_scaling(_POINTS, ax_ratio=axes[0], ax_time=axes[1])[0] is axes[0]
    assert plot_escape_law([1.0, 2.0], 1.0, ax=axes[1]) is axes[1]
    with pytest.raises(ValueError, match="give all or none"):
        plot_escape_scaling(_POINTS, ax_ratio=axes[0])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: plot_escape_scaling([]), "no escape times to draw"),
        (lambda: plot_escape_law([], 1.0), "no escape times to draw"),
        (lambda: plot_escape_law([1.0], float("inf")), "positive, finite mean, got inf"),
    ],
)
def test_bad_input(call, text):
    with pytest.raises(ValueError, match=text):
        call()
