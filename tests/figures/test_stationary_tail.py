from __future__ import annotations

import math

import numpy as np
import pytest

from noise_lens.figures import SimulatedTail, plot_stationary_tail, stationary_curve
from noise_lens.theory.kesten import kesten_tail_index


def test_the_curve_is_the_theory():
    curve = stationary_curve(2, 3, 1.5)
    assert curve.alpha[0] == pytest.approx(8)
    assert (np.diff(curve.alpha) < 0).all()
    assert np.interp(curve.critical, curve.step_size, curve.alpha) == pytest.approx(2, abs=0.02)
    assert kesten_tail_index(1.001 * curve.largest, 2, 3, 1.5).regime == "no stationary law"
    assert (np.diff(curve.step_size) > 0).all()
    assert curve.critical == pytest.approx(2 * 2 / (1.5**2 * (3 + 2 + 1)))
    assert curve.step_size[-1] < curve.largest


def test_what_is_drawn_is_what_was_given():
    curves = [stationary_curve(b, 1, n_points=4) for b in (1, 2)]
    points = [
        SimulatedTail(1, 0.8, 1.5, 1.4, 1.7),
        SimulatedTail(1, 0.9, math.inf, 1.4, math.inf),  # no power tail: no place
        SimulatedTail(2, 2.5, 0.9, 0.8, 1.1, stationary=False),
    ]

    ax = plot_stationary_tail(curves, points)

    labels = ax.get_legend_handles_labels()[1]
    assert labels == [
        "theory, b = 1", "theory, b = 2", "α = 2: finite variance above", "simulated, b = 1",
        "simulated, not stationary, b = 2",
    ]  # fmt: skip
    drawn = {line.get_label(): line for line in ax.get_lines()}
    assert np.array_equal(drawn["theory, b = 2"].get_ydata(), curves[1].alpha)
    verticals = [
        line.get_xdata()[0]
        for line in ax.get_lines()
        if line.get_xdata()[0] == line.get_xdata()[-1]
    ]
    for curve in curves:
        assert {curve.critical, curve.largest} <= set(verticals)
    solid, hollow = ax.containers
    assert solid[0].get_xdata().tolist() == [0.8]
    assert solid[0].get_ydata().tolist() == [1.5]
    assert np.allclose(solid[2][0].get_segments()[0][:, 1], [1.4, 1.7])
    assert hollow[0].get_markerfacecolor() == "none"
    assert "step size" in ax.get_xlabel()
    assert "tail index" in ax.get_ylabel()
