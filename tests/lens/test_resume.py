"""What is on disk survives: kill -9 at random moments, a full disk, a resumed run."""

from __future__ import annotations

import contextlib
import errno
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from models import dataset, plain_model, squared
from torch.utils.data import DataLoader

import noise_lens as nl

PROGRAM = """
import os, sys
import torch
from torch.utils.data import DataLoader
from models import dataset, plain_model, squared
import noise_lens as nl

torch.set_num_threads(1)
out, n_steps = sys.argv[1], int(sys.argv[2])
model = plain_model()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
loader = DataLoader(dataset(), batch_size=8)
lens = nl.NoiseLens(
    model, optimizer, loss=squared, data=loader, schedule=nl.every(7), n_minibatches=50, out=out
)
checkpoint = out + ".pt"
if os.path.exists(checkpoint):
    saved = torch.load(checkpoint, weights_only=True)
    model.load_state_dict(saved["model"]); optimizer.load_state_dict(saved["optimizer"])
    lens.load_state_dict(saved["lens"])
with lens:
    while lens.step < n_steps:
        batch = list(loader)[lens.step % len(loader)]
        squared(model, batch).backward()
        optimizer.step()
        optimizer.zero_grad()
        if lens.step % 5 == 0:
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(),
                        "lens": lens.state_dict()}, checkpoint + ".part")
            os.replace(checkpoint + ".part", checkpoint)
torch.save(model.state_dict(), out + ".final")
"""


def program(out, n_steps):
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(out), str(n_steps)],
        cwd="tests/capture", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_twenty_kills_lose_no_finished_measurement_and_training_resumes(tmp_path, how):
    """One run killed again and again: whole parts after each kill, the same end as undisturbed."""
    chance = random.Random(20261121)
    out = tmp_path / "run"
    n_kills = 20 if how == signal.SIGKILL else 3
    counts = []
    for _ in range(n_kills):
        before = len(list(out.glob("records/*.parquet")))
        process = program(out, 100_000)
        while len(list(out.glob("records/*.parquet"))) <= before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.6))
        seen = len(list(out.glob("records/*.parquet")))
        process.send_signal(how)
        assert process.wait() == -how, process.stderr.read().decode()
        process.stderr.close()
        run = nl.read_run(out)
        assert run.closed is None
        steps = {record["step"] for record in run.records}
        assert len(list(out.glob("records/*.parquet"))) >= seen
        for record in run.records:
            assert run.sketch(record)["norms"].shape == (50,)
        counts.append(len(steps))
    nl.write_report(out, tmp_path / "page.html")
    assert counts == sorted(counts)
    last = max(steps) + 30
    for folder in (out, tmp_path / "whole"):
        process = program(folder, last)
        assert process.wait() == 0, process.stderr.read().decode()
        process.stderr.close()
    ends = [torch.load(f"{f}.final", weights_only=True) for f in (out, tmp_path / "whole")]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    resumed, whole = nl.read_run(out), nl.read_run(tmp_path / "whole")
    assert resumed.closed["status"] == "finished"
    alphas = [
        {
            (r["step"], r["group"]): r["coordinates_characteristic_function_alpha"]
            for r in run.records
        }
        for run in (resumed, whole)
    ]
    assert alphas[0] == alphas[1]


def lens_of(model, optimizer, out, **options):
    loader = DataLoader(dataset(), batch_size=8)
    return nl.NoiseLens(
        model, optimizer, loss=squared, data=loader, n_minibatches=50, out=out,
        schedule=nl.every(5), **options,
    )  # fmt: skip


def steps(model, optimizer, n):
    batch = next(iter(DataLoader(dataset(), batch_size=8)))
    for _ in range(n):
        squared(model, batch).backward()
        optimizer.step()
        optimizer.zero_grad()


def crashed(out, n=12, **options):
    """A loop that ends with an error; returns the lens's state at its last step."""
    model = plain_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    lens = lens_of(model, optimizer, out, **options)
    with contextlib.suppress(ZeroDivisionError), lens:
        steps(model, optimizer, n)
        raise ZeroDivisionError
    return lens.state_dict()


def test_a_resumed_run_continues_its_folder(tmp_path):
    state = crashed(tmp_path / "run")
    model = plain_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    lens = lens_of(model, optimizer, tmp_path / "run")
    lens.load_state_dict(state)
    with lens:
        steps(model, optimizer, 4)
    assert lens.step == 16
    run = nl.read_run(tmp_path / "run")
    assert [r["step"] for r in run.records if r["group"] == "all"] == [5, 10, 15]
    assert run.closed["n_steps"] == 16
    assert run.closed["spent"]["n_probes"] == 3


def test_the_state_of_another_run_does_not_open_this_folder(tmp_path):
    state = crashed(tmp_path / "one")
    crashed(tmp_path / "two", n=6)
    model = plain_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    lens = lens_of(model, optimizer, tmp_path / "two")
    lens.load_state_dict(state)
    with pytest.warns(UserWarning, match="did not end, and no state of it was loaded"):
        lens.attach()
    lens.detach()
    assert len(list((tmp_path / "two").glob(".crashed-*/records/*.parquet"))) == 1


def test_a_crashed_run_that_begins_anew_is_set_aside(tmp_path):
    """Steps of two runs must not mix, nothing is deleted, and the job does not stop."""
    crashed(tmp_path / "run")
    with pytest.warns(UserWarning, match="did not end, and no state of it was loaded"):
        crashed(tmp_path / "run", n=6)
    run = nl.read_run(tmp_path / "run")
    assert [r["step"] for r in run.records if r["group"] == "all"] == [5]
    (aside,) = (tmp_path / "run").glob(".crashed-*")
    assert {r["step"] for r in nl.read_run(aside).records} == {5, 10}


def test_a_finished_or_other_run_is_never_touched(tmp_path):
    model = plain_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with lens_of(model, optimizer, tmp_path / "run"):
        steps(model, optimizer, 5)
    with pytest.raises(nl.RunFolderError, match="holds a run already"):
        lens_of(model, optimizer, tmp_path / "run").attach()
    crashed(tmp_path / "other")
    with pytest.raises(nl.RunFolderError, match="holds a run already"):
        lens_of(model, optimizer, tmp_path / "other", seed=1).attach()


def test_a_full_disk_warns_keeps_training_and_keeps_what_is_saved(tmp_path, monkeypatch):
    model = plain_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    lens = lens_of(model, optimizer, tmp_path / "run")
    import noise_lens.run.files as files

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    def loop():
        with lens:
            steps(model, optimizer, 7)
            monkeypatch.setattr(files.os, "fsync", full)
            steps(model, optimizer, 7)

    with pytest.warns(UserWarning, match="cannot be written: No space left on device"):
        loop()
    assert lens.step == 14
    assert [m.records[0]["step"] for m in lens.measurements] == [5, 10]
    assert len(lens.problems) >= 1
    run = nl.read_run(tmp_path / "run")
    assert {r["step"] for r in run.records} == {5}
    assert not list((tmp_path / "run").rglob(".*.parquet*"))  # nothing half-written stays


def test_state_comes_before_attach():
    model = plain_model()
    lens = nl.NoiseLens(model, torch.optim.SGD(model.parameters(), lr=0.1)).attach()
    with pytest.raises(nl.CaptureError, match="before attach"):
        lens.load_state_dict(lens.state_dict())
    lens.detach()
