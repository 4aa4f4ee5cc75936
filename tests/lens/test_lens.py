from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from models import dataset, noisy_model, plain_model, squared
from torch.utils.data import DataLoader, WeightedRandomSampler

import noise_lens as nl


def train(model, steps=300, *, lens=None, optimizer=None, accumulate=1):
    """A plain loop with its own shuffling loader; returns all state that training has."""
    torch.manual_seed(7)
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=1e-2)
    loader = DataLoader(dataset(), batch_size=8, shuffle=True)
    lens = lens(model, optimizer, loader) if lens else None
    with lens or torch.enable_grad():
        done = 0
        while done < steps:
            for batch in loader:
                for _ in range(accumulate):
                    squared(model, batch).backward()
                optimizer.step()
                optimizer.zero_grad()
                done += 1
                if done == steps:
                    break
    return lens, model.state_dict(), optimizer.state_dict(), torch.get_rng_state()


def equal(one, two):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(equal(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(equal, one, two))
    return one == two


@pytest.mark.parametrize("build", [plain_model, noisy_model])
def test_training_is_the_same_to_the_last_bit(build):
    """Weights, buffers, optimizer state and the random state, with probes every 50 steps."""

    def lens(model, optimizer, loader):
        return nl.NoiseLens(
            model, optimizer, loss=squared, data=loader, schedule=nl.every(50), n_minibatches=50
        )

    seen, *with_lens = train(build(), lens=lens)
    _, *without = train(build())
    assert len(seen.measurements) == 6
    assert len(seen.trend) == 1
    for one, two in zip(with_lens, without, strict=True):
        assert equal(one, two)


def test_closing_probe_equals_measure_on_the_same_weights():
    model = plain_model()
    lens, *_ = train(
        model,
        steps=20,
        lens=lambda m, o, d: nl.NoiseLens(m, o, loss=squared, data=d, n_minibatches=64, seed=3),
    )
    sketch = lens.measurements[0].sketch
    assert lens.measurements[0].records[0]["step"] == 20
    assert [group.name for group in sketch.groups] == ["all", "0", "2"]
    from noise_lens.capture import probe
    from noise_lens.capture.seeding import derived_seed
    from noise_lens.tasks import minibatches_of

    again = probe(
        model, squared, minibatches_of(dataset()), n_minibatches=64, batch_size=8, groups="module",
        seed=derived_seed(3, "probe", "20"), sketch_seed=3,
    )  # fmt: skip
    assert np.array_equal(sketch.groups[0].coordinates, again.groups[0].coordinates)


def test_differences_under_accumulation_are_at_the_same_weights():
    """Two passes over one minibatch are equal rows, so their differences are exactly zero."""
    lens, *_ = train(
        plain_model(), steps=128, accumulate=2, lens=lambda m, o, d: nl.NoiseLens(m, o)
    )
    assert lens.trend[0]["differences"] == "at the same weights"
    assert lens.trend[0]["n_micro_batches"] == 256
    assert lens.trend[0]["zero_share"] == 1
    assert lens.trend[0]["alpha"] is None
    assert "pooled needs" in lens.trend[0]["reason"]
    assert lens.capture["micro_batches_a_step"] == 2


def test_trend_of_an_ordinary_loop():
    lens, *_ = train(plain_model(), steps=600, lens=lambda m, o, d: nl.NoiseLens(m, o))
    assert [(entry["first_step"], entry["n_rows"]) for entry in lens.trend] == [
        (0, 128),
        (256, 128),
        (512, 44),  # what was under way at the end
    ]
    assert all(0.5 < entry["low"] < entry["alpha"] <= entry["high"] for entry in lens.trend)


def test_hooks_are_gone_afterwards():
    model = plain_model()
    train(model, steps=3, lens=lambda m, o, d: nl.NoiseLens(m, o))
    assert all(not p._backward_hooks for p in model.parameters())


def test_run_folder_and_report(tmp_path):
    folder = tmp_path / "run"
    train(
        plain_model(),
        steps=300,
        lens=lambda m, o, d: nl.NoiseLens(
            m, o, loss=squared, data=d, schedule=nl.every(100), n_minibatches=64, out=folder
        ),
    )
    run = nl.read_run(folder)
    assert {record["step"] for record in run.records} == {100, 200, 300}
    assert {name: run.closed[name] for name in ("status", "n_steps", "problems")} == {
        "status": "finished",
        "n_steps": 300,
        "problems": [],
    }
    assert run.closed["spent"]["n_probes"] == 3
    assert run.closed["capture"]["clipped"] is False
    assert len(run.trend) == 1
    text = nl.write_report(folder, tmp_path / "page.html").read_text()
    assert "Passive trend" in text


def test_an_error_in_the_loop_comes_through_and_leaves_the_run_open(tmp_path):
    model = plain_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(dataset(), batch_size=8)
    lens = nl.NoiseLens(
        model, optimizer, loss=squared, data=loader, schedule=nl.every(1), n_minibatches=50,
        out=tmp_path / "run",
    )  # fmt: skip

    def loop():
        with lens:
            squared(model, next(iter(loader))).backward()
            optimizer.step()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        loop()
    assert len(lens.measurements) == 1
    run = nl.read_run(tmp_path / "run")
    assert run.closed is None
    assert {record["step"] for record in run.records} == {1}


def test_a_probe_that_fails_warns_and_training_goes_on(tmp_path):
    """The model has diverged: the code after the loop still runs, and the folder says why."""
    model = plain_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e30)
    with pytest.warns(
        UserWarning, match="NoiseLens could not take the probe at step 40: the loss is"
    ):
        lens, *_ = train(
            model,
            steps=40,
            optimizer=optimizer,
            lens=lambda m, o, d: nl.NoiseLens(m, o, loss=squared, data=d, out=tmp_path / "run"),
        )
    assert len(lens.problems) == 1
    assert nl.read_run(tmp_path / "run").closed["problems"] == lens.problems


