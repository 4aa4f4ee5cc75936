"""The row of the diffusion theory, where the noise's covariance is known."""

from __future__ import annotations

import re

import numpy as np
import pytest

import noise_lens as nl
from noise_lens.prediction import curvature_of_run, predict


def test_the_gaussian_row_says_how_far_its_noise_is_from_the_measured(quadratic, tmp_path):
    """Gaussian noise of known variance, 2 sigma^2 a row; four errors of 250 pairs are 36 %."""
    task, h, sigma = quadratic(alpha=2.0, n=2000)
    folder = tmp_path / "run"
    nl.measure(task, n_minibatches=500, batch_size=4, groups="all", reference="pair", out=folder)
    known = curvature_of_run(folder, task, chunk_size=50_000, n_probes=2)
    row = predict(folder, known, barrier=20.0, learning_rate=0.1).escapes[2]
    words = re.search(r"is (\S+) times H_ii / 4 in the median \((\S+) to (\S+) from 5 %", row.note)
    expected = np.quantile(2 * sigma**2 / h, [0.5, 0.05, 0.95])
    assert [float(one) for one in words.groups()] == pytest.approx(expected, rel=0.36)
    assert "No range: the noise is assumed, not measured" in row.note
    assert row.low == row.time == row.high
