"""The tasks on text."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from torch import nn

from noise_lens.errors import TaskError
from noise_lens.tasks.classification import accuracy, cross_entropy
from noise_lens.tasks.networks import LSTMLanguageModel, TransformerLanguageModel
from noise_lens.tasks.options import check_flag, check_share, check_whole
from noise_lens.tasks.task import Task
from noise_lens.tasks.text.corpus import Text, read_text, windows_of


def text_lstm(
    *,
    vocabulary: int = 1000,
    length: int = 16,
    embedding: int = 64,
    hidden: int = 64,
    layers: int = 1,
    dropout: float = 0.0,
    text_digest: str | None = None,
) -> Task:
    """Return next-word prediction on Python's help topics by an LSTM (162,280 parameters).

    Parameters
    ----------
    vocabulary : int
        Words that are told apart, ``<unk>`` included.
    length : int
        Words to predict in an example.
    embedding : int
        Numbers a word.
    hidden : int
        Units of a layer.
    layers : int
        Layers of the LSTM.
    dropout : float
        Share of units that training drops.
    text_digest : str, optional
        Refuse any other text. The digest of the text that was read is among the task's arguments.

    Returns
    -------
    Task
        ``text-lstm``, with accuracy; the loss is the mean over all words of the minibatch.
    """
    name = "text-lstm"
    check_whole(name, embedding=embedding, hidden=hidden, layers=layers)
    check_share(name, dropout=dropout)
    return _task(
        name,
        lambda: LSTMLanguageModel(vocabulary, embedding, hidden, layers, dropout),
        vocabulary,
        length,
        text_digest,
    )


def text_transformer(
    *,
    vocabulary: int = 1000,
    length: int = 16,
    width: int = 64,
    layers: int = 2,
    heads: int = 4,
    dropout: float = 0.0,
    tied: bool = False,
    text_digest: str | None = None,
) -> Task:
    """Return next-word prediction on Python's help topics by a transformer (230,120 parameters).

    Parameters
    ----------
    vocabulary : int
        Words that are told apart, ``<unk>`` included.
    length : int
        Words to predict in an example.
    width : int
        Numbers a place; a multiple of `heads`.
    layers : int
        Blocks.
    heads : int
        Of the attention.
    dropout : float
        Share of units that training drops.
    tied : bool
        Whether head and embedding are one matrix.
    text_digest : str, optional
        Refuse any other text. The digest of the text that was read is among the task's arguments.

    Returns
    -------
    Task
        ``text-transformer``, with accuracy; the loss is the mean over all words of the minibatch.

    Raises
    ------
    TaskError
        An argument is out of range.
    """
    name = "text-transformer"
    check_whole(name, width=width, layers=layers, heads=heads)
    check_share(name, dropout=dropout)
    check_flag(name, tied=tied)
    if width % heads:
        raise TaskError(f"{name} needs width to be a multiple of heads={heads}, got width={width}")
    return _task(
        name,
        lambda: TransformerLanguageModel(
            vocabulary, length, width, layers, heads, dropout, tied=tied
        ),
        vocabulary,
        length,
        text_digest,
    )


def _task(
    name: str, model: Callable[[], nn.Module], vocabulary: int, length: int, expected: str | None
) -> Task:
    check_whole(name, length=length)
    check_whole(name, least=2, vocabulary=vocabulary)
    text = _text()
    if expected is not None and expected != text.digest:
        raise TaskError(
            f"{name} was asked for the text {expected}, and this Python ships {text.digest}. Use "
            "the Python that the other run's manifest names, or leave text_digest out."
        )
    train, test = windows_of(text, vocabulary, length)
    return Task(
        model,
        cross_entropy,
        train,
        test_data=test,
        metrics={"accuracy": accuracy},
        name=name,
        arguments={"text_digest": text.digest},
    )


@cache
def _text() -> Text:
    return read_text()
