"""A second copy of an optimizer that steps on weights of its own."""

from __future__ import annotations

import copy
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from noise_lens.errors import CaptureError

_HOOKS = "_hooks"
_OWN = ("state", "param_groups", "defaults", "step")
"""Made anew; ``step`` stands there where a schedule has wrapped it around its optimizer."""


class Shadow:
    """Steps as an optimizer would, on float64 copies, any number of times from the same state.

    The optimizer, its state and its weights are only read. Float64 is there because a step is
    read as the difference of weights after and before: in float32 that difference keeps three
    or four digits of a small step. So it is the step of the rule, before it is rounded to the
    type of the weights.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Any that steps without a closure and keeps its state in ``state``, ``param_groups`` and
        plain attributes; it may overwrite ``.grad``, which is a copy too.
    parameters : sequence of Parameter
        Whose steps to return, in this order.
    dtype : torch.dtype
        Of the copies; None keeps each parameter's own.

    Raises
    ------
    CaptureError
        None of the optimizer's parameters is among `parameters`, or it cannot be copied.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        parameters: Sequence[nn.Parameter],
        dtype: torch.dtype | None = torch.float64,
    ) -> None:
        self._source = optimizer
        held = [p for group in optimizer.param_groups for p in group["params"]]
        known = {id(p) for p in held}
        if not any(id(p) in known for p in parameters):
            raise CaptureError(
                f"none of the model's parameters is in the {type(optimizer).__name__}: it was made "
                "for another model, or for a copy. Give the optimizer of this model."
            )
        self._copies = {
            id(p): nn.Parameter(p.detach().to(dtype or p.dtype, copy=True), p.requires_grad)
            for p in held
        }
        self._held = held
        self.parameters = [self._copies.get(id(p)) for p in parameters]
        self._dtype = dtype
        try:
            self.optimizer = self._copy()
        except Exception as error:
            raise CaptureError(
                f"a {type(optimizer).__name__} cannot be copied ({type(error).__name__}: {error}), "
                "so its step cannot be tried. Leave the view 'update' out."
            ) from error
        self._kept = {
            id(p): {key: self._converted(key, value) for key, value in own.items()}
            for p, own in optimizer.state.items()
            if isinstance(p, torch.Tensor) and id(p) in self._copies
        }

    def _copy(self) -> torch.optim.Optimizer:
        """Return the optimizer over the copies, without state, hooks and schedules' wrappers."""
        memo: dict[int, Any] = dict(self._copies)
        shadow = object.__new__(type(self._source))
        for key, value in vars(self._source).items():
            if key.endswith(_HOOKS):
                shadow.__dict__[key] = OrderedDict()
            elif key not in _OWN and getattr(value, "__self__", None) is not self._source:
                shadow.__dict__[key] = copy.deepcopy(value, memo)
        shadow.defaults = copy.deepcopy(self._source.defaults)
        shadow.param_groups = [
            {**group, "params": [self._copies[id(p)] for p in group["params"]]}
            for group in self._source.param_groups
        ]
        shadow.state = defaultdict(dict)
        return shadow

    def _converted(self, key: str, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return copy.deepcopy(value)
        # Fused kernels read the step count as float32.
        wider = self._dtype if value.is_floating_point() and key != "step" else None
        return value.detach().to(wider or value.dtype, copy=True)

    def copies(self) -> dict[int, Any]:
        """Return a memo for ``copy.deepcopy``: what it copies then holds these weights."""
        return dict(self._copies)

    @property
    def n_bytes(self) -> int:
        """Bytes of the copies: weights, a gradient and the state."""
        tensors = [*self._copies.values()]
        sizes = [2 * t.numel() * t.element_size() for t in tensors]
        for own in self._kept.values():
            sizes += [v.numel() * v.element_size() for v in own.values() if _is_tensor(v)]
        return sum(sizes)

    @property
    def has_state(self) -> bool:
        """Whether the optimizer holds tensors of state, as after a step that makes them."""
        return any(_holds_moments(own) for own in self._kept.values())

    @property
    def keeps_state(self) -> bool:
        """Whether the copy holds some now, made by its last step."""
        return any(_holds_moments(own) for own in self.optimizer.state.values())

    def reset(self) -> None:
        """Put weights, state, groups and counters back to those of the optimizer."""
        copies = [self._copies[id(p)] for p in self._held]
        torch._foreach_copy_([c.data for c in copies], [p.detach() for p in self._held])
        self.optimizer.state.clear()
        targets, sources = [], []
        for p in self._held:
            kept = self._kept.get(id(p))
            if kept is None:
                continue
            own = {}
            for key, value in kept.items():
                own[key] = value if _is_tensor(value) else copy.deepcopy(value)
                if _is_tensor(value):
                    targets.append(value)
                    sources.append(self._source.state[p][key])
            self.optimizer.state[self._copies[id(p)]] = own
        if targets:
            torch._foreach_copy_(targets, sources)
        for own_group, group in zip(
            self.optimizer.param_groups, self._source.param_groups, strict=True
        ):
            for key, value in group.items():
                if key != "params":
                    own_group[key] = value.clone() if _is_tensor(value) else copy.copy(value)
        for key, value in vars(self._source).items():
            if isinstance(value, bool | int | float | str) and key in vars(self.optimizer):
                self.optimizer.__dict__[key] = value

    def step(self, gradients: Sequence[torch.Tensor | None]) -> None:
        """Take one step on the copies.

        Parameters
        ----------
        gradients : sequence of torch.Tensor or None
            In the order of `parameters`; None leaves a parameter out of the step.

        Raises
        ------
        CaptureError
            The optimizer cannot step on them.
        """
        for held in self._copies.values():
            held.grad = None
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            if parameter is not None and gradient is not None:
                parameter.grad = gradient.detach().to(parameter.dtype, copy=True)
        try:
            self.optimizer.step()
        except Exception as error:
            first = str(error).splitlines()[0] if str(error) else "no message"
            raise CaptureError(
                f"a step of a copy of {type(self._source).__name__} raised "
                f"{type(error).__name__}: {first}. The view 'update' needs an optimizer that steps "
                "without a closure, on float64 weights; leave the view out for this one."
            ) from error


def _holds_moments(own: Mapping[str, Any]) -> bool:
    return any(_is_tensor(value) and key != "step" for key, value in own.items())


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)
