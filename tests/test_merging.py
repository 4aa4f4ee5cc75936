from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from models import data, dataset, noisy_model, plain_model, squared
from torch.utils.data import DataLoader, IterableDataset

import noise_lens as nl
from noise_lens.capture.probe import probe
from noise_lens.capture.ranks import Ranks
from noise_lens.inference.jackknife import group_labels
from noise_lens.judging import verdicts_of_run
from noise_lens.merging import merged_by_rows, merged_by_shards, wait_for_ranks
from noise_lens.record import record_of, sketch_arrays
from noise_lens.run import Run, RunWriter, write_merged
from noise_lens.sketch import GroupSketch, Sketch


def augmented(model, batch):
    """Draws from every global generator there is."""
    x = batch[0] + 0.1 * torch.randn_like(batch[0]) * np.random.rand()  # noqa: NPY002
    return (torch.nn.functional.dropout(model(x), 0.2) - batch[1]).square().mean()


def on_ranks(task, world_size, folder, **options):
    """Measure on each rank in turn, rank 0 last: it waits for the others and merges."""
    for rank in reversed(range(world_size)):
        found = nl.measure(task, **options, out=folder, ranks=(rank, world_size), wait=0)
    return found


def same(one, other, but=()):
    for key in one:
        if key in but:
            continue
        a, b = one[key], other[key]
        assert a == b or (a != a and b != b), (one["group"], key, a, b)


CASES = {
    "full": (plain_model, squared, "full", 100, 2),
    "full, not divisible": (plain_model, squared, "full", 100, 3),
    "pair, odd": (plain_model, squared, "pair", 131, 3),
    "mean": (plain_model, squared, "mean", 101, 2),
    "dropout and BatchNorm": (noisy_model, squared, "pair", 130, 3),
    "every generator": (plain_model, augmented, "pair", 100, 2),
    "every generator, mean": (plain_model, augmented, "mean", 100, 2),
}


@pytest.mark.parametrize("case", CASES)
def test_ranks_measure_what_one_process_measures(case, tmp_path):
    """Rows, histogram, loss, estimates, p-value and verdict: bit for bit, also in the folder.

    But the noise scale without a full gradient: it takes inner products inside a rank only.
    """
    model, loss, reference, n, world_size = CASES[case]
    task = nl.Task(model, loss, dataset(), name="t")
    options = {"n_minibatches": n, "batch_size": 4, "reference": reference}
    alone = nl.measure(task, **options)
    found = on_ranks(task, world_size, tmp_path / "run", **options)

    rest = {"part"}
    if reference != "full":
        rest |= {f"noise_scale{end}" for end in ("", "_low", "_high", "_reason")}
    run = nl.read_run(tmp_path / "run")
    assert len(alone.records) == len(found.records) == len(run.records)
    for own, merged, read in zip(alone.records, found.records, run.records, strict=True):
        same(own, merged, rest)
        same(merged, read)
    first = alone.sketch.groups[1]
    arrays = run.sketch(run.records[1])
    for name in ("coordinates", "projections", "norms", "positions", "gradient_squares"):
        assert np.array_equal(arrays[name], getattr(first, name)), name
    if reference == "mean":  # every rank subtracted the mean of all minibatches, masks and all
        assert np.abs(arrays["coordinates"].mean(axis=0)).max() < 1e-6 * arrays["norms"].max()
    assert np.array_equal(found.sketch.losses, alone.sketch.losses)
    assert np.array_equal(run.example_indices(run.records[0]), alone.sketch.example_indices)
    assert str(found.verdicts["all"]["projections"]) == str(alone.verdicts["all"]["projections"])
    assert run.closed["status"] == "finished"
    assert not run.warnings
    assert found.manifest["merged_ranks"] == world_size


