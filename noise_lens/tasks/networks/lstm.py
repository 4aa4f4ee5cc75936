"""A language model of one LSTM."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import nn


class LSTMLanguageModel(nn.Module):
    """Embedding, LSTM, linear head; the state is zero at the start of every example.

    At the defaults of ``text-lstm`` 162,280 parameters: the embedding 64,000, the LSTM 33,280, the
    head 65,000.

    Parameters
    ----------
    n_words : int
        Size of the vocabulary.
    embedding : int
        Numbers a word.
    hidden : int
        Units of each layer of the LSTM.
    layers : int
        Layers of the LSTM.
    dropout : float
        After the embedding, between layers and before the head.
    """

    def __init__(
        self,
        n_words: int,
        embedding: int = 64,
        hidden: int = 64,
        layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_words, embedding)
        self.dropout = nn.Dropout(dropout)
        # One layer has no "between", of which nn.LSTM warns.
        between = dropout if layers > 1 else 0.0
        self.lstm = nn.LSTM(embedding, hidden, layers, batch_first=True, dropout=between)
        self.head = nn.Linear(hidden, n_words)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        """Return logits of the next word at every place.

        Parameters
        ----------
        words : torch.Tensor
            Shape (n, length), integers.

        Returns
        -------
        torch.Tensor
            Shape (n, length, n_words).
        """
        # cuDNN has no backward pass for an LSTM in eval mode, in which a probe may measure.
        native = nullcontext() if self.training else torch.backends.cudnn.flags(enabled=False)
        with native:
            states, _ = self.lstm(self.dropout(self.embedding(words)))
        logits: torch.Tensor = self.head(self.dropout(states))
        return logits
