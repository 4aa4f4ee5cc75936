from __future__ import annotations

import math
import warnings

import pytest
import torch
from models import plain_model, squared
from programs import batches
from torch.utils.data import DataLoader, TensorDataset

import noise_lens as nl
from noise_lens.capture.ranks import Ranks
from noise_lens.lens.loggers import SafeLog, as_log
from noise_lens.lens.recording import Recording


class Tracker:
    def __init__(self):
        self.calls = []


class WithLog(Tracker):
    def log(self, data, step=None):
        self.calls.append((data, step))


class WithMetrics(Tracker):
    def log_metrics(self, metrics, step=None):
        self.calls.append((metrics, step))

    def log(self, name, value):  # Lightning's loggers have no such; a run may have both
        raise AssertionError


class WithDict(Tracker):
    def log_dict(self, metrics, step=None):
        self.calls.append((metrics, step))


class Board(Tracker):
    def add_scalar(self, tag, value, global_step=None):
        self.calls.append(({tag: value}, global_step))


@pytest.mark.parametrize("kind", [WithLog, WithMetrics, WithDict, Board])
def test_every_shape_of_tracker(kind):
    tracker = kind()
    as_log(tracker)({"a": 1.0}, 7)
    assert tracker.calls == [({"a": 1.0}, 7)]


def test_a_callable():
    calls = []
    as_log(lambda numbers, step: calls.append((numbers, step)))({"a": 1.0}, 7)
    assert calls == [({"a": 1.0}, 7)]


def test_what_cannot_log_is_refused_at_once():
    with pytest.raises(nl.CaptureError, match=r"log must be callable.*got int"):
        as_log(3)


def test_only_finite_plain_floats_are_logged():
    tracker = WithLog()
    SafeLog(tracker)({"a": torch.tensor(2.0), "b": math.nan, "c": None, "d": math.inf}, 1)
    assert tracker.calls == [({"a": 2.0}, 1)]
    assert type(tracker.calls[0][0]["a"]) is float
    SafeLog(tracker)({"b": math.nan}, 2)
    assert len(tracker.calls) == 1


def test_a_failing_logger_warns_once_and_training_goes_on():
    def broken(numbers, step):
        raise ConnectionError("no route")

    log = SafeLog(broken)
    with pytest.warns(UserWarning, match=r"failed at step 3 \(ConnectionError: no route\)"):
        log({"a": 1.0}, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log({"a": 1.0}, 4)


def test_a_loop_logs_its_probes_and_its_trend():
    tracker = WithLog()
    model = plain_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
    loader = DataLoader(TensorDataset(x, x.sum(dim=1)), batch_size=8)
    with nl.NoiseLens(
        model, optimizer, loss=squared, data=loader, n_minibatches=60,
        schedule=nl.every(100), log=tracker,
    ):  # fmt: skip
        for batch in batches(loader, 300):
            squared(model, batch).backward()
            optimizer.step()
            optimizer.zero_grad()
    steps = [step for numbers, step in tracker.calls if "noise_lens/all/alpha" in numbers]
    assert steps == [100, 200, 300]
    numbers = dict(item for numbers, _ in tracker.calls for item in numbers.items())
    for key in (
        "noise_lens/all/low", "noise_lens/all/pvalue", "noise_lens/0/coordinates_alpha",
        "noise_lens/2/noise_norm", "noise_lens/trend/alpha", "noise_lens/trend/gradient_norm",
    ):  # fmt: skip
        assert type(numbers[key]) is float


def test_only_the_first_rank_logs():
    for rank, expected in ((0, 1), (1, 0)):
        calls = []
        recording = Recording(None, lambda numbers, step, calls=calls: calls.append(step))
        recording.ranks = Ranks(rank, 2)
        recording.keep_window([{"alpha": 1.5, "first_step": 0}], {}, None, 7)
        assert len(calls) == expected
