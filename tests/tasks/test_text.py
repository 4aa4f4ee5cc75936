"""The tasks on text: the words, the split, the windows, and that they can be measured."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pydoc_data.topics import topics

import numpy as np
import pytest
import torch
from torch.nn import functional

import noise_lens as nl
from noise_lens.tasks import class_frequencies, load_task, minibatches_of
from noise_lens.tasks.text import UNKNOWN, Windows, read_text
from noise_lens.tasks.text.corpus import windows_of

SMALL = {
    "text-lstm": {"vocabulary": 60, "length": 8, "embedding": 8, "hidden": 8},
    "text-transformer": {"vocabulary": 60, "length": 8, "width": 8, "layers": 1, "heads": 2},
}


@pytest.fixture(scope="module")
def text():
    return read_text()


@pytest.fixture
def few(monkeypatch):
    """Twelve topics of this Python's: enough for a measurement that must not last."""
    small = {name: topics[name] for name in sorted(topics)[10:22]}
    monkeypatch.setattr("noise_lens.tasks.text.builtin._text", lambda: read_text(small))


def test_words():
    """Lower case, identifiers whole, runs of a mark together, underlines as one mark."""
    made = read_text({"a": "The __init__ method\n*****\n>>> x ** 2  # don't"})
    assert made.train["a"] == [
        "the", "__init__", "method", "*", ">>>", "x", "**", "2", "#", "don", "'", "t",
    ]  # fmt: skip


def test_a_paragraph_is_kept_once():
    """In the first topic by name, whatever its spaces and capitals."""
    made = read_text({"b": "One two.\n\nThree.", "a": "zero\n \nONE\n  two.", "c": "four"})
    assert made.train == {"a": ["zero", "one", "two", "."], "b": ["three", "."], "c": ["four"]}


def test_no_paragraph_is_on_both_sides(text):
    """Of the text itself, whose topics repeat a fifth of it."""

    def paragraphs(part):
        return {
            " ".join(paragraph.lower().split())
            for name in part
            for paragraph in re.split(r"\n\s*\n", topics[name])
        }

    shared = paragraphs(text.train) & paragraphs(text.test)
    assert shared  # they do repeat
    for paragraph in shared:
        kept = read_text({"a": paragraph}).train["a"]
        if len(kept) > 20:
            assert not (_holds(text.train, kept) and _holds(text.test, kept)), paragraph


def _holds(part, words):
    wanted = " ".join(words)
    return any(wanted in " ".join(topic) for topic in part.values())


def test_hardly_a_run_of_words_is_on_both_sides(text):
    """At any offset, not only that of the windows: at most 1 % of the test part's 17-word runs."""

    def runs(part):
        return [tuple(w[i : i + 17]) for w in part.values() for i in range(len(w) - 16)]

    train, test = set(runs(text.train)), runs(text.test)
    assert sum(run in train for run in test) < 0.01 * len(test)


def test_the_split(text):
    """Whole topics, all of them, about a tenth of the words; the same every time."""
    assert not set(text.train) & set(text.test)
    assert set(text.train) | set(text.test) == set(topics)
    n_train, n_test = (sum(map(len, part.values())) for part in (text.train, text.test))
    assert 0.08 < n_test / (n_train + n_test) <= 0.1
    again = read_text()
    assert again == text
    assert again.digest == text.digest


def test_the_digest_tells_texts_apart(text):
    assert re.fullmatch("sha256:[0-9a-f]{16}", text.digest)
    changed = dict(topics)
    changed["for"] = changed["for"] + " Really."
    assert read_text(changed).digest != text.digest


def test_windows_follow_one_another():
    """Each word but a topic's first is a target once; none crosses a topic."""
    made = read_text({"a": "a b c d e f g", "b": "h i j", "t": "x"})
    made.test["t"] = ["x", "a", "b"]
    train, _ = windows_of(made, vocabulary=11, length=2)
    words = [[[train.words[i] for i in row] for row in tensor] for tensor in train.tensors]
    assert words[0] == [["a", "b"], ["c", "d"], ["e", "f"], ["h", "i"]]
    assert words[1] == [["b", "c"], ["d", "e"], ["f", "g"], ["i", "j"]]


def test_the_vocabulary_is_of_the_training_part(text):
    train, test = windows_of(text, vocabulary=300, length=16)
    counts = Counter(word for topic in text.train.values() for word in topic)
    assert train.words[0] == UNKNOWN
    assert train.words == test.words
    assert len(set(train.words)) == 300
    kept = [counts[word] for word in train.words[1:]]
    assert kept == sorted(kept, reverse=True)
    assert kept[-1] >= max(counts[word] for word in counts.keys() - set(train.words))
    assert kept[:-1].count(kept[-1]) > 0  # words of equal frequency stand by the alphabet
    tied = [word for word in train.words[1:] if counts[word] == kept[-1]]
    assert tied == sorted(tied)


def test_windows_hold_what_the_text_says(text):
    train, _ = windows_of(text, vocabulary=300, length=16)
    first = next(iter(text.train.values()))
    known = [word if word in train.words else UNKNOWN for word in first[:33]]
    inputs, targets = (tensor[:2].flatten() for tensor in train.tensors)
    assert [train.words[i] for i in inputs] == known[:32]
    assert [train.words[i] for i in targets] == known[1:]


def test_minibatches_are_the_examples_one_by_one(text):
    train, _ = windows_of(text, vocabulary=300, length=16)
    inputs, targets = minibatches_of(train).pick([4, 4, 9])
    assert inputs.dtype == torch.int64
    assert torch.equal(inputs, torch.stack([train[i][0] for i in (4, 4, 9)]))
    assert torch.equal(targets, torch.stack([train[i][1] for i in (4, 4, 9)]))