def test_a_loader_with_its_own_sampler_is_not_touched():
    """Taking minibatches from it would move the sampler's own generator."""
    model = plain_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sampler = WeightedRandomSampler([1.0] * 200, 200, generator=torch.Generator())
    loader = DataLoader(dataset(), batch_size=8, sampler=sampler)
    with pytest.raises(nl.CaptureError, match=r"WeightedRandomSampler .*=a function that makes"):
        nl.NoiseLens(model, optimizer, loss=squared, data=loader)
    made = []

    def second():
        made.append(
            DataLoader(dataset(), batch_size=8, sampler=WeightedRandomSampler([1.0] * 200, 200))
        )
        return made[-1]

    state = sampler.generator.get_state()
    with nl.NoiseLens(model, optimizer, loss=squared, data=second, n_minibatches=50) as lens:
        pass
    assert len(made) == 2  # 25 minibatches each
    assert lens.measurements[0].records[0]["batch_size"] == 8
    assert lens.measurements[0].records[0]["reference"] == "pair"
    assert torch.equal(sampler.generator.get_state(), state)


@pytest.mark.parametrize("error", [OSError("disk"), torch.cuda.OutOfMemoryError("memory")])
@pytest.mark.filterwarnings("ignore:NoiseLens could not take")
def test_no_error_of_a_probe_reaches_the_loop(error):
    class Broken(torch.utils.data.Dataset):
        def __len__(self):
            return 40

        def __getitem__(self, index):
            raise error

    model = plain_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(Broken(), batch_size=8)
    with nl.NoiseLens(
        model, optimizer, loss=squared, data=loader, schedule=nl.every(1), n_minibatches=50
    ) as lens:
        optimizer.step()
    assert lens.problems == [f"step 1: {error}", f"step 1: {error}"]


def test_sparse_gradients_pass_through():
    model = torch.nn.Embedding(10, 3, sparse=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nl.NoiseLens(model, optimizer) as lens:
        model(torch.tensor([1, 2])).sum().backward()
        optimizer.step()
    assert lens.trend == []


def test_bad_use(tmp_path):
    model = plain_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(dataset(), batch_size=8)
    with pytest.raises(nl.CaptureError, match="needs loss and data, got loss only"):
        nl.NoiseLens(model, optimizer, loss=squared)
    with pytest.raises(nl.CaptureError, match="needs loss and data, got neither"):
        nl.NoiseLens(model, optimizer, schedule=nl.every(3))
    with pytest.raises(
        nl.CaptureError, match="data must be the loop's DataLoader, got TensorDataset"
    ):
        nl.NoiseLens(model, optimizer, loss=squared, data=dataset())
    lens = nl.NoiseLens(model, optimizer, loss=squared, data=loader).attach()
    with pytest.raises(nl.CaptureError, match="attached already"):
        lens.attach()
    lens.detach()
    (tmp_path / "file").write_text("")
    with pytest.raises(nl.RunFolderError, match="cannot be written"):
        nl.NoiseLens(model, optimizer, out=tmp_path / "file" / "run")
    copy.deepcopy(model)  # no hook holds the model


def test_a_folder_with_a_trend_alone_says_what_is_missing(tmp_path):
    train(plain_model(), steps=300, lens=lambda m, o, d: nl.NoiseLens(m, o, out=tmp_path / "run"))
    with pytest.raises(nl.RunFolderError, match=r"passive trend and no measurement.*loss and data"):
        nl.write_report(tmp_path / "run", tmp_path / "page.html")


def test_printing_a_lens_says_the_answer_or_what_to_do():
    lens, *_ = train(
        plain_model(), steps=80,
        lens=lambda m, o, d: nl.NoiseLens(m, o, loss=squared, data=d, n_minibatches=64),
    )  # fmt: skip
    text = str(lens)
    assert "Step 80, minibatches of 8, 64 rows of noise, all parameters:" in text
    assert (
        f"projections: {lens.measurements[0].verdicts['all']['projections']}".split("\n")[0] in text
    )
    assert "1 probe took" in text
    assert "Passive trend, a trend only: steps 0 to 80" in text
    model = plain_model()
    bare = nl.NoiseLens(model, torch.optim.SGD(model.parameters(), lr=1))
    assert "No verdict after 0 steps: no probe was taken" in str(bare)


def test_a_budget_of_real_time_is_kept():
    """2000 steps on this machine: probes begin by themselves and take about their share."""
    model = plain_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loader = DataLoader(dataset(), batch_size=8, shuffle=True)
    lens = nl.NoiseLens(
        model, optimizer, loss=squared, data=loader, n_minibatches=50, budget=0.9, groups="all"
    )
    with lens:
        for _ in range(120):
            for batch in loader:
                squared(model, batch).backward()
                optimizer.step()
                optimizer.zero_grad()
    spent = lens.spent
    assert spent["n_probes"] >= 2
    assert spent["share"] <= 0.9 + 1.5 / spent["n_probes"]
