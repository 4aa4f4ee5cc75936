"""Where the gradients of a model are seen on this rank, and how much of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from noise_lens.capture.passive.fsdp import UnshardedHooks
from noise_lens.capture.passive.picks import Pick
from noise_lens.capture.passive.shards import (
    IndexPick,
    box_of,
    copies_elsewhere,
    is_distributed,
    local_pick,
    nothing_of,
    stretch_of,
    whole_shape,
)
from noise_lens.capture.sharded import fsdp_modules
from noise_lens.errors import CaptureError

Hook = Callable[[torch.Tensor], None]


class Taps:
    """Tensor hooks, on what carries the gradient: parameters, or what FSDP2 puts in their place.

    Parameters
    ----------
    parameters : mapping of str to Parameter
        What is watched.
    model : torch.nn.Module, optional
        That they belong to; needed to tell parameters under ``fully_shard``.
    reduced : bool
        See the shards that ``fully_shard`` reduces to instead of whole gradients: for a version
        that does not register whole parameters.

    Raises
    ------
    CaptureError
        Parameters are distributed in a way that cannot be read.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        model: nn.Module | None = None,
        *,
        reduced: bool = False,
    ) -> None:
        self._parameters, self._model, self.reduced = parameters, model, reduced
        modules = [] if model is None else fsdp_modules(model)
        inside = {id(p) for module in modules for p in module.parameters() if is_distributed(p)}
        self._sharded = {name for name, p in parameters.items() if id(p) in inside}
        for name in self._sharded:
            _check_sharded(name, parameters[name])
        others = [p for name, p in parameters.items() if name not in self._sharded]
        self._tensor_parallel = any(map(is_distributed, others))
        self._elsewhere = copies_elsewhere(others)
        self._unsharded: UnshardedHooks | None = None

    @property
    def device(self) -> torch.device:
        """Where gradients are computed; offloaded shards lie elsewhere."""
        parameter = next(iter(self._parameters.values()))
        if not is_distributed(parameter):
            return parameter.device
        kind = parameter.device_mesh.device_type  # type: ignore[attr-defined]
        if kind == parameter.device.type:
            return parameter.device
        return torch.device(kind, torch.cuda.current_device())

    @property
    def at_once(self) -> bool:
        """Whether training may write into gradients inside the backward pass."""
        return self.reduced or any(p._post_accumulate_grad_hooks for p in self._parameters.values())

    @property
    def sees_nothing(self) -> bool:
        """Whether no whole parameter has come to light in place of any shard."""
        hooks = self._unsharded
        return hooks is not None and hooks.looked and hooks.n_found == 0

    @property
    def facts(self) -> dict[str, Any]:
        """What the run folder says of the point of capture, where it is not the ordinary one."""
        if self.reduced:
            sizes = {self._parameters[name].device_mesh.size() for name in self._sharded}  # type: ignore[attr-defined]
            return {
                "point": f"reduced shards (mean over {max(sizes, default=1)} ranks)",
                "accumulated": True,
                "reduced": True,
                "rank_correction": "rows are means over ranks: of this rank's shards only",
            }
        if self._sharded:
            return {
                "point": "tensor hooks on the whole parameters of fully_shard: each micro-batch's "
                "gradient on this rank, before the reduction"
            }
        if self._tensor_parallel:
            return {
                "point": "tensor hooks: this rank's shards of each micro-batch's gradient",
                "rank_correction": "tensor-parallel ranks hold other coordinates of the same "
                "minibatch: they are no independent samples",
            }
        return {}

    def placements(self, name: str) -> Any:
        """Return how the gradient of a parameter has to be placed for its pick to be right."""
        if name in self._sharded and not self.reduced:
            return None
        return getattr(self._parameters[name], "placements", None)

    def pick(self, pick: Pick) -> Pick | IndexPick:
        """Return the coordinates that are seen here, with indices in what is seen.

        Parameters
        ----------
        pick : Pick
            With indices in the whole tensor.

        Returns
        -------
        Pick or IndexPick
            Its count may be 0.
        """
        parameter = self._parameters[pick.name]
        if pick.name in self._sharded and not self.reduced:
            return pick
        if self._elsewhere and not is_distributed(parameter):
            return nothing_of(pick)
        return local_pick(parameter, pick)

    def own(self, name: str) -> slice:
        """Return which elements of a gradient seen here are this rank's to keep sums of.

        Parameters
        ----------
        name : str
            The parameter.

        Returns
        -------
        slice
            Of the flattened gradient: all of what is seen, but of a whole gradient under
            ``fully_shard`` the shard alone, or every rank would keep as much as the model.
        """
        parameter = self._parameters[name]
        box = box_of(parameter)
        if box is None or (self._elsewhere and not is_distributed(parameter)):
            return slice(0, 0)
        if name in self._sharded and not self.reduced:
            stretch = stretch_of(box, whole_shape(parameter))
            return slice(0, 0) if stretch is None else slice(*stretch)
        return slice(0, torch.Size(box.shape).numel())

    def register(self, hooks: Sequence[tuple[str, Hook]]) -> list[Any]:
        """Register hooks.

        Parameters
        ----------
        hooks : sequence of (str, callable)
            Parameters, and what to call with their gradient.

        Returns
        -------
        list
            Handles with ``remove()``.
        """
        handles: list[Any] = []
        waiting = []
        for name, hook in hooks:
            parameter = self._parameters[name]
            if name in self._sharded and not self.reduced:
                waiting.append((parameter, hook))
            elif self.own(name).stop == 0:
                continue  # held by another rank
            elif name in self._sharded:
                register: Any = parameter.register_post_accumulate_grad_hook
                handles.append(register(_with_gradient(hook)))
            else:
                handles.append(parameter.register_hook(hook))  # type: ignore[no-untyped-call]
        if waiting:
            assert self._model is not None
            self._unsharded = UnshardedHooks(self._model, waiting)
            handles.append(self._unsharded)
        return handles


def _with_gradient(hook: Hook) -> Callable[[torch.Tensor], None]:
    def call(parameter: torch.Tensor) -> None:
        if parameter.grad is not None:
            hook(parameter.grad)

    return call


def _check_sharded(name: str, parameter: nn.Parameter) -> None:
    placements: Any = parameter.placements  # type: ignore[attr-defined]
    if not all(placement.is_replicate() for placement in placements[:-1]):
        raise CaptureError(
            f"{name} is placed by {', '.join(map(str, placements))}: fully_shard together with "
            "tensor parallel is not supported. Save checkpoints and run `noise-lens measure` on "
            "them."
        )
