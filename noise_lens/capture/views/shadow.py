"""A second copy of an optimizer that steps on weights of its own."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import CellType, FunctionType
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from noise_lens.errors import CaptureError

_Rule = Callable[[torch.Tensor, Any, torch.Tensor | None], torch.dtype]
"""(tensor, its key in a state, the parameter that it belongs to) -> type of its copy."""

_HOOKS = "_hooks"
_STEP = "step"
"""A count in a state; and where a schedule has put its wrapper around an optimizer's method."""


class Shadow:
    """Steps as an optimizer would, on float64 copies, any number of times from the same state.

    The optimizer, its state and its weights are only read. Float64 is there because a step is
    read as the difference of weights after and before: in float32 that difference keeps three
    or four digits of a small step. So it is the step of the rule, before it is rounded to the
    type of the weights.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Any that steps without a closure, also one that holds another. It may overwrite ``.grad``,
        which is a copy too, and keep what it likes in its state, groups and attributes, but for
        functions of its own that step it.
    parameters : sequence of Parameter
        Whose steps to return, in this order.
    dtype : torch.dtype
        Of the copies; None keeps each tensor's own.

    Raises
    ------
    CaptureError
        None of the optimizer's parameters is among `parameters`; it cannot be copied, or a trial
        step of the copy fails; or there is not so much memory.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        parameters: Sequence[nn.Parameter],
        dtype: torch.dtype | None = torch.float64,
    ) -> None:
        self._source, self._name = optimizer, type(optimizer).__name__
        self._held = [p for group in optimizer.param_groups for p in group["params"]]
        known = {id(p) for p in self._held}
        if not any(id(p) in known for p in parameters):
            raise CaptureError(
                f"none of the model's parameters is in the {self._name}: it was made "
                "for another model, or for a copy. Give the optimizer of this model."
            )
        # A step now: what cannot step is refused before any minibatch, and what it holds is seen.
        refused = None
        for rule in _rules(dtype, self._held):
            try:
                self._lay_out(parameters, rule)
                self.step([torch.ones_like(p) for p in parameters])
                break
            except CaptureError as error:
                refused = refused or error
        else:
            raise refused or CaptureError("no rule")
        self._keeps_state = next(_moments(self.optimizer.state), None) is not None
        self.n_bytes = self._held_bytes()
        self.reset()

    def _lay_out(self, parameters: Sequence[nn.Parameter], rule: _Rule) -> None:
        """Copy everything once; later resets only copy values."""
        self._rule = rule
        self._kept: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        """Tensors of the optimizer by id, each with its copy."""
        self._copies: dict[int, nn.Parameter] = {}
        try:
            for p in self._held:
                kind = rule(p, None, p)
                own = nn.Parameter(p.detach().to(kind, copy=True), p.requires_grad)
                self._copies[id(p)], self._kept[id(p)] = own, (p, own)
            self.parameters = [self._copies.get(id(p)) for p in parameters]
            self.reset()
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise CaptureError(
                f"there is no memory for a copy of {self._name}, its weights and its state in "
                "float64, on which its step is tried. Leave the view out."
            ) from error
        except Exception as error:
            raise CaptureError(
                f"a {self._name} cannot be copied ({type(error).__name__}: {error}), "
                "so its step cannot be tried. Give the optimizer that it wraps, if it is a "
                "wrapper; else leave the view out."
            ) from error

    def check_state(self, view: str) -> None:
        """Raise if a step depends on past ones, and the optimizer has taken none.

        Parameters
        ----------
        view : str
            What needs the state.

        Raises
        ------
        CaptureError
            It was not saved.
        """
        if self._keeps_state and not self._has_state:
            raise CaptureError(
                f"the view {view!r} needs the state of {self._name}: its step depends on past "
                "gradients. Give a checkpoint that holds it (under optimizer, "
                "optimizer_state_dict or optimizer_states, or an optimizer.pt beside the weights), "
                "or the optimizer itself (optimizer=)."
            )

    @property
    def _has_state(self) -> bool:
        state = self._source.state
        counts = [own.get(_STEP) for own in state.values() if isinstance(own, dict)]
        numbers = [float(n) for n in counts if n is not None]
        # Some lay their state out before the first step.
        begun = not numbers or any(numbers)
        return begun and next(_moments(state), None) is not None

    def copies(self) -> dict[int, Any]:
        """Return a memo for ``copy.deepcopy``: what it copies then holds these weights."""
        return dict(self._copies)

    @torch.no_grad()
    def reset(self) -> None:
        """Put weights, state, groups and attributes back to those of the optimizer."""
        self.optimizer: Any = None  # what a step made is freed first
        alike: dict[Any, tuple[list[torch.Tensor], list[torch.Tensor]]] = {}
        for source, own in self._kept.values():  # counts may lie on the host: another call
            kind = own.device, own.dtype, source.dtype
            targets, sources = alike.setdefault(kind, ([], []))
            targets.append(own.detach())
            sources.append(source.detach())
        for targets, sources in alike.values():
            torch._foreach_copy_(targets, sources)
        memo: dict[int, Any] = {key: own for key, (_, own) in self._kept.items()}
        self.optimizer = self._optimizer(self._source, memo)

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
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            if parameter is not None and gradient is not None:
                parameter.grad = gradient.detach().to(parameter.dtype, copy=True)
        try:
            with _no_hooks_of_all_optimizers():
                self.optimizer.step()
        except Exception as error:
            first = str(error).splitlines()[0] if str(error) else "no message"
            raise CaptureError(
                f"a step of a copy of {self._name} raised {type(error).__name__}: {first}. "
                "The views 'update' and 'trajectory' need an optimizer that steps without a "
                "closure on a copy of its weights; leave them out for this one."
            ) from error
        finally:
            for held in self._copies.values():
                held.grad = None

    def _optimizer(self, source: torch.optim.Optimizer, memo: dict[int, Any]) -> Any:
        """Return an optimizer over the copies, without hooks and schedules' wrappers."""
        # Not copy.deepcopy: torch's optimizers leave their attributes behind in one.
        found = object.__new__(type(source))
        memo[id(source)] = found
        for key, value in vars(source).items():
            if key.endswith(_HOOKS):
                found.__dict__[key] = OrderedDict()
            elif key != _STEP and getattr(value, "__self__", None) is not source:
                found.__dict__[key] = self._copy(value, memo)
        return found

    def _copy(self, value: Any, memo: dict[int, Any], key: Any = None, owner: Any = None) -> Any:
        if type(value) is int and value in self._copies:
            return id(self._copies[value])  # some keep a state by the id of its parameter
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if id(value) in memo:
            return memo[id(value)]
        if isinstance(value, torch.Tensor):
            found: Any = self._tensor(value, key, owner)
        elif isinstance(value, torch.optim.Optimizer):
            return self._optimizer(value, memo)
        elif isinstance(value, dict):
            found = copy.copy(value)  # keeps the factory of a defaultdict
            found.clear()
            memo[id(value)] = found
            for name, part in value.items():
                whose = name if isinstance(name, torch.Tensor) else owner
                found[self._copy(name, memo)] = self._copy(part, memo, name, whose)
        elif type(value) in (list, tuple, set):
            found = type(value)(self._copy(part, memo, key, owner) for part in value)
        elif isinstance(value, FunctionType) and _reaches_an_optimizer(value):
            raise TypeError(f"{value.__qualname__} would step the optimizer itself")
        else:
            return copy.deepcopy(value, memo)
        memo[id(value)] = found
        return found

    def _tensor(self, value: torch.Tensor, key: Any, owner: Any) -> torch.Tensor:
        """Return a copy that lasts, so that the next reset allocates nothing."""
        own = value.detach().to(self._rule(value, key, owner), copy=True)
        self._kept[id(value)] = value, own
        return own

    def _held_bytes(self) -> int:
        """Bytes of the copies: weights, a gradient and the state, also one that a step made."""
        tensors = {id(own): own for _, own in self._kept.values()}
        tensors |= {id(own): own for own in _tensors(self.optimizer.state)}
        gradients = [own for own in self.parameters if own is not None]
        return sum(t.numel() * t.element_size() for t in [*tensors.values(), *gradients])


