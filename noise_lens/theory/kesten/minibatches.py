"""Minibatches of inputs, for as many directions at a time as the memory likes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from noise_lens.theory.kesten import arguments

Draw = Callable[[int, torch.Generator], Tensor]

_CHUNK = 2**22  # numbers drawn at a time


def gaussian_inputs(dim: int, sigma: float = 1.0) -> Draw:
    """Return a source of inputs N(0, sigma^2 I), for :func:`kesten_tail_of_inputs`.

    Parameters
    ----------
    dim : int
        Coordinates an input.
    sigma : float, default 1
        Their standard deviation.

    Returns
    -------
    callable
        ``(n, generator)`` to a tensor of shape (n, dim), on the generator's device.

    Raises
    ------
    ValueError
        A dimension that is not a whole number of at least 1, a sigma that is not above 0.
    """
    arguments.cells(1.0, 1, dim, sigma)

    def draw(n: int, generator: torch.Generator) -> Tensor:
        shape = (n, dim)
        noise = torch.randn(
            shape, generator=generator, dtype=torch.float64, device=generator.device
        )
        return sigma * noise

    return draw


class Minibatches:
    """Independent minibatches: of an endless source, or of the rows of a data set."""

    def __init__(
        self, inputs: Any, batch_size: int, *, replace: bool, generator: torch.Generator
    ) -> None:
        self.batch_size, self.replace, self.generator = batch_size, replace, generator
        self.data: Tensor | None = None
        self.source: Draw | None = None
        if callable(inputs):
            self.source = inputs
            first = self._from_source(2)
            self.dim = first.shape[-1]
        else:
            self.data = _data(inputs, generator.device)
            self.dim = self.data.shape[1]
            if not replace and batch_size > len(self.data):
                raise ValueError(
                    f"batch_size must be at most the {len(self.data)} rows of inputs when they "
                    f"are drawn without replacement, got {batch_size}. Use replace=True."
                )

    def chunks(self, n: int) -> Iterator[tuple[slice, Tensor]]:
        """Yield where the minibatches belong among n, and they: (..., batch_size, dim)."""
        width = max(1, _CHUNK // (self.batch_size * self.dim))
        for start in range(0, n, width):
            stop = min(start + width, n)
            yield slice(start, stop), self._draw(stop - start)

    def never_expand(self, step_size: float, momentum: float) -> bool:
        """Say whether it is certain that no minibatch ever lengthens a direction.

        All rows in every minibatch make a step without randomness: it only contracts, or diverges.
        Else, and without momentum, ``||I - eta/b A^T A|| <= 1`` where the largest eigenvalue of
        ``A^T A`` is at most 2 b/eta, and it is at most the sum of the squared norms of the rows.

        Parameters
        ----------
        step_size, momentum : float
            Of SGD.

        Returns
        -------
        bool
            False also where it is not known.
        """
        if self.data is None:
            return False
        if not self.replace and self.batch_size == len(self.data):
            return True
        if momentum:
            return False
        norms = self.data.square().sum(dim=1)
        if self.replace:
            return bool(step_size * norms.max() <= 2)
        return bool(step_size * norms.topk(self.batch_size).values.mean() <= 2)

    def _draw(self, n: int) -> Tensor:
        if self.data is None:
            return self._from_source(n)
        return self.data[self._rows(n)]

    def _rows(self, n: int) -> Tensor:
        assert self.data is not None
        size, b, device = len(self.data), self.batch_size, self.generator.device
        if not self.replace and b**2 > size:
            keys = torch.rand(n, size, generator=self.generator, device=device)
            return keys.topk(b, dim=1).indices
        rows = torch.randint(size, (n, b), generator=self.generator, device=device)
        while not self.replace:
            # Minibatches with a row twice are drawn anew: what stays is uniform on sets.
            ordered = rows.sort(dim=1).values
            twice = (ordered[:, 1:] == ordered[:, :-1]).any(dim=1)
            n_twice = int(twice.sum())
            if not n_twice:
                break
            rows[twice] = torch.randint(size, (n_twice, b), generator=self.generator, device=device)
        return rows

    def _from_source(self, n: int) -> Tensor:
        assert self.source is not None
        asked = n * self.batch_size
        rows = torch.as_tensor(self.source(asked, self.generator))
        if rows.ndim != 2 or len(rows) != asked or not rows.shape[1]:
            raise ValueError(
                f"inputs(n, generator) must return n rows, asked for {asked}, got shape "
                f"{tuple(rows.shape)}. Return a tensor of shape (n, dim)."
            )
        if not torch.isfinite(rows).all():
            raise ValueError("inputs(n, generator) returned NaN or inf. Return finite inputs.")
        rows = rows.to(device=self.generator.device, dtype=torch.float64)
        return rows.reshape(n, self.batch_size, rows.shape[1])


def _data(inputs: Any, device: torch.device) -> Tensor:
    rows = inputs.detach() if isinstance(inputs, Tensor) else torch.tensor(np.asarray(inputs))
    data = rows.to(device=device, dtype=torch.float64)
    if data.ndim != 2 or 0 in data.shape:
        raise ValueError(
            "inputs must be an array of shape (n, dim) or a function (n, generator) -> (n, dim), "
            f"got shape {tuple(data.shape)}. Flatten every input to one row."
        )
    if not torch.isfinite(data).all():
        raise ValueError("inputs must be finite, got NaN or inf. Drop or mend these rows.")
    rank = int(torch.linalg.matrix_rank(data))
    if rank < data.shape[1]:
        raise ValueError(
            f"inputs must span their {data.shape[1]} dimensions, got rank {rank}. SGD never moves "
            "along the rest: project the inputs on their leading principal components."
        )
    return data
