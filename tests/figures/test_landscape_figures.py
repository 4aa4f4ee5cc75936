"""What is drawn of lines and of tails of weights equals the numbers."""

from __future__ import annotations

import numpy as np
import pytest

from noise_lens.figures import plot_loss_line, plot_weight_tails, tails_by_ratio
from noise_lens.landscape import LossLine, TrainedTail, WeightTail


def line(train, test=None):
    t = np.linspace(0, 1, len(train))
    return LossLine("task", "a$", "b", t, np.array(train, float), test, {}, 1.0, "none there")


def test_loss_line_is_drawn_with_its_barrier():
    found = line([1.0, 3.0, 2.0], np.array([1.5, 3.5, 2.5]))
    ax = plot_loss_line(found)
    train, test, higher = ax.get_lines()
    assert train.get_ydata() == pytest.approx(found.train)
    assert train.get_xdata() == pytest.approx([0, 0.5, 1])
    assert test.get_ydata() == pytest.approx(found.test)
    assert higher.get_ydata() == pytest.approx([2, 2])
    (segment,) = ax.collections[0].get_segments()
    assert segment[:, 1].tolist() == [2, 3]  # the barrier
    assert ax.texts[0].get_text() == "barrier 1"
    assert ax.get_xlabel() == r"from a\$ (0) to b (1)"
    assert ax.get_legend_handles_labels()[1][:2] == ["training loss", "test loss"]


def test_a_ridge_below_a_high_end_is_drawn():
    ax = plot_loss_line(line([1.0, 3.0, 0.5, 4.0]))
    (segment,) = ax.collections[0].get_segments()
    assert segment == pytest.approx(np.array([[1 / 3, 1], [1 / 3, 3]]))
    assert ax.texts[0].get_text() == "ridge 2"


def test_no_barrier_draws_none_and_overflow_is_a_gap():
    ax = plot_loss_line(line([3.0, 2.0, 1.0]))
    assert not ax.collections
    assert not ax.texts
    ax = plot_loss_line(line([1.0, np.inf, 1.0]))
    assert np.isnan(ax.get_lines()[0].get_ydata()[1])


def row(step_size, batch_size, seed, alpha, status="trained", tensor="w"):
    tail = None if alpha is None else WeightTail(
        tensor, 200, alpha, {2: alpha}, alpha + 0.1, alpha, alpha, alpha, 3.0, 2.0, 4.0, 0.0
    )  # fmt: skip
    return TrainedTail(step_size, batch_size, seed, status, 1.0, tail, tensor)


ROWS = [
    *(row(0.0, 1, s, 2.2, "initial") for s in (0, 1)),
    *(row(0.1, 10, s, 2.0 + s / 10) for s in (0, 1)),
    *(row(0.1, 1, s, 1.5) for s in (0, 1)),
    row(1.0, 1, 0, 1.2),
    row(1.0, 1, 1, None, "diverged"),
    *(row(0.5, 1, s, 1.3, "collapsed") for s in (0, 1)),
]


def test_cells_are_means_over_seeds_by_status():
    (found,) = tails_by_ratio(ROWS).values()
    assert [ratio for ratio, _ in found["trained"]] == pytest.approx([0.01, 0.1])
    assert [e.mean for _, e in found["trained"]] == pytest.approx([2.05, 1.5])
    reach = 12.706 * 0.05  # Student's t of one degree
    assert found["trained"][0][1].high == pytest.approx(2.05 + reach, rel=1e-3)
    assert [ratio for ratio, _ in found["diverged"]] == [1.0]  # one seed is enough
    assert [ratio for ratio, _ in found["collapsed"]] == [0.5]
    assert found["initial"][0][1].mean == pytest.approx(2.2)
    (shuffled,) = tails_by_ratio(ROWS, "shuffled").values()
    assert shuffled["trained"][1][1].mean == pytest.approx(1.6)
    with pytest.raises(ValueError, match="reading must be one of"):
        tails_by_ratio(ROWS, "best")


def test_weight_tails_are_drawn_as_they_are():
    ax = plot_weight_tails(ROWS)
    container = ax.containers[0]
    assert container.lines[0].get_ydata() == pytest.approx([2.05, 1.5])
    drawn = {line.get_label(): line for line in ax.get_lines()}
    assert drawn["w, diverged"].get_ydata() == pytest.approx([1.2])
    assert drawn["w, collapsed"].get_ydata() == pytest.approx([1.3])
    assert drawn["w, initial"].get_ydata() == pytest.approx([2.2, 2.2])
    assert "α = 2: Gaussian" in drawn
    assert ax.get_xscale() == "log"
    assert "median over block sizes" in ax.get_ylabel()
