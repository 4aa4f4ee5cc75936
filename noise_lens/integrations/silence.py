"""Call a training step for its loss alone: what else it does is undone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

_OF_EVERY_MODULE = frozenset(nn.Module().__dict__)
_LARGEST_TENSOR = 65_536
"""Elements of a plain tensor attribute that is copied: a metric's state, not a memory bank."""


class _Nothing:
    """Stands for a logger and whatever hangs on it: every call is taken, none does anything."""

    def __getattr__(self, name: str) -> _Nothing:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_: Any, **__: Any) -> _Nothing:
        return self


@contextmanager
def silent(model: nn.Module, trainer: Any) -> Iterator[None]:
    """Run a training step so that it leaves no trace in the modules or the loggers.

    ``self.log`` and ``self.log_dict`` do nothing and loggers are deaf. Afterwards attributes of
    the modules are what they were: numbers and other references; the content of lists, dicts,
    sets and deques, one level deep; tensors that are no buffers, up to 65,536 elements (states
    of torchmetrics, running averages). Parameters and buffers are the probe's own care.

    Parameters
    ----------
    model : torch.nn.Module
        A LightningModule.
    trainer : Any
        Its trainer.

    Yields
    ------
    None
        In between.
    """
    loggers = list(trainer.loggers)
    with ExitStack() as stack:
        for module in model.modules():
            if not type(module).__module__.startswith("torch."):
                stack.callback(_restorer(module))
        for module in model.modules():
            for name in ("log", "log_dict"):
                if callable(getattr(type(module), name, None)):
                    module.__dict__[name] = _Nothing()
        trainer.loggers = [_Nothing() for _ in loggers]
        try:
            yield
        finally:
            trainer.loggers = loggers


def _restorer(module: nn.Module) -> Callable[[], None]:
    """Return a function that puts the module's own attributes back."""
    saved = {k: v for k, v in module.__dict__.items() if k not in _OF_EVERY_MODULE}
    undo = [undone for value in saved.values() if (undone := _undo(value)) is not None]

    def restore() -> None:
        own = module.__dict__
        for name in [k for k in own if k not in _OF_EVERY_MODULE and k not in saved]:
            del own[name]
        own.update(saved)
        for one in undo:
            one()

    return restore


def _undo(value: Any) -> Callable[[], None] | None:
    """Return a function that restores what is inside a container or a small tensor."""
    if isinstance(value, torch.Tensor):
        return _undo_tensor(value)
    if isinstance(value, dict):
        return _undo_content(value, list(value.items()), value.update)
    if isinstance(value, set):
        return _undo_content(value, list(value), value.update)
    if isinstance(value, list | deque):
        return _undo_content(value, list(value), value.extend)
    return None


def _undo_content(
    container: Any, before: list[Any], fill: Callable[[Any], None]
) -> Callable[[], None]:
    def undo() -> None:
        container.clear()
        fill(before)

    return undo


def _undo_tensor(tensor: torch.Tensor) -> Callable[[], None] | None:
    if tensor.numel() > _LARGEST_TENSOR or tensor.is_inference():
        return None
    before, version = tensor.detach().clone(), tensor._version

    def undo() -> None:
        if tensor._version != version:
            tensor.data.copy_(before)

    return undo
