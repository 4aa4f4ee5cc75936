from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import noise_lens as nl
from noise_lens.run import COLUMNS, RunWriter, check_new


def row(step=0, group="all", **values):
    empty = dict.fromkeys(COLUMNS.names)
    filled = {"rank": 0, "step": step, "view": "gradient", "group": group, "metrics": {"a/b": 1.0}}
    return {**empty, **filled, **values}


def write(folder, *steps, settings=None, resume=False):
    writer = RunWriter(folder, {"settings": settings or {"seed": 1}}, resume=resume)
    for step in steps:
        sketch = {"all/norms": np.full(3, step, np.float32), "w.x/norms": np.ones(2)}
        writer.write([row(step), row(step, "w.x", loss=0.5)], sketch)
    return writer


def test_what_is_written_is_read(tmp_path):
    write(tmp_path / "run", 0, 10).close(status="finished")
    run = nl.read_run(tmp_path / "run")
    assert [(r["step"], r["group"]) for r in run.records] == [
        (0, "all"), (0, "w.x"), (10, "all"), (10, "w.x"),
    ]  # fmt: skip
    assert run.records[1]["loss"] == 0.5
    assert run.records[0]["metrics"] == {"a/b": 1.0}
    assert run.sketch(run.records[2]) == {"norms": pytest.approx(np.full(3, 10))}
    assert set(run.sketch(run.records[3])) == {"norms"}
    assert run.closed["status"] == "finished"


def test_pandas_reads_the_records_beside_a_leftover(tmp_path):
    """A file that a killed process left half-written begins with a dot and is passed over."""
    write(tmp_path / "run", 0, 10)
    (tmp_path / "run/records/.00000020-gradient.parquet.1234").write_bytes(b"PAR1 half")
    frame = pd.read_parquet(tmp_path / "run" / "records")
    assert sorted(frame["step"]) == [0, 0, 10, 10]
    assert len(nl.read_run(tmp_path / "run").records) == 4


def test_without_close_the_run_is_open(tmp_path):
    write(tmp_path / "run", 0)
    assert nl.read_run(tmp_path / "run").closed is None


def test_a_measurement_made_again_replaces_the_old(tmp_path):
    writer = write(tmp_path / "run", 5)
    writer.write([row(5, loss=2.0)], {"all/norms": np.zeros(1)})
    records = nl.read_run(tmp_path / "run").records
    assert [(r["group"], r["loss"]) for r in records] == [("w.x", 0.5), ("all", 2.0)]


def test_resuming_needs_equal_settings(tmp_path):
    write(tmp_path / "run", 0, settings={"seed": 1, "n": 50}).close(status="finished")
    write(tmp_path / "run", 10, settings={"seed": 1, "n": 50}, resume=True)
    run = nl.read_run(tmp_path / "run")
    assert {r["step"] for r in run.records} == {0, 10}
    assert run.closed is None
    with pytest.raises(nl.RunFolderError, match="other settings: n 50 there, 60 asked"):
        write(tmp_path / "run", settings={"seed": 1, "n": 60}, resume=True)


def test_folders_that_cannot_be_written(tmp_path):
    write(tmp_path / "run", 0)
    with pytest.raises(nl.RunFolderError, match="holds a run already"):
        check_new(tmp_path / "run")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(nl.RunFolderError, match="is not empty and is no run folder"):
        check_new(tmp_path)
    with pytest.raises(nl.RunFolderError, match=r"cannot be written: .*Choose a folder"):
        check_new(tmp_path / "notes.txt" / "run")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_folders_that_are_no_runs(tmp_path):
    with pytest.raises(nl.RunFolderError, match="none does not exist"):
        nl.read_run(tmp_path / "none")
    with pytest.raises(nl.RunFolderError, match=r"has no manifest.json and is empty"):
        nl.read_run(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"schema": "other/7"}))
    with pytest.raises(
        nl.RunFolderError, match="schema 'other/7'; this version reads 'noise-lens/2'"
    ):
        nl.read_run(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(nl.RunFolderError, match=r"manifest.json cannot be read"):
        nl.read_run(tmp_path)
    with pytest.raises(nl.RunFolderError, match="is a file"):
        nl.read_run(tmp_path / "manifest.json")


def test_damaged_parts_are_named(tmp_path):
    write(tmp_path / "run", 0)
    run = nl.read_run(tmp_path / "run")
    sketch = next(Path(tmp_path / "run/sketches").iterdir())
    sketch.write_bytes(b"broken")
    with pytest.raises(nl.RunFolderError, match=r"sketch .* cannot be read"):
        run.sketch(run.records[0])
    record = next(Path(tmp_path / "run/records").iterdir())
    record.write_bytes(b"broken")
    with pytest.raises(nl.RunFolderError, match=r"record .* cannot be read .* Remove it"):
        nl.read_run(tmp_path / "run")


def test_no_pickle_anywhere(tmp_path):
    """Parts are parquet, safetensors and strict JSON; nothing else is in the folder."""
    write(tmp_path / "run", 0).close(status="finished")
    suffixes = {path.suffix for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert suffixes == {".parquet", ".safetensors", ".json"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write(tmp_path / "other").close(value=float("nan"))
    assert not (tmp_path / "other/close.json").exists()
