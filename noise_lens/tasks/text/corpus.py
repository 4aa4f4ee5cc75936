"""The help topics of Python as words: whole topics to train on, whole topics to test on.

The text is ``pydoc_data.topics``, what ``help("for")`` shows: about 460,000 characters of English
and code, shipped with CPython and read from there. It is another text in another version of
Python, so its digest belongs to every number that comes from it.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import TensorDataset

from noise_lens.errors import TaskError

UNKNOWN = "<unk>"
"""Word number 0: every word that is not in the vocabulary."""
_SPLIT_SEED = 0
_TEST_SHARE = 0.1
_TOKEN = re.compile(r"\w+|([^\w\s])\1*")
_LONGEST_MARK = 3


@dataclass(frozen=True)
class Text:
    """A text as words, split by topic.

    Attributes
    ----------
    train, test : dict of str to list of str
        Topic -> its words, in order. A paragraph that several topics share is in one of them.
    digest : str
        ``sha256:`` and 16 digits, of all words and of where the topics went.
    """

    train: dict[str, list[str]]
    test: dict[str, list[str]]
    digest: str


class Windows(TensorDataset):
    """Windows of equally many words, and for each word the one that follows.

    Parameters
    ----------
    inputs, targets : torch.Tensor
        Shape (n, length), numbers of words.
    words : sequence of str
        The word of each number.
    """

    def __init__(self, inputs: torch.Tensor, targets: torch.Tensor, words: Sequence[str]) -> None:
        super().__init__(inputs, targets)
        self.words = tuple(words)

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[torch.Tensor, ...]]:
        chosen = torch.as_tensor(indices)
        return list(zip(*(tensor[chosen].unbind() for tensor in self.tensors), strict=True))


def read_text(topics: Mapping[str, str] | None = None) -> Text:
    """Return the help topics of this Python as words.

    Words are runs of letters, digits and underscores in lower case; runs of one mark, such as
    ``>>>`` or ``**``, are a word too, and longer ones than three, which underline headings, count
    as one mark. A paragraph that was there before, in the order of topics by name, is left out, so
    that test topics do not repeat training topics: about a fifth of the text is repeated. Topics
    go, in a shuffled order that is always the same, to the test part as long as they fit into a
    tenth of all words; the others are trained on.

    Parameters
    ----------
    topics : mapping of str to str, optional
        Topic -> its text; those of this Python if not given.

    Returns
    -------
    Text
        The two parts.

    Raises
    ------
    TaskError
        This Python has no help topics.
    """
    if topics is None:
        topics = _topics_of_this_python()
    seen: set[str] = set()
    words: dict[str, list[str]] = {}
    for name in sorted(topics):
        fresh = [part for part in re.split(r"\n\s*\n", topics[name]) if _is_new(part, seen)]
        words[name] = [_word(match) for part in fresh for match in _TOKEN.finditer(part.lower())]
    room = _TEST_SHARE * sum(map(len, words.values()))
    chosen: set[str] = set()
    names = sorted(words)
    for place in np.random.default_rng(_SPLIT_SEED).permutation(len(names)):
        name = names[place]
        if 0 < len(words[name]) <= room:
            room -= len(words[name])
            chosen.add(name)
    parts = [[name, name in chosen, words[name]] for name in names]
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    return Text(
        {name: words[name] for name in names if name not in chosen},
        {name: words[name] for name in names if name in chosen},
        f"sha256:{digest}",
    )


def windows_of(text: Text, vocabulary: int, length: int) -> tuple[Windows, Windows]:
    """Cut both parts of a text into windows.

    Windows do not overlap and do not cross topics, so that every word is a target once; what is
    left at the end of a topic is dropped.

    Parameters
    ----------
    text : Text
        As words.
    vocabulary : int
        Words that are told apart, ``<unk>`` included: the most frequent of the training part, those
        of equal frequency by the alphabet.
    length : int
        Words to predict in a window.

    Returns
    -------
    train, test : Windows
        With the same words.

    Raises
    ------
    TaskError
        The text has fewer words than `vocabulary`, or a part has no window of that length.
    """
    counts = Counter(word for words in text.train.values() for word in words)
    if vocabulary > len(counts) + 1:
        raise TaskError(
            f"the training text has {len(counts)} different words, and vocabulary={vocabulary} was "
            f"asked for, {UNKNOWN} included. Give at most {len(counts) + 1}."
        )
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    words = [UNKNOWN, *ranked[: vocabulary - 1]]
    numbers = {word: number for number, word in enumerate(words)}
    train, test = (
        np.concatenate(
            [_cut([numbers.get(w, 0) for w in topic], length) for topic in part.values()]
        )
        for part in (text.train, text.test)
    )
    if not (len(train) and len(test)):
        longest = min(max(map(len, part.values())) for part in (text.train, text.test))
        raise TaskError(
            f"no window of length={length} fits into the text. Give at most {longest - 1}."
        )
    return _windows(train, words), _windows(test, words)


def _windows(rows: NDArray[np.int64], words: Sequence[str]) -> Windows:
    both = torch.from_numpy(rows)
    return Windows(both[:, :-1].contiguous(), both[:, 1:].contiguous(), words)


def _cut(numbers: Sequence[int], length: int) -> NDArray[np.int64]:
    """Return windows of ``length + 1``, each beginning with the last word of the one before."""
    n = max(0, (len(numbers) - 1) // length)
    places = length * np.arange(n)[:, None] + np.arange(length + 1)
    cut: NDArray[np.int64] = np.asarray(numbers, dtype=np.int64)[places]
    return cut


def _is_new(paragraph: str, seen: set[str]) -> bool:
    plain = " ".join(paragraph.lower().split())
    new = plain not in seen
    seen.add(plain)
    return new


def _word(match: re.Match[str]) -> str:
    word = match.group()
    return word[0] if match.group(1) and len(word) > _LONGEST_MARK else word


def _topics_of_this_python() -> Mapping[str, Any]:
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise TaskError(
            "the text tasks read pydoc_data.topics, which CPython ships and this Python lacks "
            f"({error}). Install Python's full standard library, or a task of your own."
        ) from error
    found: Mapping[str, Any] = topics
    return found
