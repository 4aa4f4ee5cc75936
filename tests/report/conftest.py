"""Comparisons of invented noise: real sketches, estimates and folders, no training."""

from __future__ import annotations

import zlib
from html.parser import HTMLParser

import numpy as np
import pytest

from noise_lens.judging import verdicts_of_sketch
from noise_lens.record import record_of, sketch_arrays
from noise_lens.run import RunWriter
from noise_lens.sketch import GroupSketch, Sketch
from noise_lens.theory.averaging import ema_weights

VERSIONS = {"versions": {"python": "3"}, "threads": 1, "created": "now", "capture_point": "here"}
AVERAGES = ("momentum", "trajectory")


VOID = {"meta", "br", "hr", "img", "link", "path", "use", "input"}


class Page(HTMLParser):
    """Keeps what the tests ask for, and checks that tags close in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.attributes, self.words = [], [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for key, value in attrs if key == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for key, value in attrs if key == "id"]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="session")
def parse():
    """Return a parser that fails where tags do not close in order."""
    return Page


@pytest.fixture
def unjudged(monkeypatch):
    """Leave out verdicts and figures of the evidence: of one run each, they take longest."""
    without = dict.fromkeys(("aggregation", "rotations", "quantiles", "survival", "hill"), ())
    monkeypatch.setattr("noise_lens.report.page.evidence_figures", lambda *_: without)
    for module in ("content", "verdicts"):
        monkeypatch.setattr(f"noise_lens.report.{module}.verdicts_of_run", lambda *_: {})


def sketch_of(rows, view, published=None):
    """Return the sketch of rows of noise against the exact gradient."""
    rng = np.random.default_rng(0)
    rows = rows.astype(np.float32)
    signs = rng.choice([-1.0, 1.0], (rows.shape[1], 8))
    norms = np.linalg.norm(rows, axis=1).astype(float)
    zeros = np.zeros(len(rows))
    group = GroupSketch(
        "all", 100, rows, np.zeros((rows.shape[1], 2), dtype=np.int64),
        (rows @ signs).astype(np.float32), norms, norms**2 + 1, np.zeros(0), 1.0, zeros, zeros,
        np.zeros(8192, dtype=np.int64),
    )  # fmt: skip
    average = {"beta": 0.9, "window": 22} if view in AVERAGES else {}
    optimizer = None if view == "gradient" else "Adam"
    return Sketch(
        (group,), ("weight",), len(rows) * average.get("window", 1), 32, "full", "asked for",
        "train", "i.i.d. with replacement", np.ones(len(rows)), {}, None, view=view,
        optimizer=optimizer, published=published, **average,
    )  # fmt: skip


def noise(key, df, view, n_rows):
    """Return rows of Student's t, averaged where the view averages; one draw a key."""
    rng = np.random.default_rng(zlib.crc32(repr(key).encode()))
    if view not in AVERAGES:
        return rng.standard_t(df, (n_rows, 12))
    weights = ema_weights(0.9, 22)
    return np.einsum("rwd,w->rd", rng.standard_t(df, (n_rows, 22, 12)), weights)


@pytest.fixture(scope="session")
def compared():
    """Return a function that writes a comparison folder."""

    def write(
        folder,
        *,
        tails=(("sgd", 3.0), ("adam", 9.0)),
        seeds=range(5),
        steps=(0, 100),
        views=("gradient", "momentum"),
        n_rows=(200, 60),
        skip=lambda optimizer, seed, step, view: False,
        diverged=(),
        judged=False,
        metrics=True,
        published=False,
        opened=(),
        **settings,
    ):
        # The noise is Student's t of an optimizer's degrees of freedom; `n_rows` are of single
        # minibatches and of averages; `skip` says what was not measured.
        tails = dict(tails)
        shared = {
            "task": "invented", "task_arguments": {}, "n_examples": 640, "n_steps": steps[-1],
            "probe_steps": list(steps), "n_minibatches": 1320, "batch_size": 32, "mode": "train",
            "views": list(views), "groups": "all", "reference": "full", "baseline": "sgd",
            **settings,
        }  # fmt: skip
        asked = {"optimizers": list(tails), "seeds": list(seeds), "tuning": {"adam": [0.01, 0.1]}}
        parent = RunWriter(folder, {"kind": "comparison", "settings": shared | asked, **VERSIONS})
        parent.begin()
        for place, (optimizer, df) in enumerate(tails.items()):
            for seed in seeds:
                name = f"{optimizer}-s{seed}"
                own = {
                    "optimizer": optimizer,
                    "seed": seed,
                    "learning_rates": {optimizer: 0.1 / (1 + place)},
                }
                run = {"kind": "run", "settings": shared | own, **VERSIONS}
                writer = RunWriter(folder / name, run)
                writer.begin()
                for step in steps:
                    loss = 2.0 / (1 + step * (0.01 + 0.002 * place)) + 0.01 * (seed % 3)
                    there = {
                        "train/loss": loss,
                        "test/loss": loss + 0.1 + 0.02 * (seed % 2),
                        "train/accuracy": 0.9,
                        "test/accuracy": 0.8 + 0.02 * place + 0.01 * (seed % 3),
                    }
                    for view in views:
                        if skip(optimizer, seed, step, view):
                            continue
                        # At step 0 all optimizers have the same weights and minibatches.
                        heavy = df if step else 3.0
                        key = (optimizer if step else "", seed, step, view)
                        rows = noise(key, heavy, view, n_rows[view in AVERAGES])
                        pooled = (0.5 + 0.1 * seed + place, 7) if published else None
                        sketch = sketch_of(rows, view, pooled if view == "gradient" else None)
                        verdicts = None
                        if judged and step == steps[-1]:
                            verdicts = verdicts_of_sketch(sketch).get("all")
                        record = record_of(sketch, 0, step, there if metrics else {}, verdicts)
                        writer.write([record], sketch_arrays(sketch))
                if name not in opened:
                    status = "diverged" if name in diverged else "finished"
                    writer.close(status=status)
        if not opened:
            parent.close(status="finished")
        return folder

    return write