def _rules(dtype: torch.dtype | None, held: Sequence[torch.Tensor]) -> list[_Rule]:
    """Return which type the copy of a tensor gets, the likeliest to be stepped with first."""
    # A moment becomes as exact as its weight. What is no moment (a count, a factor, an average
    # in a type of its own) stays as it is, but nothing says which of them a tensor is.
    kinds = {p.dtype for p in held}

    def moments(is_factor: Callable[[torch.Tensor], bool]) -> _Rule:
        def kind(value: torch.Tensor, key: Any, owner: torch.Tensor | None) -> torch.dtype:
            factor = is_factor(value) and (owner is None or value.shape != owner.shape)
            exact = value.is_floating_point() and value.dtype in kinds
            return dtype if dtype and exact and not factor and key != _STEP else value.dtype

        return kind

    def as_they_are(value: torch.Tensor, key: Any, owner: torch.Tensor | None) -> torch.dtype:
        return value.dtype

    if dtype is None:
        return [as_they_are]
    rules = [moments(lambda value: value.numel() <= 1), moments(lambda value: value.dim() == 0)]
    # A step of float32 weights has three digits left in their own type; of shorter ones, none.
    return [*rules, as_they_are] if kinds <= {torch.float32, torch.float64} else rules


def _reaches_an_optimizer(function: FunctionType) -> bool:
    held = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    owners = [*held, *(getattr(one, "__self__", None) for one in held)]
    return any(isinstance(one, torch.optim.Optimizer) for one in owners)


def _is_filled(cell: CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


@contextmanager
def _no_hooks_of_all_optimizers() -> Iterator[None]:
    # Those of one optimizer are not copied; these belong to torch, and are of training.
    hooks: list[dict[int, Any]] = [_global_optimizer_pre_hooks, _global_optimizer_post_hooks]
    saved = [dict(own) for own in hooks]
    for own in hooks:
        own.clear()
    try:
        yield
    finally:
        for own, before in zip(hooks, saved, strict=True):
            own.update(before)


def _moments(state: Any) -> Iterator[torch.Tensor]:
    for own in state.values():
        if isinstance(own, dict):
            yield from _tensors({key: value for key, value in own.items() if key != _STEP})


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
