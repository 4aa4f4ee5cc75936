"""The reference: what is subtracted from a minibatch gradient to leave its noise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from noise_lens.capture.cells import CellSums
from noise_lens.capture.gradients import MinibatchGradients
from noise_lens.capture.layout import LINE, Layout
from noise_lens.capture.windows import Stage, Window, plan_windows, window_length
from noise_lens.errors import CaptureError

Reference = Literal["full", "pair", "mean"]
REFERENCES = ("auto", "full", "pair", "mean")
_TOLERANCE = 1e-4


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

    def draw(
        self, n: int, batch_size: int, seed: int, places: Sequence[int] | None = None
    ) -> Iterator[Any]:
        """Yield `n` minibatches; the same again for the same seed, unless it is a stream.

        With `places` only those of the `n`; a stream yields as many as they are.
        """

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
    shuffled = np.random.default_rng(0).permutation(data.n_examples).tolist()
    # The data themselves, bit for bit: at initial weights their loss may hardly tell.
    if not _same(*(data.pick(shuffled[:batch_size]) for _ in range(2))):
        return "the examples change when they are read again, as under random augmentation"
    # What no module shows: dropout called as a function, a loss that weighs examples unequally.
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


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) and one.layout == torch.strided and not one.is_nested:
        return one.shape == other.shape and bool(((one == other) | one.isnan()).all())
    if isinstance(one, Mapping):
        return all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return all(map(_same, one, other))
    return True  # what is not told apart here, the losses may


class ExactReference:
    """A mean gradient with 8 bytes a parameter: two float32 that add up to a float64.

    ``(g - high) - low`` in float32 is as exact as a float64 subtraction rounded once, and many
    times faster than arithmetic of mixed precision. The two parts of each window take the place
    of its float64, so that no second copy is ever made.

    Parameters
    ----------
    total : torch.Tensor
        Sum of gradients, float64, shape (layout.size,); its memory is taken over.
    count : float
        What to divide it by.
    windows : sequence of Window
        Of the layout.
    """

    def __init__(self, total: torch.Tensor, count: float, windows: Sequence[Window]) -> None:
        self._parts = total.view(torch.float32)
        self._windows = windows
        for window in windows:
            mean = total[window.start : window.stop] / count
            high, low = self._of(window)
            high.copy_(mean)
            low.copy_(mean.sub_(high))

    def _of(self, window: Window) -> tuple[torch.Tensor, torch.Tensor]:
        high, low = self._parts[2 * window.start : 2 * window.stop].view(2, -1).unbind()
        return high, low

    def subtract_from(self, part: torch.Tensor, window: Window) -> None:
        """Subtract in place from the gradient in a window."""
        high, low = self._of(window)
        part.sub_(high).sub_(low)

    def squares(self, sums: CellSums, n_cells: int) -> torch.Tensor:
        """Return the squared norm of each cell's part, window by window.

        Parameters
        ----------
        sums : CellSums
            Of the layout.
        n_cells : int
            Cells there are.

        Returns
        -------
        torch.Tensor
            Shape (n_cells,), float64, on the device.
        """
        found = torch.zeros(n_cells, dtype=torch.float64, device=self._parts.device)
        for window in self._windows:
            high, low = self._of(window)
            exact = high.double().add_(low)
            sums.add(found, exact.square_().view(-1, LINE).sum(dim=1), window)
        return found


class MeanVector:
    """Mean of vectors, each with a weight, summed in float64.

    Parameters
    ----------
    layout : Layout
        Of the vectors.
    device : torch.device
        Where they lie; 8 bytes a parameter, also while it is built.
    """

    def __init__(self, layout: Layout, device: torch.device) -> None:
        length = window_length(layout, device)
        self._windows = plan_windows(layout, length)
        self._buffer = torch.zeros(length, device=device)
        self._stage = Stage(self._windows, self._buffer, 1)
        self._total = torch.zeros(layout.size, dtype=torch.float64, device=device)
        self._weight = 0.0

    @torch.no_grad()
    def update(self, vector: Sequence[torch.Tensor | None], weight: int = 1) -> None:
        """Add a vector.

        Parameters
        ----------
        vector : sequence of torch.Tensor or None
            One a parameter, in the layout's order.
        weight : int
            Examples that it is the mean of.
        """
        for window in self._windows:
            self._stage.fill(window, [vector])
            part = self._total[window.start : window.stop]
            part.add_(self._buffer[: len(part)], alpha=weight)
        self._weight += weight

    def compute(self) -> ExactReference:
        """Return the mean; takes the memory of the sum over, so it is called once."""
        return ExactReference(self._total, self._weight, self._windows)


def full_gradient(
    gradients: MinibatchGradients, layout: Layout, batches: Iterable[tuple[Any, int]]
) -> ExactReference:
    """Return the gradient of the mean loss over a data set.

    Parameters
    ----------
    gradients : MinibatchGradients
        Computes those of its parts.
    layout : Layout
        Of those gradients.
    batches : iterable of (batch, int)
        The data set in parts, with their sizes.

    Returns
    -------
    ExactReference
        8 bytes a parameter, also while it is built.
    """
    mean = MeanVector(layout, gradients.device)
    for batch, size in batches:
        mean.update(gradients.of(batch)[1], size)  # not kept: the next pass makes its own
    return mean.compute()
