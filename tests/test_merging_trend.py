from __future__ import annotations

import numpy as np
import pytest
import safetensors.numpy

import noise_lens as nl
from noise_lens.merging.trend import trend_between_ranks


def write(folder, rank, first_step, rows, steps):
    (folder / "trend").mkdir(exist_ok=True)
    path = folder / "trend" / f"{first_step:08d}-r{rank}.safetensors"
    arrays = {"rows": rows.astype(np.float32), "steps": np.asarray(steps, dtype=np.int64)}
    safetensors.numpy.save_file(arrays, path)


def test_what_two_ranks_share_cancels_and_their_noise_stays(tmp_path, rng):
    """A signal that moves a hundred times the noise: steps' differences would show it alone."""
    n = 300
    signal = np.cumsum(100 * rng.standard_normal((n, 20)), axis=0)
    noise = nl.SymmetricStable(1.5).rvs((2, n, 20), rng)
    for rank in (0, 1):
        write(tmp_path, rank, 0, (signal + noise[rank])[:150], range(150))
        write(tmp_path, rank, 150, (signal + noise[rank])[150:], range(150, n))
    windows = trend_between_ranks(tmp_path)
    assert [(w["first_step"], w["last_step"], w["n_rows"]) for w in windows] == [
        (0, 128, 128),
        (128, 256, 128),
    ]
    assert all(w["low"] < 1.5 < w["high"] for w in windows)


def test_rows_are_matched_by_step_and_place_in_the_step(tmp_path, rng):
    """Rank 1 has dropped a micro-batch and a whole step; nothing is shifted by it."""
    steps = np.repeat(np.arange(140), 2)
    rows = rng.standard_normal((280, 5))
    write(tmp_path, 0, 0, rows, steps)
    kept = np.ones(280, dtype=bool)
    kept[[9, 40, 41]] = False  # the second of step 4, and both of step 20
    write(tmp_path, 1, 0, rows[kept], steps[kept])
    first, second = trend_between_ranks(tmp_path)
    assert first["alpha"] is None  # equal rows: every difference is exactly zero
    assert "pooled needs" in first["reason"]
    assert second["alpha"] is None


def test_one_rank_alone_has_no_such_trend(tmp_path, rng):
    write(tmp_path, 0, 0, rng.standard_normal((200, 3)), range(200))
    assert trend_between_ranks(tmp_path) == []


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "trend").mkdir()
    (tmp_path / "trend" / "00000000-r0.safetensors").write_bytes(b"no")
    with pytest.raises(nl.RunFolderError, match=r"00000000-r0\.safetensors cannot be read"):
        trend_between_ranks(tmp_path)
