"""The training loss as a function of one vector of parameters, with its first two derivatives."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vjp, vmap

from noise_lens.capture.gradients import to_device, trainable_parameters
from noise_lens.capture.preserve import preserved
from noise_lens.errors import CaptureError, DivergedError
from noise_lens.tasks import Task, minibatches_of

_VECTORS_AT_ONCE = 8


class _LossModule(nn.Module):
    """Makes ``loss(model, batch)`` a module, so that torch.func can put parameters into it."""

    def __init__(self, model: nn.Module, loss: Callable[[nn.Module, Any], Tensor]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Any) -> Tensor:
        return self.loss(self.model, batch)


class TrainingLoss:
    """The mean loss over the training data, at fixed weights, in eval mode.

    The data is read in chunks, and no more than one chunk's graph is held: memory does not grow
    with the data. Everything is computed on a copy of the model, in float64 where the model can.

    Parameters
    ----------
    model : torch.nn.Module
        At the weights; it is copied.
    task : Task
        Its loss and its training data, which must have an end. Chunks are weighed by their
        examples, so the loss must be a plain mean over examples.
    n_examples : int, optional
        Of a random subset, without replacement; all if not given.
    chunk_size : int
        Examples whose graph is held at once.
    seed : int
        Of the subset.

    Attributes
    ----------
    parameters : Tensor of shape (p,)
        Trainable parameters, one after another.
    n_examples, n_all : int
        That the loss is the mean of, and that there are.
    dtype : torch.dtype
        In which it is computed.

    Raises
    ------
    CaptureError
        The data is a stream, the loss raises or is no scalar, or a number is out of range.
    DivergedError
        The loss is not finite.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        *,
        n_examples: int | None = None,
        chunk_size: int = 512,
        seed: int = 0,
    ) -> None:
        self._data = minibatches_of(task.data)
        total = self._data.n_examples
        if total is None:
            raise CaptureError(
                f"the data of task {task.name!r} is a stream, which has no whole loss to take "
                "curvature of. Give a task with a map-style dataset."
            )
        if n_examples is not None and not 1 <= n_examples <= total:
            raise CaptureError(
                f"n_examples must lie in [1, {total}], the examples of task {task.name!r}; got "
                f"{n_examples}"
            )
        if chunk_size < 1:
            raise CaptureError(f"chunk_size must be at least 1, got {chunk_size}")
        self._chosen = np.arange(total)
        if n_examples is not None and n_examples < total:
            rng = np.random.default_rng(seed)
            self._chosen = np.sort(rng.choice(total, size=n_examples, replace=False))
        self.n_examples, self.n_all = len(self._chosen), total
        self._chunk_size, self._task = chunk_size, task
        shapes = trainable_parameters(model)  # checks them, too
        self.names = tuple(shapes)
        self.numels = tuple(p.numel() for p in shapes.values())
        self._shapes = [p.shape for p in shapes.values()]
        self._place(model, torch.float64)
        try:
            self._scalar_loss()
        except CaptureError:
            # A model may make tensors of a dtype of its own, which float64 does not meet.
            self._place(model, next(iter(shapes.values())).dtype)
            self._scalar_loss()

    def _place(self, model: nn.Module, dtype: torch.dtype) -> None:
        self._model = copy.deepcopy(model).to(dtype)
        self._module = _LossModule(self._model, self._task.loss)
        with torch.no_grad():
            own = trainable_parameters(self._model)
            self.parameters = torch.cat([own[name].detach().flatten() for name in self.names])
        self.dtype = dtype

    @property
    def size(self) -> int:
        """Number of parameters."""
        return len(self.parameters)

    def place_of(self, name: str, index: int) -> int:
        """Return where an element of a parameter lies in the vector.

        Parameters
        ----------
        name : str
            Of a trainable parameter.
        index : int
            In it, flattened.

        Returns
        -------
        int
            From 0.

        Raises
        ------
        CaptureError
            The model has no such element.
        """
        if name not in self.names or not 0 <= index < self.numels[self.names.index(name)]:
            raise CaptureError(
                f"the model has no trainable element {name}[{index}]: its parameters are "
                f"{', '.join(self.names[:6])}. The coordinates are of another model."
            )
        return sum(self.numels[: self.names.index(name)]) + index

    def loss(self) -> float:
        """Return the loss.

        Returns
        -------
        float
            Of all chunks.

        Raises
        ------
        DivergedError
            It is not finite.
        """
        with preserved(self._model, "eval", 0), torch.no_grad():
            found = sum(share * float(self._of(b, self.parameters)) for b, share in self._chunks())
        if not np.isfinite(found):
            raise DivergedError(
                f"the training loss is {found:g} at these weights: there is no curvature to take. "
                "Give an earlier checkpoint."
            )
        return float(found)

    def gradient(self) -> Tensor:
        """Return the gradient.

        Returns
        -------
        Tensor of shape (p,)
            In `dtype`.
        """
        total = torch.zeros_like(self.parameters)
        with preserved(self._model, "eval", 0):
            for batch, share in self._chunks():
                total += share * grad(partial(self._of, batch))(self.parameters)
        return total

    def products(self, vectors: Tensor) -> Tensor:
        """Return the Hessian times each vector.

        The gradient's vector-Jacobian product: the Hessian is symmetric, and a second backward
        pass is there for operations that have no forward derivative.

        Parameters
        ----------
        vectors : Tensor of shape (k, p)
            In `dtype`.

        Returns
        -------
        Tensor of shape (k, p)
            One product a row.
        """
        total = torch.zeros_like(vectors)
        with preserved(self._model, "eval", 0):
            for batch, share in self._chunks():
                slope = grad(partial(self._of, batch))
                pull = vjp(slope, self.parameters)[1]
                for first in range(0, len(vectors), _VECTORS_AT_ONCE):
                    part = slice(first, first + _VECTORS_AT_ONCE)
                    total[part] += share * _pulled(pull, vectors[part])
        return total

    def _chunks(self) -> Iterator[tuple[Any, float]]:
        device = self.parameters.device
        for first in range(0, self.n_examples, self._chunk_size):
            chosen = self._chosen[first : first + self._chunk_size].tolist()
            batch = _in_dtype(to_device(self._data.pick(chosen), device), self.dtype)
            yield batch, len(chosen) / self.n_examples

    def _of(self, batch: Any, parameters: Tensor) -> Tensor:
        parts = torch.split(parameters, list(self.numels))
        own = {
            f"model.{name}": part.view(shape)
            for name, part, shape in zip(self.names, parts, self._shapes, strict=True)
        }
        found = functional_call(self._module, own, (batch,))
        assert isinstance(found, Tensor)
        return found.reshape(())

    def _scalar_loss(self) -> None:
        batch, _ = next(self._chunks())
        try:
            with preserved(self._model, "eval", 0), torch.no_grad():
                found = self._task.loss(self._model, batch)
        except Exception as error:
            first = str(error).splitlines()[0] if str(error) else "no message"
            raise CaptureError(
                f"loss(model, batch) of task {self._task.name!r} raised {type(error).__name__}: "
                f"{first}. Call it by hand on one minibatch of the data."
            ) from error
        if not isinstance(found, Tensor) or found.numel() != 1:
            raise CaptureError(
                f"loss(model, batch) of task {self._task.name!r} must return a scalar tensor, got "
                f"{type(found).__name__}. Return the mean loss over the minibatch."
            )


def _pulled(pull: Callable[[Tensor], tuple[Tensor]], vectors: Tensor) -> Tensor:
    if len(vectors) > 1:
        try:
            return vmap(lambda vector: pull(vector)[0])(vectors)
        except RuntimeError:
            pass  # an operation without a batching rule: one by one
    return torch.stack([pull(vector)[0] for vector in vectors])


def _in_dtype(batch: Any, dtype: torch.dtype) -> Any:
    if isinstance(batch, Tensor):
        return batch.to(dtype) if batch.is_floating_point() else batch
    if hasattr(batch, "to"):
        return batch  # a container of its own: left whole, and the model's own dtype if need be
    if isinstance(batch, Mapping):
        return {key: _in_dtype(value, dtype) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(_in_dtype(value, dtype) for value in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(_in_dtype(value, dtype) for value in batch)
    return batch
