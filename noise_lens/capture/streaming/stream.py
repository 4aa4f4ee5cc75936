"""What the streaming statistics share: state on a device, merging, and pieces of a tensor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import torch
from torch import Tensor

from noise_lens.errors import SamplesError

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_CPU_CHUNK = 65_536  # elements: the passes over a chunk stay in the cache
_GPU_CHUNK = 1_048_576


class Stream:
    """State on a device, and how two of them become one."""

    def __init__(self, state: Tensor) -> None:
        self.state = state

    def merge(self, other: Self) -> Self:
        """Add all that `other`, of the same class, has seen; it may be on another device."""
        if type(other) is not type(self):
            raise TypeError(
                f"{type(self).__name__} merges with its own kind, got {type(other).__name__}. "
                "Keep one object of each statistic a stream."
            )
        self._add(other.state.to(self.state.device))
        return self

    def reset(self) -> Self:
        """Forget all samples; settings stay."""
        self.state.zero_()
        return self

    def _add(self, state: Tensor) -> None:
        self.state += state

    def _checked(self, noise: Tensor) -> Tensor:
        name = type(self).__name__
        if not isinstance(noise, Tensor):
            raise SamplesError(
                f"{name} takes a torch tensor, got {type(noise).__name__}. "
                "Wrap the array in torch.from_numpy(...)."
            )
        if noise.dtype not in _FLOATS:
            raise SamplesError(
                f"{name} takes float16, bfloat16, float32 or float64, got {noise.dtype}. "
                "Convert the noise first."
            )
        if noise.device != self.state.device:
            raise ValueError(
                f"{name} keeps its state on {self.state.device}, got noise on {noise.device}. "
                f'Make it with device="{noise.device}", or move the noise.'
            )
        return noise.detach()


def chunk_size(noise: Tensor) -> int:
    """Return how many elements are worked on at a time on the device of `noise`."""
    return _CPU_CHUNK if noise.device.type == "cpu" else _GPU_CHUNK


def pieces(noise: Tensor) -> Iterator[Tensor]:
    """Cut a tensor into pieces of one axis, as views or else one small copy at a time.

    Parameters
    ----------
    noise : torch.Tensor
        Any shape.

    Yields
    ------
    torch.Tensor
        All elements, in order, at most :func:`chunk_size` at a time.
    """
    size = chunk_size(noise)
    if noise.numel() <= size:
        yield noise.reshape(-1)
    else:
        for block in torch.split(noise, max(1, size * len(noise) // noise.numel())):
            yield from pieces(block if len(block) > 1 else block[0])
