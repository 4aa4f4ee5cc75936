"""Minibatch gradients that several ranks take together, each of them with its own minibatch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed, nn

from noise_lens.capture.gradients import Loss, MinibatchGradients
from noise_lens.capture.layout import Layout
from noise_lens.capture.ranks import Ranks
from noise_lens.capture.reference import Minibatches
from noise_lens.capture.sketch import LARGEST_INDEXED_BATCH
from noise_lens.errors import CaptureError, DivergedError


class ShardedGradients(MinibatchGradients):
    """Computes this rank's shards of the mean gradient of all ranks; each has its own minibatch.

    Parameters
    ----------
    model : torch.nn.Module
        Under ``fully_shard``, in the mode to measure in.
    loss : callable
        ``loss(model, batch)`` -> mean loss over the minibatch, a scalar tensor.
    layout : Layout
        Of the shards.
    """

    def __init__(self, model: nn.Module, loss: Loss, layout: Layout) -> None:
        super().__init__(model, loss, layout)
        self._checked = True  # a rank that raises alone leaves the others waiting for it
        self._looked = False

    def loss_of(self, batch: Any) -> torch.Tensor:
        """Return the loss of a minibatch, the mean over ranks.

        Parameters
        ----------
        batch : Any
            What the data gave, on any device.

        Returns
        -------
        torch.Tensor
            A scalar without a graph, the same on every rank: all decide alike.

        Raises
        ------
        CaptureError
            As for :class:`MinibatchGradients`.
        DivergedError
            The mean is not finite.
        """
        mean = super().loss_of(batch).detach().double()
        distributed.all_reduce(mean)
        mean /= distributed.get_world_size()
        if not bool(torch.isfinite(mean)):
            raise DivergedError(
                f"the loss is {float(mean)} in the mean over ranks. Noise of a diverged model has "
                "no tail index: measure an earlier checkpoint, or mend the data."
            )
        return mean

    def of(self, batch: Any) -> tuple[torch.Tensor, Sequence[torch.Tensor | None]]:
        """Return the loss of this rank's minibatch, and shards of the mean gradient.

        Parameters
        ----------
        batch : Any
            This rank's minibatch.

        Returns
        -------
        loss : torch.Tensor
            Detached, of this rank alone.
        gradients : sequence of torch.Tensor or None
            One a parameter, in the layout's order; some may have no elements.

        Raises
        ------
        CaptureError
            As for :class:`MinibatchGradients`.
        """
        loss = super().loss_of(batch)
        try:
            torch.autograd.backward(loss)
        except RuntimeError as error:
            first = str(error).splitlines()[0]
            raise CaptureError(f"the backward pass of the loss raised: {first}") from error
        gradients = []
        for parameter in self._parameters:
            gradient: Any = parameter.grad
            gradients.append(None if gradient is None else gradient.to_local())
            parameter.grad = None
        if not self._looked:
            self._check(gradients)
            self._looked = True
        return loss.detach(), gradients

    def mean_losses(self, losses: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the losses of whole rows: the mean over ranks, the same on each.

        Parameters
        ----------
        losses : ndarray of shape (n,)
            Of this rank's minibatches.

        Returns
        -------
        ndarray of shape (n,)
            Not finite where one rank's is not.
        """
        shared = torch.from_numpy(losses).to(self.device)
        distributed.all_reduce(shared)
        return np.asarray((shared / distributed.get_world_size()).cpu().numpy())


class RanksTogether:
    """Minibatches of W ranks, of which each takes its part.

    A row of W * b examples is drawn as one process would draw it; this rank reads b of them.

    Parameters
    ----------
    data : Minibatches
        The whole data set; or a stream that is this rank's own.
    ranks : Ranks
        Which one, of how many.
    batch_size : int
        b.
    """

    def __init__(self, data: Minibatches, ranks: Ranks, batch_size: int) -> None:
        self._data, self._ranks, self._batch_size = data, ranks, batch_size
        self.n_examples = data.n_examples
        self.sampling = (
            f"{data.sampling}; a row is of the mean gradient of {ranks.world_size} ranks, "
            f"{ranks.world_size} x {batch_size} examples"
        )

    def size_of_drawn(self, batch_size: int) -> int | None:
        """Return the examples of all ranks in one row."""
        own = self._data.size_of_drawn(batch_size)
        return None if own is None else own * self._ranks.world_size

    def draw(
        self, n: int, batch_size: int, seed: int, places: Sequence[int] | None = None
    ) -> Iterator[Any]:
        """Yield this rank's part of `n` rows."""
        if self.n_examples is None:
            yield from self._data.draw(n, batch_size, seed, places)
            return
        drawn = self._data.indices(n, batch_size * self._ranks.world_size, seed)
        assert drawn is not None
        own = drawn.reshape(n, self._ranks.world_size, batch_size)[:, self._ranks.rank]
        for place in range(n) if places is None else places:
            yield self._data.pick(own[place].tolist())

    def indices(self, n: int, batch_size: int, seed: int) -> NDArray[np.int64] | None:
        """Return the examples of all ranks in each row, if they are few."""
        together = batch_size * self._ranks.world_size
        return self._data.indices(n, together, seed) if together <= LARGEST_INDEXED_BATCH else None

    def pick(self, indices: Sequence[int]) -> Any:
        """Return the minibatch of these examples."""
        return self._data.pick(indices)

    def whole(self, batch_size: int) -> Iterator[tuple[Any, int]]:
        """Yield the data set once, each rank its part, with the size of all parts together."""
        rank, world_size = self._ranks
        n = self.n_examples or 0
        start = 0
        while (own := min(batch_size, (n - start) // world_size)) > 0:
            first = start + rank * own
            yield self._data.pick(range(first, first + own)), own * world_size
            start += own * world_size
        if start < n:  # fewer than there are ranks: all take the same
            yield self._data.pick(range(start, n)), n - start
