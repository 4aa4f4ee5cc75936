"""Learning rates by held-out loss: the truth is known where the best step size is."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import noise_lens as nl
from noise_lens.comparison import tuning
from noise_lens.comparison.tuning import best_rates, grid_of, held_out

OPTIONS = {"n_steps": 20, "probe_steps": [20], "n_minibatches": 50, "batch_size": 8, "seeds": (0,)}


def squared(model, batch):
    x, y = batch
    return ((model(x)[:, 0] - y) ** 2).mean()


def task(n=200, name="line"):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 4, generator=generator)
    y = x @ torch.tensor([1.0, -2.0, 0.5, 3.0])
    return nl.Task(lambda: nn.Linear(4, 1), squared, TensorDataset(x, y), name=name)


def test_the_rate_with_the_smallest_held_out_loss_is_taken(tmp_path):
    """On a noiseless line 20 steps of 0.1 all but solve it; 0.001 hardly moves, 3 diverges."""
    found = nl.compare(
        task(), ("sgd", "adam"), tuning={"sgd": [0.001, 0.1, 3.0]}, out=tmp_path / "r", **OPTIONS
    )
    assert found.settings["learning_rates"] == {"sgd": 0.1, "adam": 0.001}
    losses = found.tuning["sgd"]
    assert losses["0.1"] < losses["0.001"]
    assert losses["3"] is None or losses["3"] > losses["0.001"]
    run = nl.read_run(tmp_path / "r")
    assert run.closed["learning_rates"]["sgd"] == 0.1
    assert run.runs["sgd-s0"].manifest["settings"]["learning_rates"] == {"sgd": 0.1}
    assert json.loads((tmp_path / "r" / "tuning.json").read_text())["losses"] == found.tuning


def test_what_was_tried_is_not_tried_again(tmp_path, monkeypatch):
    options = {**OPTIONS, "out": tmp_path / "r", "tuning": {"sgd": [0.001, 0.1, 3.0]}}
    calls = []
    train = tuning._loss_after

    def counted(split, name, rate, *rest):
        calls.append(rate)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(split, name, rate, *rest)

    monkeypatch.setattr(tuning, "_loss_after", counted)
    with pytest.raises(KeyboardInterrupt):
        nl.compare(task(), ("sgd",), **options)
    nl.compare(task(), ("sgd",), **options)
    assert calls == [0.001, 0.1, 0.1, 3.0]
    nl.compare(task(), ("sgd",), **options)
    assert len(calls) == 4


def test_held_out_examples_are_not_trained_on_and_test_data_is_not_seen():
    whole = task()
    split = held_out(whole)
    train, held = split.data.tensors[0].numpy(), split.test_data.tensors[0].numpy()
    assert (len(train), len(held)) == (160, 40)
    together = np.concatenate([train, held])
    assert np.array_equal(np.sort(together, axis=0), np.sort(whole.data.tensors[0], axis=0))
    assert not (train[:, None] == held[None]).all(axis=2).any()
    again = held_out(whole)
    assert np.array_equal(again.test_data.tensors[0], split.test_data.tensors[0])


def test_loaders_keep_their_collate_function():
    class Plain(Dataset):
        def __len__(self):
            return 20

        def __getitem__(self, i):
            return torch.full((4,), float(i)), torch.tensor(float(i))

    def doubled(examples):
        return torch.stack([2 * x for x, _ in examples]), torch.stack([y for _, y in examples])

    loader = DataLoader(Plain(), batch_size=4, collate_fn=doubled)
    split = held_out(nl.Task(lambda: nn.Linear(4, 1), squared, loader, name="doubled"))
    x, y = next(iter(split.data))
    assert torch.equal(x[:, 0], 2 * y)
    assert len(split.data.dataset) == 16


def test_the_default_grid_is_around_the_default_rate():
    assert grid_of(["sgd", "adam"], True) == {
        "sgd": [0.01, 0.03, 0.1, 0.3, 1.0],
        "adam": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2],
    }
    assert grid_of(["sgd"], False) == {}


def test_a_best_rate_at_the_end_of_its_grid_is_said():
    with pytest.warns(UserWarning, match="best learning rate of sgd is at the end of its grid"):
        nl.compare(task(), ("sgd",), tuning={"sgd": [0.001, 0.003, 0.1]}, **OPTIONS)


def test_errors():
    with pytest.raises(ValueError, match=r"the grid names adam, but the optimizers are sgd"):
        nl.compare(task(), ("sgd",), tuning={"adam": [0.1]}, **OPTIONS)
    with pytest.raises(ValueError, match=r"rates of sgd must be positive numbers, got \[-1.0\]"):
        nl.compare(task(), ("sgd",), tuning={"sgd": [-1]}, **OPTIONS)
    with pytest.raises(ValueError, match="learning_rates and tuning both name sgd"):
        nl.compare(task(), ("sgd",), tuning={"sgd": [0.1]}, learning_rates={"sgd": 0.1}, **OPTIONS)
    with pytest.raises(ValueError, match=r"sgd diverged with every learning rate .*0.1, 1"):
        best_rates({"sgd": {"0.1": None, "1": None}})
    with pytest.raises(nl.CaptureError, match="there are 8 examples"):
        held_out(task(8))
