"""VGG16 with batch normalisation for 32 x 32 images, as Padam and Adai train it."""

from __future__ import annotations

import torch
from torch import nn

_STAGES = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))  # channels in widths, convolutions


class VGG16(nn.Module):
    """Thirteen convolutions and one linear map (14,728,266 parameters at width 64).

    "16" counts the three linear maps of the original; here one of 512 -> 10 stands in their place,
    as in the released code of Chen et al. (2018) and Xie et al. (2022). Convolutions keep their
    biases although batch normalisation cancels them: in train mode the true gradient of those
    4224 numbers is zero.

    Parameters
    ----------
    width : int
        Channels of the first stage; the last has 8 times as many.
    n_classes : int
        Outputs.
    """

    def __init__(self, width: int = 64, n_classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for factor, n_convolutions in _STAGES:
            for _ in range(n_convolutions):
                after = factor * width
                layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
                before = after
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(before, n_classes)

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
