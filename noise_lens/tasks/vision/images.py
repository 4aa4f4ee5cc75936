"""Images kept as bytes and made float32 a minibatch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from noise_lens.errors import TaskError
from noise_lens.tasks.vision.folder import RawImages

_CHUNK = 1000  # images whose float64 copy is alive at once
_PADDING = 4


class Images(Dataset[tuple[torch.Tensor, int]]):
    """Normalised images and their labels: ``(pixel / 255 - mean) / sd``, a channel each.

    Memory is one byte a pixel: 154 MB for CIFAR-10's training images, 47 MB for MNIST's. A
    minibatch is gathered and converted at once, through ``__getitems__``.

    Parameters
    ----------
    raw : RawImages
        Bytes; they are not copied.
    mean, sd : sequence of float
        A channel each, of pixels in [0, 1].
    augment : bool
        Whether every image is padded by 4 black pixels, cropped at random to its size and flipped
        at random, anew each time it is read. Randomness comes from torch's global generator, which
        probes put back.

    Attributes
    ----------
    images : torch.Tensor
        Shape (n, channels, height, width), uint8.
    labels : torch.Tensor
        Shape (n,), int64.
    """

    def __init__(
        self, raw: RawImages, mean: Sequence[float], sd: Sequence[float], *, augment: bool = False
    ) -> None:
        self.images = torch.from_numpy(raw.images)
        self.labels = torch.from_numpy(raw.labels.astype(np.int64))
        self.augment = augment
        # In units of a byte: one subtraction and one division a pixel.
        self._mean = torch.tensor(mean).view(-1, 1, 1) * 255
        self._sd = torch.tensor(sd).view(-1, 1, 1) * 255

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[torch.Tensor, int]]:
        chosen = torch.as_tensor(indices)
        pixels = self.images[chosen]
        if self.augment:
            pixels = _cropped_and_flipped(pixels)
        floats = pixels.float().sub_(self._mean).div_(self._sd)
        return list(zip(floats.unbind(), self.labels[chosen].tolist(), strict=True))


def channel_moments(images: NDArray[np.uint8]) -> tuple[list[float], list[float]]:
    """Return the mean and the standard deviation of each channel, of pixels in [0, 1].

    Parameters
    ----------
    images : ndarray of shape (n, channels, height, width)
        Bytes.

    Returns
    -------
    mean, sd : list of float
        A channel each; over all pixels of all images.

    Raises
    ------
    TaskError
        All pixels of a channel are equal, so that there is nothing to divide by.
    """
    total = np.zeros((2, images.shape[1]))
    for start in range(0, len(images), _CHUNK):
        # Sums of whole numbers below 2**53: exact in any order.
        chunk = images[start : start + _CHUNK].astype(np.float64)
        total += chunk.sum(axis=(0, 2, 3)), np.einsum("nchw,nchw->c", chunk, chunk)
    mean, square = total / (images.size // images.shape[1])
    sd = np.sqrt(square - mean**2)
    if not sd.all():
        raise TaskError(
            f"channel {int(np.argmin(sd))} of the training images is the same in every pixel, so "
            "its standard deviation is 0. Give mean= and sd=, or copy the files again."
        )
    return (mean / 255).tolist(), (sd / 255).tolist()


def checked_moments(name: str, value: Any, n_channels: int) -> list[float]:
    """Return one number a channel.

    Parameters
    ----------
    name : str
        "mean" or "sd", for the message.
    value : Any
        One number for all channels, or one each.
    n_channels : int
        Channels.

    Returns
    -------
    list of float
        One each.

    Raises
    ------
    TaskError
        It is neither, is not finite, or an sd is not positive.
    """
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.array(np.nan)
    fits = numbers.shape in ((), (n_channels,)) and np.isfinite(numbers).all()
    if not fits or (name == "sd" and not (numbers > 0).all()):
        positive = ", above 0" if name == "sd" else ""
        raise TaskError(
            f"{name} must be one number or one for each of {n_channels} channels{positive}, for "
            f"pixels in [0, 1]; got {value!r}"
        )
    return [float(number) for number in np.broadcast_to(numbers, (n_channels,))]


def _cropped_and_flipped(pixels: torch.Tensor) -> torch.Tensor:
    n, channels, height, width = pixels.shape
    padded = torch.nn.functional.pad(pixels, [_PADDING] * 4)
    top, left = torch.randint(2 * _PADDING + 1, (2, n, 1))
    flipped = torch.rand(n, 1) < 0.5
    rows = top + torch.arange(height)
    columns = torch.arange(width).expand(n, -1)
    columns = left + torch.where(flipped, width - 1 - columns, columns)
    places = rows[:, :, None] * padded.shape[3] + columns[:, None, :]
    places = places.view(n, 1, -1).expand(-1, channels, -1)
    return padded.flatten(2).gather(2, places).view_as(pixels)
