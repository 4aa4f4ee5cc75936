"""The reference: what is subtracted from a minibatch gradient to leave its noise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from noise_lens.capture.gradients import MinibatchGradients
from noise_lens.capture.layout import LINE, Layout
from noise_lens.errors import CaptureError

Reference = Literal["full", "pair", "mean"]
REFERENCES = ("auto", "full", "pair", "mean")
_TOLERANCE = 1e-4
_LINES_A_PIECE = 16_384  # 1,048,576 elements, 8 MB while they are float64


class Minibatches(Protocol):
    """Where minibatches come from; ``noise_lens.tasks.sampling`` has the two that exist."""

    @property
    def sampling(self) -> str:
        """How minibatches are drawn, in words for the report."""

    @property
    def n_examples(self) -> int | None:
        """Size of the data set; None for a stream."""

    def size_of_drawn(self, batch_size: int) -> int | None:
        """Return the examples of the minibatches that were drawn; None where sizes differ."""

    def draw(self, n: int, batch_size: int, seed: int) -> Iterator[Any]:
        """Yield `n` minibatches; the same again for the same seed, unless it is a stream."""

    def indices(self, n: int, batch_size: int, seed: int) -> NDArray[np.int64] | None:
        """Return the examples of the minibatches that `draw` yields; None for a stream."""

    def pick(self, indices: Sequence[int]) -> Any:
        """Return the minibatch of these examples; never called on a stream."""

    def whole(self, batch_size: int) -> Iterable[tuple[Any, int]]:
        """Yield the data set once, in minibatches with their sizes; never called on a stream."""


def choose_reference(
    asked: str, gradients: MinibatchGradients, model: nn.Module, data: Minibatches, batch_size: int
) -> tuple[Reference, str]:
    """Decide what to subtract, and why.

    Parameters
    ----------
    asked : str
        "auto", "full", "pair" or "mean".
    gradients : MinibatchGradients
        Of the model, in the mode to measure in.
    model : torch.nn.Module
        The model, in that mode.
    data : Minibatches
        The data.
    batch_size : int
        Examples a minibatch.

    Returns
    -------
    reference : {"full", "pair", "mean"}
        What to subtract.
    reason : str
        One sentence for the report.

    Raises
    ------
    CaptureError
        `asked` is unknown; or "full" or "mean" was asked where it is not the truth.
    """
    if asked not in REFERENCES:
        raise CaptureError(f"reference must be one of {', '.join(REFERENCES)}; got {asked!r}")
    if asked == "pair":
        return "pair", "asked for"
    if asked == "mean":
        if data.n_examples is None:
            raise CaptureError(
                "reference 'mean' reads the minibatches twice, but the data is a stream. "
                "Use reference='pair', or give a map-style dataset."
            )
        return "mean", "asked for; estimates use differences of pairs, from which it cancels"
    obstacle = _obstacle_to_full(gradients, model, data, batch_size)
    if obstacle is None:
        return (
            "full",
            "no dropout or batch statistics are active and the loss weighs examples equally",
        )
    if asked == "full":
        raise CaptureError(
            f"reference 'full' is not the mean of the minibatch gradients here: {obstacle}. "
            "Use reference='pair' (differences of minibatches), or mode='eval'."
        )
    return "pair", obstacle


def _obstacle_to_full(
    gradients: MinibatchGradients, model: nn.Module, data: Minibatches, batch_size: int
) -> str | None:
    if data.n_examples is None:
        return "the data is a stream, so there is no full gradient"
    for name, module in model.named_modules():
        kind = type(module).__name__
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and (
            module.training or not module.track_running_stats
        ):
            return f"{kind} {name!r} uses the statistics of the minibatch"
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.training and module.p > 0:
            return f"{kind} {name!r} is active"
    # What no module shows: dropout called as a function, a loss that weighs examples unequally.
    shuffled = np.random.default_rng(0).permutation(data.n_examples).tolist()
    for sizes in ((batch_size, batch_size), (2 * batch_size, batch_size), (batch_size, 1)):
        first, second = shuffled[: sizes[0]], shuffled[sizes[0] : sum(sizes)]
        shuffled = shuffled[sum(sizes) :] or shuffled
        if not second:
            continue
        one, again, other, both = (
            float(gradients.loss_of(data.pick(indices)).detach())
            for indices in (first, first, second, first + second)
        )
        mean = (len(first) * one + len(second) * other) / (len(first) + len(second))
        slack = _TOLERANCE * max(abs(one), abs(other), abs(both))
        if abs(one - again) > slack:
            return (
                f"the loss of one minibatch changes when it is computed again ({one:g}, {again:g})"
            )
        if abs(both - mean) > slack:
            return (
                "the loss of two minibatches together is not the mean of their losses "
                f"({both:g} against {mean:g})"
            )
    return None


class ExactReference:
    """A mean gradient with 8 bytes a parameter: two float32 that add up to a float64.

    ``(g - high) - low`` in float32 is as exact as a float64 subtraction rounded once, and many
    times faster than arithmetic of mixed precision.

    Parameters
    ----------
    total : torch.Tensor
        Sum of gradients, float64, of the flat buffer's shape.
    count : float
        What to divide it by.
    """

    def __init__(self, total: torch.Tensor, count: float) -> None:
        mean = total.div_(count)
        self.high = mean.to(torch.float32)
        self.low = mean.sub_(self.high).to(torch.float32)

    def subtract_from(self, part: torch.Tensor, start: int) -> None:
        """Subtract in place from the part of a flat buffer that begins at `start`."""
        stop = start + len(part)
        part.sub_(self.high[start:stop]).sub_(self.low[start:stop])

    def squares(self, line_cells: torch.Tensor, n_cells: int) -> torch.Tensor:
        """Return the squared norm of each cell's part, piece by piece.

        Parameters
        ----------
        line_cells : torch.Tensor
            Cell of each line of 64 elements, shape (L,), int64.
        n_cells : int
            Cells there are.

        Returns
        -------
        torch.Tensor
            Shape (n_cells,), float64, on the device.
        """
        found = torch.zeros(n_cells, dtype=torch.float64, device=self.high.device)
        for first in range(0, len(line_cells), _LINES_A_PIECE):
            cells = line_cells[first : first + _LINES_A_PIECE]
            elements = slice(first * LINE, (first + len(cells)) * LINE)
            exact = self.high[elements].double().add_(self.low[elements])
            found.index_add_(0, cells, exact.square_().view(-1, LINE).sum(dim=1))
        return found


def mean_gradient(
    gradients: MinibatchGradients, layout: Layout, batches: Iterable[tuple[Any, int]]
) -> ExactReference:
    """Return the mean of minibatch gradients, each weighted by its size, summed in float64.

    Parameters
    ----------
    gradients : MinibatchGradients
        Computes them.
    layout : Layout
        Of the flat buffer.
    batches : iterable of (batch, int)
        Minibatches and their sizes.

    Returns
    -------
    ExactReference
        16 bytes a parameter while it is built, 8 after.
    """
    flat = torch.zeros(layout.size, device=gradients.device)
    views = layout.views(flat)
    total = torch.zeros(layout.size, dtype=torch.float64, device=gradients.device)
    count = 0
    for batch, size in batches:
        gradients.write(batch, views)
        total.add_(flat, alpha=size)
        count += size
    return ExactReference(total, float(count))
