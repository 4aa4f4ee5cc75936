"""The buffers that a window is worked on in, and their views."""

from __future__ import annotations

import torch

from noise_lens.capture.layout import LINE


class Buffers:
    """All memory that a window needs; one window's after another's.

    Parameters
    ----------
    length : int
        Places of the longest window.
    n_gradients : int
        Minibatch gradients that are looked at side by side.
    device : torch.device
        Where they lie.

    Attributes
    ----------
    gradients : torch.Tensor
        Float32, flat.
    scratch : torch.Tensor
        One int64 a place.
    lines : torch.Tensor
        Float32, two numbers a line of each gradient and of the noise.
    """

    def __init__(self, length: int, n_gradients: int, device: torch.device) -> None:
        self.n_gradients = n_gradients
        self.gradients = torch.zeros(n_gradients * length, device=device)
        self.scratch = torch.zeros(length, dtype=torch.int64, device=device)
        self.lines = torch.zeros(2 * (n_gradients + 1) * length // LINE, device=device)

    @staticmethod
    def n_bytes(length: int, n_gradients: int) -> int:
        """Return the bytes of such buffers."""
        return (4 * n_gradients + 8) * length + 8 * (n_gradients + 1) * (length // LINE)


class Workspace:
    """Views of the buffers for windows of one size; making them anew would cost small models.

    Parameters
    ----------
    buffers : Buffers
        Whose views.
    size : int
        Places of the windows.

    Attributes
    ----------
    raw : list of torch.Tensor
        Each gradient, shape (size,). The first becomes the noise.
    noise : torch.Tensor
        The first of `raw`.
    noise_lines : torch.Tensor
        The same, shape (n_lines, 64).
    bits : torch.Tensor
        The same as int32.
    bins : torch.Tensor
        Room for a bin of each: int32 on a CPU, else int64.
    line_values : torch.Tensor
        Shape (n_lines, 2 * (n_gradients + 1)): how many elements of each line are not zero, of
        each gradient and of the noise, then norms, which :meth:`square` makes squares.
    """

    def __init__(self, buffers: Buffers, size: int) -> None:
        n = buffers.n_gradients
        raw = buffers.gradients[: n * size].view(n, size)
        compared = buffers.scratch.view(torch.float32)[: n * size].view(-1, LINE)
        lines = buffers.lines[: 2 * (n + 1) * (size // LINE)].view(2 * (n + 1), -1)
        self.raw = list(raw)
        self.noise = self.raw[0]
        self.noise_lines = self.noise.view(-1, LINE)
        self.bits = self.noise.view(torch.int32)
        # A scatter takes int64; a bincount on a CPU is content with half of that.
        on_cpu = buffers.scratch.device.type == "cpu"
        self.bins = (buffers.scratch.view(torch.int32) if on_cpu else buffers.scratch)[:size]
        self.line_values = lines.t()
        self._squares = lines[n + 1 :]
        self._of_raw = (
            raw.view(-1, LINE), compared, lines[:n].view(-1), lines[n + 1 : -1].view(-1)
        )  # fmt: skip
        self._of_noise = (self.noise_lines, compared[: size // LINE], lines[n], lines[-1])

    def measure_raw(self) -> None:
        """Write counts and norms of the lines of all gradients."""
        _measure(*self._of_raw)

    def measure_noise(self) -> None:
        """Write counts and norms of the lines of the noise."""
        _measure(*self._of_noise)

    def square(self) -> None:
        """Make squares of all norms."""
        self._squares.square_()


def _measure(
    lines: torch.Tensor, compared: torch.Tensor, nonzero: torch.Tensor, norms: torch.Tensor
) -> None:
    torch.ne(lines, 0, out=compared)
    torch.sum(compared, dim=1, out=nonzero)
    torch.linalg.vector_norm(lines, dim=1, out=norms)
