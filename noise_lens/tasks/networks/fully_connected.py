"""The fully connected network of Simsekli et al. (2019) and Zhou et al. (2020)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn


class FullyConnected(nn.Module):
    """`depth` linear maps with a ReLU between each two: ``depth - 1`` hidden layers.

    That is how the released code of both papers counts: 7 x 512 on CIFAR-10 has 7 weight matrices,
    six hidden layers and, without biases, 2,888,704 parameters.

    Parameters
    ----------
    n_inputs : int
        Numbers in an example; it is flattened.
    depth : int
        Weight matrices, at least 2.
    width : int
        Units of every hidden layer.
    n_classes : int
        Outputs.
    bias : bool
        Whether the maps have biases; those of the papers have none.
    """

    def __init__(
        self, n_inputs: int, depth: int, width: int, n_classes: int = 10, *, bias: bool = False
    ) -> None:
        super().__init__()
        sizes = [n_inputs, *[width] * (depth - 1), n_classes]
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after, bias=bias), nn.ReLU()]
        self.fc = nn.Sequential(*layers[:-1])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits.

        Parameters
        ----------
        images : torch.Tensor
            Shape (n, ...), flattened here.

        Returns
        -------
        torch.Tensor
            Shape (n, n_classes).
        """
        logits: torch.Tensor = self.fc(images.flatten(1))
        return logits