def test_what_was_merged_is_kept_and_may_be_removed(tmp_path, monkeypatch):
    task = nl.Task(plain_model, squared, dataset(), name="t")
    on_ranks(task, 2, tmp_path / "run", n_minibatches=60, batch_size=8)
    with monkeypatch.context() as patch:
        patch.setattr("noise_lens.merging.reading.verdicts_of_sketch", lambda *_, **__: 1 / 0)
        kept = nl.read_run(tmp_path / "run").records
    shutil.rmtree(tmp_path / "run" / "merged")
    again = nl.read_run(tmp_path / "run").records
    assert len(kept) > 1
    for own, other in zip(kept, again, strict=True):
        same(own, other)


def test_one_rank_is_read_as_it_lies_there(tmp_path):
    task = nl.Task(plain_model, squared, dataset(), name="t")
    nl.measure(task, n_minibatches=60, batch_size=8, out=tmp_path / "run")
    run = nl.read_run(tmp_path / "run")
    assert type(run) is Run
    assert not (tmp_path / "run" / "merged").exists()
    assert "world_size" not in run.manifest


def test_a_lost_rank_is_named_and_the_rest_is_read(tmp_path):
    task = nl.Task(plain_model, squared, dataset(), name="t")
    options = {"n_minibatches": 120, "batch_size": 8, "reference": "full", "groups": "all"}
    alone = nl.measure(task, **options)
    nl.measure(task, **options, out=tmp_path / "run", ranks=(2, 4))
    with pytest.raises(nl.RunFolderError, match="after 0 s ranks 1 and 3 of 4 had not written"):
        nl.measure(task, **options, out=tmp_path / "run", ranks=(0, 4), wait=0)
    run = nl.read_run(tmp_path / "run")
    assert run.closed is None
    assert run.warnings == [
        "ranks 1 and 3 of 4 left no part of step 0: only what the others measured is here"
    ]
    (record,) = run.records
    assert (record["n_rows"], record["n_minibatches"]) == (60, 60)
    expected = alone.sketch.groups[0].coordinates[::2]
    assert np.array_equal(run.sketch(record)["coordinates"], expected)
    page = nl.write_report(tmp_path / "run", tmp_path / "report.html").read_text()
    assert "ranks 1 and 3 of 4 left no part of step 0" in page

    # A rank that was lost is started again alone; what was merged without it is out of date.
    write_merged(tmp_path / "run", run.records)
    for rank in (1, 3):
        nl.measure(task, **options, out=tmp_path / "run", ranks=(rank, 4))
    run = nl.read_run(tmp_path / "run")
    assert not run.warnings
    assert run.closed is not None
    same(alone.records[0], run.records[0], {"part"})


def test_a_stream_is_split_by_its_own_loaders(tmp_path):
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(dataset(200))

    task = nl.Task(plain_model, squared, DataLoader(Stream(), batch_size=8), name="t")
    found = on_ranks(task, 2, tmp_path / "run", n_minibatches=101, groups="all")
    (record,) = found.records
    assert (record["n_minibatches"], record["n_rows"]) == (101, 50)
    assert record["sampling"] == (
        "as the loader gives them, without replacement; each of 2 ranks from its own loader"
    )


def test_parts_that_do_not_belong_together():
    def part(rank, world_size=2, **options):
        options = {"n_minibatches": 60, "batch_size": 4, "ranks": Ranks(rank, world_size)} | options
        return probe(plain_model(), squared, data(), **options)

    own = part(0)
    for other, message in (
        (part(0), "two ranks hold the same minibatch"),
        (part(1, 3), "two ranks hold the same minibatch"),
        (part(1, reference="pair"), "one rank subtracted 'full', another 'pair' .asked for"),
        (part(1, groups="all"), "different groups"),
        (part(0, 1), "does not say which minibatches it holds"),
    ):
        with pytest.raises(nl.RunFolderError, match=message):
            merged_by_rows([own, other])
    moved = plain_model()
    torch.nn.init.zeros_(moved[2].bias)
    other = probe(moved, squared, data(), n_minibatches=60, batch_size=4, ranks=Ranks(1, 2))
    with pytest.raises(nl.RunFolderError, match="did not measure the same weights"):
        merged_by_rows([own, other])


