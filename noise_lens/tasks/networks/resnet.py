"""ResNet-18 for 32 x 32 images: a 3 x 3 stem and no pooling before the blocks."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class ResNet18(nn.Module):
    """A stem, eight blocks of two convolutions, a linear map (11,173,962 parameters at width 64).

    The network of Padam's and Adai's released code. Stages two to four begin with a stride of two.

    Parameters
    ----------
    width : int
        Channels of the stem and the first stage; every further stage doubles them.
    n_classes : int
        Outputs.
    """

    def __init__(self, width: int = 64, n_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(width, width, stride=1)
        self.layer2 = _stage(width, 2 * width, stride=2)
        self.layer3 = _stage(2 * width, 4 * width, stride=2)
        self.layer4 = _stage(4 * width, 8 * width, stride=2)
        self.linear = nn.Linear(8 * width, n_classes)

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
        out = functional.relu(self.bn1(self.conv1(images)))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            out = stage(out)
        logits: torch.Tensor = self.linear(out.mean(dim=(2, 3)))
        return logits


class _Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.shortcut = nn.Sequential()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        out = functional.relu(self.bn1(self.conv1(images)))
        out = self.bn2(self.conv2(out)) + self.shortcut(images)
        return functional.relu(out)


def _stage(before: int, after: int, stride: int) -> nn.Sequential:
    return nn.Sequential(_Block(before, after, stride), _Block(after, after, 1))
