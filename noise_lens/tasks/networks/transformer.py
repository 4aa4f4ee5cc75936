"""A small causal transformer."""

from __future__ import annotations

import torch
from torch import nn


class TransformerLanguageModel(nn.Module):
    """Pre-norm blocks, learned positions, a linear head of its own unless `tied`.

    At the defaults of ``text-transformer`` 230,120 parameters: the embedding 64,000, positions
    1,024, two blocks of 49,984, the last norm 128, the head 65,000.

    Attention is written out as matrix products and a softmax: its gradient is the same every time,
    which fused kernels do not promise.

    Parameters
    ----------
    n_words : int
        Size of the vocabulary.
    length : int
        Places an example may have.
    width : int
        Numbers a place; a multiple of `heads`.
    layers : int
        Blocks.
    heads : int
        Of the attention.
    dropout : float
        After the embedding and after every attention and feed-forward part.
    tied : bool
        The head and the embedding are one matrix, with the head's initial values; embeddings are
        then multiplied by sqrt(width), as by Vaswani et al. (2017, section 3.4).
    """

    def __init__(
        self,
        n_words: int,
        length: int,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.0,
        *,
        tied: bool = False,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_words, width)
        self.positions = nn.Embedding(length, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*[_Block(width, heads, dropout) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_words)
        self._scale = 1.0
        if tied:
            self.embedding.weight = self.head.weight
            self._scale = float(width**0.5)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        """Return logits of the next word at every place.

        Parameters
        ----------
        words : torch.Tensor
            Shape (n, length), integers; no more places than the model was built for.

        Returns
        -------
        torch.Tensor
            Shape (n, length, n_words).
        """
        places = torch.arange(words.shape[1], device=words.device)
        states = self.embedding(words) * self._scale + self.positions(places)
        logits: torch.Tensor = self.head(self.norm(self.blocks(self.dropout(states))))
        return logits


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = _CausalAttention(width, heads)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        states = states + self.dropout(self.attention(self.attention_norm(states)))
        out: torch.Tensor = states + self.dropout(self.feed_forward(self.feed_forward_norm(states)))
        return out


class _CausalAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        n, length, width = states.shape
        parts = self.query_key_value(states).view(n, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # each (n, heads, length, size)
        scores = query @ key.mT / (width // self.heads) ** 0.5
        later = torch.ones(length, length, dtype=torch.bool, device=states.device).triu(1)
        weights = scores.masked_fill(later, float("-inf")).softmax(dim=-1)
        mixed: torch.Tensor = self.output((weights @ value).transpose(1, 2).flatten(2))
        return mixed
