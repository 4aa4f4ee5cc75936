"""Probes of a model under ``fully_shard``: rows are shards of the mean gradient of all ranks.

Sharded parameters are not in the graph, so ``torch.autograd.grad`` cannot be asked for them. A
minibatch gradient is taken as training takes its own: by ``backward()``, which leaves this rank's
shard of the mean over ranks in ``.grad``. All that training has there is put aside before.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed, nn

from noise_lens.capture.gradients import Loss, MinibatchGradients, trainable_parameters
from noise_lens.capture.layout import Layout
from noise_lens.capture.ranks import Ranks
from noise_lens.capture.reference import Minibatches
from noise_lens.capture.sketch import LARGEST_INDEXED_BATCH
from noise_lens.errors import CaptureError, DivergedError

_REMEDY = "Save checkpoints and run `noise-lens measure` on them; passive capture goes on."
_OF_A_GROUP = {"reduce_grads": True, "all_reduce_grads": True, "reshard_after_backward": True}
_IF_THERE = {"gradient_divide_factor": None, "_partial_reduce_output": None}


SHARDED_FACTS = {
    "split": "shards",
    "capture_point": "backward() at frozen weights, with training's .grad put aside: shards of the "
    "mean gradient over ranks, not clipped, scaled or accumulated",
}
"""What a run folder says where rows are of shards."""


class Shards(NamedTuple):
    """What of each parameter lies here, by name; as for ``build_layout``."""

    shapes: dict[str, torch.Size]
    first: dict[str, int]
    whole: dict[str, int]
    ranks: Ranks


def fsdp_modules(model: nn.Module) -> list[nn.Module]:
    """Return the modules of a model that ``fully_shard`` was applied to.

    Parameters
    ----------
    model : torch.nn.Module
        Any.

    Returns
    -------
    list of torch.nn.Module
        Empty where FSDP2 was never imported: then there can be none.
    """
    kind = getattr(sys.modules.get("torch.distributed.fsdp"), "FSDPModule", None)
    return [] if kind is None else [m for m in model.modules() if isinstance(m, kind)]


def obstacle_to_probes(model: nn.Module) -> CaptureError | None:
    """Return why minibatch gradients at frozen weights cannot be taken, if so.

    Parameters
    ----------
    model : torch.nn.Module
        As training has it.

    Returns
    -------
    CaptureError or None
        With the remedy. None for a model without DTensors, and for one that is sharded over all
        ranks by ``fully_shard`` alone.
    """
    try:
        shards_of(model)
    except CaptureError as error:
        return error
    return None


def shards_of(model: nn.Module) -> Shards | None:
    """Return what of a model lies on this rank.

    Parameters
    ----------
    model : torch.nn.Module
        As training has it; whole parameters that a forward pass left behind are freed.

    Returns
    -------
    Shards or None
        None for a model without DTensors.

    Raises
    ------
    CaptureError
        It is distributed in a way that probes cannot read.
    """
    modules: list[Any] = fsdp_modules(model)
    for module in modules:
        module.reshard()
    parameters = trainable_parameters(model)
    if not modules and not any(map(_is_distributed, parameters.values())):
        return None
    obstacle = (
        "tensor-parallel parameters are sharded by columns, or their gradients are partial sums"
        if not modules
        else _obstacle_in_groups(model) or _obstacle_in(parameters)
    )
    if obstacle is not None:
        raise CaptureError(f"a probe cannot read this model: {obstacle}. {_REMEDY}")
    shapes, first = {}, {}
    for name, parameter in parameters.items():
        shapes[name], first[name] = _shard_of(parameter)
    mesh = next(iter(parameters.values())).device_mesh  # type: ignore[attr-defined]
    return Shards(
        shapes,
        first,
        {name: parameter.numel() for name, parameter in parameters.items()},
        Ranks(_rank_in(mesh), mesh.size()),
    )


def _is_distributed(parameter: torch.Tensor) -> bool:
    return hasattr(parameter, "device_mesh")


def _obstacle_in(parameters: dict[str, nn.Parameter]) -> str | None:
    for name, parameter in parameters.items():
        if not _is_distributed(parameter):
            return f"{name} is left out of fully_shard, so that its gradient is not reduced"
        mesh: Any = parameter.device_mesh  # type: ignore[attr-defined]
        placements: Any = parameter.placements  # type: ignore[attr-defined]
        *outer, inner = placements
        rows = type(inner).__name__ == "Shard" and inner.dim == 0
        if not rows or not all(placement.is_replicate() for placement in outer):
            return f"{name} is placed by {', '.join(map(str, placements))}, not sharded by rows"
        if mesh.size() != distributed.get_world_size():
            return f"{name} is sharded over {mesh.size()} of {distributed.get_world_size()} ranks"
        if mesh.device_type != parameter.device.type:
            return f"{name} is offloaded to {parameter.device}"
    return None


def _obstacle_in_groups(model: nn.Module) -> str | None:
    for group in _groups(model):
        missing = [name for name in _OF_A_GROUP if not hasattr(group, name)]
        if missing or not hasattr(group, "fsdp_params"):
            return f"fully_shard of torch {torch.__version__} is not known to this version"
        if getattr(group, "_all_reduce_hook", None) is not None:
            return "a hook of yours reduces gradients further, over ranks that are not known"
    return None


def shard_shape(parameter: nn.Parameter) -> torch.Size:
    """Return the shape of what a probe reads of a parameter on this rank."""
    return _shard_of(parameter)[0] if _is_distributed(parameter) else parameter.shape


def _shard_of(parameter: nn.Parameter) -> tuple[torch.Size, int]:
    """Return the shape of a shard of rows, and the index of its first element in the whole."""
    mesh: Any = parameter.device_mesh  # type: ignore[attr-defined]
    *outer, inner = mesh.get_coordinate()
    if any(outer):  # a copy: the first replica keeps the rows
        return torch.Size([0]), 0
    n_rows, a_row = parameter.shape[0], parameter.shape[1:].numel()
    length = -(-n_rows // mesh.size(mesh.ndim - 1))
    start = min(inner * length, n_rows)
    shape = torch.Size([min(length, n_rows - start), *parameter.shape[1:]])
    return shape, start * a_row


def _rank_in(mesh: Any) -> int:
    return int(np.ravel_multi_index(tuple(mesh.get_coordinate()), tuple(mesh.mesh.shape)))


def _groups(model: nn.Module) -> list[Any]:
    """Return what FSDP2 keeps of each set of parameters that it reduces together."""
    found: dict[int, Any] = {}
    modules: list[Any] = fsdp_modules(model)
    for module in modules:
        state = module._get_fsdp_state()
        several = getattr(state, "_fsdp_param_groups", None)
        for group in [state._fsdp_param_group] if several is None else several:
            if group is not None:
                found[id(group)] = group
    return list(found.values())


@contextmanager
def training_put_aside(model: nn.Module, shards: Shards | None) -> Iterator[None]:
    """Run a block in which ``backward()`` leaves no trace in training.

    ``.grad`` of shards and what micro-batches without synchronisation have left of whole
    gradients, hooks of parameters (an optimizer inside the backward pass is one), and the
    switches of gradient accumulation are afterwards the same objects again.

    Parameters
    ----------
    model : torch.nn.Module
        Under ``fully_shard``, or any.
    shards : Shards or None
        Of it; None does nothing.

    Yields
    ------
    None
        With no gradient anywhere, and reduction in every backward pass.
    """
    if shards is None:
        yield
        return
    modules: list[Any] = fsdp_modules(model)
    groups = _groups(model)
    saved: list[tuple[Any, str, Any]] = []
    hooks: list[tuple[dict[Any, Any], dict[Any, Any]]] = []

    def put_aside(owner: Any, name: str, value: Any) -> None:
        if hasattr(owner, name):
            saved.append((owner, name, getattr(owner, name)))
            setattr(owner, name, value)

    for group in groups:
        for name, value in (_OF_A_GROUP | _IF_THERE).items():
            put_aside(group, name, value)
        for one in group.fsdp_params:
            put_aside(one, "unsharded_accumulated_grad", None)
            for parameter in (one.sharded_param, getattr(one, "_unsharded_param", None)):
                if parameter is None:
                    continue
                put_aside(parameter, "grad", None)
                for own in (parameter._backward_hooks, parameter._post_accumulate_grad_hooks):
                    if own:
                        hooks.append((own, dict(own)))
                        own.clear()
    for module in modules:
        put_aside(module._get_fsdp_state()._state_ctx, "is_last_backward", True)
    finished = False
    try:
        yield
        finished = True
    finally:
        if not finished and hasattr(modules[0], "reset_iter_state"):
            modules[0].reset_iter_state()  # an error may have come in the middle of a pass
        for module in modules:
            module.reshard()
        for owner, name, value in reversed(saved):
            setattr(owner, name, value)
        for own, kept in hooks:
            own.update(kept)


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
            loss.backward()
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
