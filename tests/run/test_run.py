from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import noise_lens as nl
from noise_lens.run import COLUMNS, RunWriter, check_new, read_parts


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
        nl.RunFolderError, match="schema 'other/7'; this version reads 'noise-lens/3'"
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


def write_rank(folder, rank, world_size=2, *, settings=None, resume=False):
    ranks = (rank, world_size)
    writer = RunWriter(folder, {"settings": settings or {"n": 1}}, resume=resume, ranks=ranks)
    writer.write([row(rank=rank)], {"all/norms": np.zeros(2)})
    writer.close(status="finished", rank=rank)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_ranks_write_their_parts_in_any_order(order, tmp_path):
    """The run is closed when all have closed; rank 0 alone writes the manifest."""
    for n_written, rank in enumerate(order):
        check_new(tmp_path / "run", ranks=(rank, 3))
        assert (tmp_path / "run/manifest.json").exists() == (0 in order[:n_written])
        if 0 in order[:n_written]:
            assert read_parts(tmp_path / "run").closed is None
        write_rank(tmp_path / "run", rank, 3)
    run = read_parts(tmp_path / "run")
    assert (run.closed["rank"], run.world_size, run.manifest["split"]) == (0, 3, "rows")
    assert [record["rank"] for record in run.records] == [0, 1, 2]


def test_a_rank_does_not_write_into_another_run(tmp_path):
    write_rank(tmp_path / "run", 1)
    with pytest.raises(nl.RunFolderError, match=r"has parts of ranks but no manifest.json yet"):
        nl.read_run(tmp_path / "run")
    with pytest.raises(nl.RunFolderError, match="holds a part of rank 1 already"):
        check_new(tmp_path / "run", ranks=(1, 2))
    with pytest.raises(nl.RunFolderError, match="is not empty and is no run folder"):
        check_new(tmp_path / "run")  # one process alone
    write_rank(tmp_path / "run", 0)
    with pytest.raises(nl.RunFolderError, match="holds a run already"):
        check_new(tmp_path / "run", ranks=(0, 2))
    with pytest.raises(nl.RunFolderError, match="holds a run of 2 ranks, and this is rank 3 of 4"):
        check_new(tmp_path / "run", ranks=(3, 4))
    write_rank(tmp_path / "run", 1, resume=True)
    write(tmp_path / "alone", 0)
    with pytest.raises(nl.RunFolderError, match="holds a run of 1 ranks"):
        check_new(tmp_path / "alone", ranks=(1, 2))
    write_rank(tmp_path / "other", 0)
    with pytest.raises(nl.RunFolderError, match="other settings: n 1 there, 2 asked"):
        write_rank(tmp_path / "other", 1, settings={"n": 2})
