"""Minibatches for a lens, from the loop's own loader without touching it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
)

from noise_lens.errors import CaptureError
from noise_lens.tasks import MapMinibatches, StreamMinibatches, minibatches_of


class _Again:
    """An iterable that is made anew each time it is iterated."""

    def __init__(self, make: Callable[[], Iterable[Any]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[Any]:
        return iter(self._make())


def source_of(data: Any) -> MapMinibatches | StreamMinibatches:
    """Return where a lens takes minibatches from.

    Parameters
    ----------
    data : DataLoader or callable
        The loop's loader, or a function that makes a second one.

    Returns
    -------
    MapMinibatches or StreamMinibatches
        The source.

    Raises
    ------
    CaptureError
        It is neither, or taking minibatches from it would change training.
    """
    if not isinstance(data, DataLoader):
        if callable(data):
            return StreamMinibatches(_Again(data), "as the lens's own loader gives them")
        raise CaptureError(
            f"data must be the loop's DataLoader, got {type(data).__name__}: the batch size of "
            "training is read from it. Wrap the dataset in a DataLoader."
        )
    source = minibatches_of(data)
    if isinstance(source, StreamMinibatches) and _is_shared_out(data):
        return MapMinibatches(data.dataset, data.collate_fn)
    if isinstance(source, StreamMinibatches):
        raise CaptureError(
            f"minibatches come {source.sampling}: taking some from the loop's own loader would "
            "change training. Give data=a function that makes a second loader of the same kind."
        )
    return source


def batch_size_of(data: Any) -> int:
    """Return the examples a minibatch of the loop's loader; 1 where the lens has its own.

    Parameters
    ----------
    data : DataLoader or callable or None
        As for :func:`source_of`.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    CaptureError
        The loader does not know it.
    """
    size = getattr(data, "batch_size", None)
    if size is None and isinstance(data, DataLoader):
        sampler: Any = data.batch_sampler
        size = getattr(sampler, "batch_size", None)
        if size is not None and getattr(sampler, "split_batches", False):  # Accelerate's
            size //= sampler.num_processes
    if isinstance(data, DataLoader) and size is None:
        raise CaptureError(
            "the DataLoader has no batch_size, so that of training is not known. "
            "Give one that has, or data=a function that makes a second loader of the same kind."
        )
    return int(size or 1)


def _is_shared_out(loader: DataLoader[Any]) -> bool:
    """Return whether a loader gives each rank its part of a plain sampling of all the data."""
    # Then i.i.d. sampling of the data set is the same distribution on every rank. Accelerate's
    # classes are told by name: it need not be installed.
    if isinstance(loader.dataset, IterableDataset):
        return False
    batches: Any = loader.batch_sampler
    while _is_of_accelerate(batches, "BatchSamplerShard", "SkipBatchSampler"):
        batches = batches.batch_sampler
    return type(batches) is BatchSampler and (
        type(batches.sampler) in (RandomSampler, SequentialSampler, DistributedSampler)
        or _is_of_accelerate(batches.sampler, "SeedableRandomSampler")
    )


def _is_of_accelerate(part: Any, *names: str) -> bool:
    kind = type(part)
    return kind.__module__.partition(".")[0] == "accelerate" and kind.__name__ in names
