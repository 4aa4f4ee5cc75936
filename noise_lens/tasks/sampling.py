"""Where minibatches come from, and what can be said about how they were drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    default_collate,
)

from noise_lens.errors import TaskError


class MapMinibatches:
    """Minibatches of a map-style dataset, drawn i.i.d. with replacement.

    Parameters
    ----------
    dataset : Dataset
        With ``__getitem__`` and ``__len__``.
    collate : callable
        Makes a minibatch of a list of examples.
    """

    sampling = "i.i.d. with replacement"

    def __init__(self, dataset: Any, collate: Callable[[list[Any]], Any] = default_collate) -> None:
        self._dataset, self._collate = dataset, collate
        self.n_examples: int | None = len(dataset)
        if self.n_examples == 0:
            raise TaskError("the data set is empty: there is no minibatch to draw")

    def size_of_drawn(self, batch_size: int) -> int | None:
        """Return the examples a minibatch: what was asked.

        Parameters
        ----------
        batch_size : int
            What was asked.

        Returns
        -------
        int
            The same.
        """
        return batch_size

    def draw(
        self, n: int, batch_size: int, seed: int, places: Sequence[int] | None = None
    ) -> Iterator[Any]:
        """Yield `n` minibatches, the same for the same seed, or some of them.

        Parameters
        ----------
        n : int
            Minibatches.
        batch_size : int
            Examples a minibatch.
        seed : int
            Of the generator, which belongs to this call alone.
        places : sequence of int, optional
            Only these of the `n`, in rising order; no example of the others is read.

        Yields
        ------
        Any
            A collated minibatch.
        """
        wanted = None if places is None else frozenset(places)
        for place, chosen in enumerate(self._drawn(n, batch_size, seed)):
            if wanted is None or place in wanted:
                yield self.pick(chosen.tolist())

    def indices(self, n: int, batch_size: int, seed: int) -> NDArray[np.int64]:
        """Return which examples are in the minibatches of `draw` with the same arguments.

        Parameters
        ----------
        n : int
            Minibatches.
        batch_size : int
            Examples a minibatch.
        seed : int
            As given to `draw`.

        Returns
        -------
        ndarray of shape (n, batch_size)
            Positions in the data set that was given (in the subset, if it is one); one example
            may be there twice. No example is read.
        """
        found = np.empty((n, batch_size), dtype=np.int64)
        for row, chosen in zip(found, self._drawn(n, batch_size, seed), strict=True):
            row[:] = chosen.numpy()
        return found

    def _drawn(self, n: int, batch_size: int, seed: int) -> Iterator[torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        for _ in range(n):
            yield torch.randint(self.n_examples or 0, (batch_size,), generator=generator)

    def pick(self, indices: Sequence[int]) -> Any:
        """Return the minibatch of these examples.

        Parameters
        ----------
        indices : sequence of int
            Examples.

        Returns
        -------
        Any
            A collated minibatch.
        """
        if type(self._dataset) is TensorDataset and self._collate is default_collate:
            chosen = torch.as_tensor(indices)
            return [tensor[chosen] for tensor in self._dataset.tensors]  # as collate would
        fetch = getattr(self._dataset, "__getitems__", None)
        examples = fetch(list(indices)) if fetch else [self._dataset[i] for i in indices]
        return self._collate(examples)

    def whole(self, batch_size: int) -> Iterator[tuple[Any, int]]:
        """Yield the data set once, in order.

        Parameters
        ----------
        batch_size : int
            Examples a minibatch; the last may be smaller.

        Yields
        ------
        batch : Any
            A collated minibatch.
        size : int
            Its examples.
        """
        for start in range(0, self.n_examples or 0, batch_size):
            stop = min(start + batch_size, self.n_examples or 0)
            yield self.pick(range(start, stop)), stop - start


class StreamMinibatches:
    """Minibatches of an iterable, taken as they come; begun again when it ends.

    Parameters
    ----------
    loader : iterable
        Yields minibatches.
    sampling : str
        How, in words for the report.
    """

    n_examples: int | None = None

    def __init__(
        self,
        loader: Iterable[Any],
        sampling: str = "as the loader gives them, without replacement",
    ) -> None:
        self.sampling = sampling
        self._loader = loader
        self._iterator: Iterator[Any] | None = None
        self._sizes: set[int | None] = set()

    def size_of_drawn(self, batch_size: int) -> int | None:
        """Return the examples a minibatch, if all that were drawn had the same.

        Parameters
        ----------
        batch_size : int
            What was asked; not used.

        Returns
        -------
        int or None
            None where sizes differ or no tensor shows them.
        """
        return next(iter(self._sizes)) if len(self._sizes) == 1 else None

    def draw(
        self, n: int, batch_size: int, seed: int, places: Sequence[int] | None = None
    ) -> Iterator[Any]:
        """Yield the next minibatches of the loader.

        Parameters
        ----------
        n : int
            Minibatches.
        batch_size : int
            Not used: the loader has its own.
        seed : int
            Not used: the loader has its own order.
        places : sequence of int, optional
            As many as these are yielded; a rank's own loader says which.

        Yields
        ------
        Any
            What the loader yields.

        Raises
        ------
        TaskError
            The loader yields nothing.
        """
        n = n if places is None else len(places)
        given = 0
        restarted = False
        while given < n:
            if self._iterator is None:
                self._iterator = iter(self._loader)
            try:
                batch = next(self._iterator)
            except StopIteration:
                self._iterator = None
                if restarted:
                    raise TaskError(
                        f"the data loader gave {given} of {n} minibatches and then none from a "
                        "new start. Give a loader that can be iterated again, or measure fewer."
                    ) from None
                restarted = True
                continue
            restarted = False
            given += 1
            self._sizes.add(_length(batch))
            yield batch

    def indices(self, n: int, batch_size: int, seed: int) -> None:
        """Return None: what a stream gives has no number.

        Parameters
        ----------
        n, batch_size, seed : int
            Not used.
        """

    def pick(self, indices: Sequence[int]) -> Any:
        """Not possible for a stream.

        Parameters
        ----------
        indices : sequence of int
            Examples.

        Raises
        ------
        TaskError
            Always.
        """
        raise TaskError(f"a stream has no example number {indices[0]}")

    def whole(self, batch_size: int) -> Iterator[tuple[Any, int]]:
        """Not possible for a stream.

        Parameters
        ----------
        batch_size : int
            Examples a minibatch.

        Raises
        ------
        TaskError
            Always.
        """
        raise TaskError(f"a stream has no end to take in steps of {batch_size}")


def minibatches_of(data: Any) -> MapMinibatches | StreamMinibatches:
    """Return the source of minibatches for a task's data.

    Parameters
    ----------
    data : Dataset or DataLoader or iterable
        A map-style dataset, also inside a DataLoader, is sampled i.i.d. with replacement. A
        loader with a sampler of its own (weights, classes, buckets) is another distribution: it
        is taken as it comes, like any other iterable.

    Returns
    -------
    MapMinibatches or StreamMinibatches
        The source.

    Raises
    ------
    TaskError
        The data set is empty, or `data` is neither, or a list, which could be either.
    """
    if isinstance(data, DataLoader):
        if isinstance(data.dataset, IterableDataset):
            return StreamMinibatches(data)
        if type(data.batch_sampler) is not BatchSampler:
            return StreamMinibatches(data, _of(data.batch_sampler))
        # Not data.sampler: that is a default where the loader was given a batch_sampler.
        if type(data.batch_sampler.sampler) not in (RandomSampler, SequentialSampler):
            return StreamMinibatches(data, _of(data.batch_sampler.sampler))
        return MapMinibatches(data.dataset, data.collate_fn)
    if isinstance(data, list | tuple):
        raise TaskError(
            f"data is a {type(data).__name__} of {len(data)}, which could be examples or "
            "minibatches. Wrap examples in a Dataset; give minibatches by a DataLoader or iterator."
        )
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return MapMinibatches(data)
    if isinstance(data, Iterable):
        return StreamMinibatches(data)
    raise TaskError(f"data must be a Dataset, DataLoader or iterable, got {type(data).__name__}")


def _of(sampler: Any) -> str:
    return f"as the loader's {type(sampler).__name__} gives them"


def _length(batch: Any) -> int | None:
    """Examples in a minibatch: the length of its first tensor."""
    if isinstance(batch, torch.Tensor):
        return len(batch) if batch.ndim else None
    if isinstance(batch, Mapping):
        batch = list(batch.values())
    if isinstance(batch, list | tuple):
        return next((size for size in map(_length, batch) if size is not None), None)
    return None