@pytest.mark.parametrize("name", SMALL)
def test_the_loss_is_the_mean_over_words(name, few):
    """Of log-probabilities taken one by one; the mean over examples too, for all have as many."""
    task = load_task(name, SMALL[name])
    model = task.build_model(0)
    inputs, targets = minibatches_of(task.data).pick([0, 1, 2])
    logs = functional.log_softmax(model(inputs), dim=2)
    by_hand = -torch.stack([logs[i, j, targets[i, j]] for i in range(3) for j in range(8)])
    torch.testing.assert_close(task.loss(model, [inputs, targets]), by_hand.mean())
    alone = [task.loss(model, minibatches_of(task.data).pick([i])) for i in range(3)]
    torch.testing.assert_close(task.loss(model, [inputs, targets]), torch.stack(alone).mean())
    hits = [int(logs[i, j].argmax() == targets[i, j]) for i in range(3) for j in range(8)]
    found = task.metrics["accuracy"](model, [inputs, targets])
    assert float(found) == pytest.approx(np.mean(hits))


@pytest.mark.parametrize("name", SMALL)
def test_the_defaults(name):
    sizes = {"text-lstm": 162_280, "text-transformer": 230_120}
    task = load_task(name)
    assert sum(p.numel() for p in task.build_model(0).parameters()) == sizes[name]
    assert isinstance(task.data, Windows)
    assert task.data.tensors[0].shape[1] == 16
    assert len(task.data.words) == 1000
    assert task.data.tensors[0].max() == 999
    assert len(task.data) > 2000
    assert len(task.test_data) > 200
    if sys.version_info[:2] == (3, 11) and task.arguments["text_digest"].endswith("bf77eee077"):
        assert (len(task.data), len(task.test_data)) == (4348, 480)  # as docs/tasks.md says


def test_classes_are_unequally_frequent():
    """As Zipf's law has it, roughly: the words in order, the first hundred times the last."""
    task = load_task("text-lstm")
    counts = class_frequencies(task)
    assert counts.sum() == task.data.tensors[1].numel()
    assert counts[1] > 100 * counts[999]
    assert task.data.words[2] == "the"
    assert counts[2] == (task.data.tensors[1] == 2).sum()
    # Against log rank the log frequency of words 10 to 500 falls with a slope near -1.
    ranks = np.arange(10, 500)
    slope = np.polyfit(np.log(ranks), np.log(counts[ranks]), 1)[0]
    assert -1.3 < slope < -0.7


@pytest.mark.parametrize("name", SMALL)
def test_they_are_measured_against_the_full_gradient(name, few):
    task = load_task(name, SMALL[name])
    measured = nl.measure(task, n_minibatches=64, batch_size=8, groups="all")
    assert measured.sketch.reference == "full"
    assert measured.verdicts["all"].keys() == {"coordinates", "projections"}
    settings = measured.manifest["settings"]
    assert settings["task_arguments"] == {
        **SMALL[name],
        "text_digest": task.arguments["text_digest"],
    }


def test_they_are_compared(few):
    task = load_task("text-transformer", SMALL["text-transformer"])
    compared = nl.compare(
        task, ("sgd", "adam"), n_steps=20, probe_steps=(0, 20), n_minibatches=50, seeds=(0,)
    )
    rows = [row for row in compared.table() if row["optimizer"] == "adam"]
    losses = {row["step"]: row["train/loss"] for row in rows}
    assert losses[20] < losses[0]
    assert not compared.diverged


def test_dropout_is_told_from_full(few):
    options = {**SMALL["text-lstm"], "layers": 2, "dropout": 0.2}
    measured = nl.measure(load_task("text-lstm", options), n_minibatches=50, groups="all")
    assert measured.sketch.reference == "pair"


def test_another_text_is_refused(few):
    task = load_task("text-lstm", SMALL["text-lstm"])
    load_task("text-lstm", {**SMALL["text-lstm"], **task.arguments})
    with pytest.raises(nl.TaskError, match=r"text sha256:0, and this Python ships sha256:\w{16}\."):
        load_task("text-lstm", {"text_digest": "sha256:0"})


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("text-lstm", {"vocabulary": 1}, "vocabulary to be a whole number of at least 2, got 1"),
        ("text-lstm", {"vocabulary": 10**6}, "different words, and vocabulary=1000000 was asked"),
        ("text-lstm", {"length": 0}, "length to be a whole number of at least 1, got 0"),
        ("text-lstm", {"length": 10**6}, "no window of length=1000000 fits into the text. Give at"),
        ("text-lstm", {"layers": 0}, "layers to be a whole number of at least 1, got 0"),
        ("text-lstm", {"dropout": 1.0}, "dropout to be a number in [0, 1), got 1.0"),
        ("text-transformer", {"heads": 3}, "multiple of heads=3, got width=64"),
        ("text-transformer", {"tied": "no"}, "tied to be True or False, got 'no'"),
        ("text-transformer", {"hidden": 8}, "unexpected keyword argument 'hidden'"),
    ],
)
def test_out_of_range(name, options, said):
    with pytest.raises(nl.TaskError) as caught:
        load_task(name, options)
    assert said in str(caught.value)


def test_the_longest_window_that_is_named_fits(text):
    with pytest.raises(nl.TaskError) as caught:
        windows_of(text, vocabulary=60, length=10**6)
    longest = int(re.search(r"at most (\d+)", str(caught.value))[1])
    assert len(windows_of(text, vocabulary=60, length=longest)[1]) >= 1
    with pytest.raises(nl.TaskError, match="no window"):
        windows_of(text, vocabulary=60, length=longest + 1)


def test_a_python_without_the_text(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(nl.TaskError, match=r"pydoc_data\.topics, which CPython ships"):
        read_text()