def sketch_of(gradients, *, columns=None, places=None, reference="pair", of="w"):
    """A sketch of made-up gradients (M, D), or of some of their rows and columns, by NumPy."""
    columns = np.arange(gradients.shape[1]) if columns is None else np.array(columns, int)
    kept = gradients[:, columns] if places is None else gradients[np.ix_(places, columns)]
    noise = kept[0::2] - kept[1::2] if reference == "pair" else kept - gradients.mean(0)[columns]
    raw = kept.reshape(len(noise), len(kept) // len(noise), len(columns))
    labels = group_labels(len(noise))
    sums = [raw[labels == label].sum(axis=(0, 1)) for label in range(labels[-1] + 1)]
    signs = np.random.default_rng(1).choice([-1.0, 1.0], (gradients.shape[1], 8))
    bits = np.abs(noise).astype(np.float32).view(np.int32) >> 18
    group = GroupSketch(
        name=of,
        n_parameters=len(columns),
        coordinates=noise.astype(np.float32),
        positions=np.stack([columns % 2, columns // 2], axis=1),  # two tensors
        projections=(noise @ signs[columns]).astype(np.float32),
        norms=np.sqrt((noise**2).sum(axis=1)),
        gradient_squares=(raw**2).sum(axis=(1, 2)),
        block_squares=np.array([(own**2).sum() for own in sums] if reference == "pair" else []),
        reference_square=np.nan if reference == "pair" else (gradients.mean(0)[columns] ** 2).sum(),
        gradient_zero_shares=(raw == 0).sum(axis=(1, 2)) / (raw[0].size or 1),
        noise_zero_shares=(noise == 0).sum(axis=1) / (len(columns) or 1),
        histogram=np.bincount(bits.ravel(), minlength=8192),
    )
    return Sketch(
        (group,), ("a", "b"), len(kept), 16, reference, "made up", "train", "i.i.d.",
        np.linspace(1, 2, len(gradients))[slice(None) if places is None else places], {}, None,
        places=places,
    )  # fmt: skip


def made_up(rng, m=200, d=40):
    gradients = rng.normal(0.3, 1, (m, d)) * np.exp(rng.normal(size=d))
    gradients[rng.random((m, d)) < 0.1] = 0
    return gradients


@pytest.mark.parametrize("reference", ["pair", "full"])
def test_shards_add_up_to_the_whole(reference, rng):
    """Unequal shards in any order: coordinates side by side, everything else a sum."""
    gradients = made_up(rng)
    whole = sketch_of(gradients, reference=reference)
    cut = np.split(rng.permutation(40), [5, 23])
    merged = merged_by_shards([sketch_of(gradients, columns=c, reference=reference) for c in cut])

    (own,), (found,) = whole.groups, merged.groups
    order = np.lexsort(own.positions.T[::-1])
    assert np.array_equal(found.positions, own.positions[order])
    assert np.array_equal(found.coordinates, own.coordinates[:, order])
    assert found.n_parameters == 40
    assert np.array_equal(found.histogram, own.histogram)
    assert found.projections == pytest.approx(own.projections, rel=1e-4, abs=1e-4)
    for name in ("norms", "gradient_squares", "block_squares", "gradient_zero_shares"):
        assert getattr(found, name) == pytest.approx(getattr(own, name), rel=1e-12), name
    assert found.noise_zero_shares == pytest.approx(own.noise_zero_shares, abs=1e-12)
    assert found.reference_square == pytest.approx(own.reference_square, rel=1e-12, nan_ok=True)
    assert np.array_equal(merged.losses, whole.losses)
    scales = [record_of(sketch, 0, 0, {})["noise_scale"] for sketch in (whole, merged)]
    assert scales[1] == pytest.approx(scales[0], rel=1e-9)


def test_a_rank_may_hold_nothing_of_a_group(rng):
    gradients = made_up(rng)
    empty = sketch_of(gradients, columns=[], of="w")
    (group,) = empty.groups
    empty = replace(empty, groups=(replace(group, projections=group.projections[:, :0]),))
    other = sketch_of(gradients, columns=[1, 2, 3, 4, 5], of="b")
    merged = merged_by_shards([empty, sketch_of(gradients), other])
    assert [(group.name, group.n_parameters) for group in merged.groups] == [("w", 40), ("b", 5)]
    assert np.array_equal(merged.groups[0].norms, sketch_of(gradients).groups[0].norms)


def test_shards_that_do_not_belong_together(rng):
    gradients = made_up(rng)
    one = sketch_of(gradients, columns=range(20))
    with pytest.raises(nl.RunFolderError, match="hold the same coordinate: they overlap, or are"):
        merged_by_shards([one, sketch_of(gradients, columns=range(19, 40))])
    with pytest.raises(nl.RunFolderError, match="different n_minibatches cannot be joined: 200"):
        merged_by_shards([one, sketch_of(gradients[:100], columns=range(20, 40))])


def test_a_run_split_by_shards_is_read_as_one(rng, tmp_path):
    gradients = made_up(rng, m=400)
    whole = sketch_of(gradients, of="all")
    for rank, columns in ((1, range(15, 40)), (0, range(15))):
        part = sketch_of(gradients, columns=columns, of="all")
        manifest = {"kind": "measurement", "settings": {}, "split": "shards", "tensors": ["a", "b"]}
        writer = RunWriter(tmp_path / "run", manifest, ranks=(rank, 2))
        writer.write([record_of(part, 0, 0, {}, rank=rank)], sketch_arrays(part))
        writer.close(status="finished")
    run = nl.read_run(tmp_path / "run")
    (record,) = run.records
    assert (record["n_parameters"], record["n_rows"]) == (40, 200)
    for of, verdict in verdicts_of_run(run, [record])["all"].items():
        assert record[f"{of}_verdict"] == verdict.label
        assert record[f"{of}_verdict_pvalue"] == verdict.pvalue
    assert record["noise_norm_mean"] == pytest.approx(whole.groups[0].norms.mean(), rel=1e-12)
    assert run.closed is not None


@pytest.mark.parametrize("world_size", [2, 5])
def test_the_noise_scale_of_ranks_holds_the_truth(world_size, rng):
    """tr(Sigma) = 16 * 50 for one example, |G|**2 = 4.5: the 95 % interval holds 800 / 4.5."""
    hits, values = 0, []
    for _ in range(300):
        gradients = 0.3 + rng.normal(size=(203, 50))  # minibatches of 16
        pairs = np.arange(202) // 2 % world_size
        parts = [
            sketch_of(gradients, places=np.flatnonzero(pairs == rank)) for rank in range(world_size)
        ]
        merged = merged_by_rows(parts)
        assert merged.row_blocks.max() + 1 == len(merged.groups[0].block_squares)
        (group,) = merged.groups
        found = nl.noise_scale(
            group.norms, group.gradient_squares, reference="pair", batch_size=16,
            block_squares=group.block_squares, row_blocks=merged.row_blocks,
        )  # fmt: skip
        hits += found.low <= 800 / 4.5 <= found.high
        values.append(found.gradient_square)
    assert 0.91 <= hits / 300 <= 0.985
    assert np.mean(values) == pytest.approx(4.5, rel=0.02)


def test_waiting_ends_when_all_have_closed(tmp_path):
    RunWriter(tmp_path / "run", {}, ranks=(0, 2)).close()
    with pytest.raises(nl.RunFolderError, match=r"after 0.3 s rank 1 of 2 had not written its"):
        wait_for_ranks(tmp_path / "run", 2, 0.3)
    RunWriter(tmp_path / "run", {}, ranks=(1, 2)).close()
    wait_for_ranks(tmp_path / "run", 2, 0)


def test_merging_needs_no_torch():
    """A run folder is read where torch is not installed."""
    code = "import sys; sys.modules['torch'] = None; from noise_lens import read_run, write_report"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
