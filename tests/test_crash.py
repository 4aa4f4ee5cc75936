"""A real kill -9 at random moments of a real comparison."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time

import pytest

import noise_lens as nl

ARGUMENTS = [
    "compare", "--task", "digits-mlp", "--optimizers", "sgd,adam", "--steps", "200", "--seeds", "1",
    "--probe-steps", ",".join(map(str, range(0, 200, 5))), "-n", "60", "-b", "8",
]  # fmt: skip


@pytest.mark.slow
def test_kill_at_ten_random_moments_loses_at_most_the_measurement_being_written(tmp_path):
    """After each kill every finished measurement is read and drawn, none is torn, and the same
    command goes on to the same end as an undisturbed run.
    """
    chance = random.Random(20261121)
    counts = []
    for trial in range(10):
        folder = tmp_path / f"run{trial}"
        code = f"from noise_lens_cli import main; main({[*ARGUMENTS, '-o', str(folder)]!r})"
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not list(folder.glob("*/records/*.parquet")) and process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 2.5))
        seen = len(list(folder.glob("*/records/*.parquet")))  # finished before the kill
        process.send_signal(signal.SIGKILL)
        process.wait()

        run = nl.read_run(folder)
        records = [record for part in run.runs.values() for record in part.records]
        assert len(records) >= seen
        for part in run.runs.values():
            for record in part.records:
                assert part.sketch(record)["norms"].shape == (60,)
        nl.write_report(folder, folder / "report.html")
        counts.append(len(records))
    assert len(set(counts)) > 3  # the moments were different ones

    last = [*ARGUMENTS, "-o", str(folder), "--json"]
    whole = [*ARGUMENTS, "-o", str(tmp_path / "whole"), "--json"]
    tables = []
    for arguments in (last, whole):
        code = f"from noise_lens_cli import main; main({arguments!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        tables.append(json.loads(done.stdout)["table"])
    assert tables[0] == tables[1]
