"""The AlexNet for 32 x 32 images of Simsekli et al. (2019) and Zhou et al. (2020)."""

from __future__ import annotations

import torch
from torch import nn


class AlexNet(nn.Module):
    """Five convolutions of equal width and three linear maps (451,146 parameters at width 64).

    Each of the three poolings halves the side, so that `width` numbers reach the linear maps. Those
    are ``width * (1 + floor(log2(width)))`` wide, as in the released code of both papers.

    Parameters
    ----------
    width : int
        Channels of every convolution.
    dropout : float
        Share of units dropped before the first two linear maps; 0.5 in the released code.
    n_classes : int
        Outputs.
    """

    def __init__(self, width: int = 64, dropout: float = 0.5, n_classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, width, 4, stride=2, padding=2),  # 32 -> 17
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # 8
            nn.Conv2d(width, width, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # 3
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # 1
        )
        hidden = width * width.bit_length()  # bit_length is 1 + floor(log2)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(width, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, n_classes),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits.

        Parameters
        ----------
        images : torch.Tensor
            Shape (n, 3, 32, 32).

        Returns
        -------
        torch.Tensor
            Shape (n, n_classes).
        """
        logits: torch.Tensor = self.classifier(self.features(images).flatten(1))
        return logits
