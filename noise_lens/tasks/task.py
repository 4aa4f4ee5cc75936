"""The task: what is trained and measured, and how a string names it."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from noise_lens.errors import TaskError

Data = Dataset[Any] | DataLoader[Any] | Iterable[Any]
Metric = Callable[[nn.Module, Any], torch.Tensor]

BUILT_IN = {
    "digits-mlp": "noise_lens.tasks.digits:digits_mlp",
    "digits-cnn": "noise_lens.tasks.digits:digits_cnn",
    "linear-regression": "noise_lens.tasks.regression:linear_regression",
    "mnist-fc": "noise_lens.tasks.vision:mnist_fc",
    "cifar10-fc": "noise_lens.tasks.vision:cifar10_fc",
    "cifar10-alexnet": "noise_lens.tasks.vision:cifar10_alexnet",
    "cifar10-vgg16": "noise_lens.tasks.vision:cifar10_vgg16",
    "cifar10-resnet18": "noise_lens.tasks.vision:cifar10_resnet18",
    "text-lstm": "noise_lens.tasks.text:text_lstm",
    "text-transformer": "noise_lens.tasks.text:text_transformer",
}
"""Names of the tasks that need no code of the user's -> their import strings."""


@dataclass(frozen=True)
class Task:
    """A model, its loss and its data.

    Attributes
    ----------
    model : callable or torch.nn.Module
        A factory without arguments, called anew for every run with torch seeded, or a built
        module, which is used as it is.
    loss : callable
        ``loss(model, batch)`` -> mean loss over the minibatch, a scalar tensor.
    data : Dataset or DataLoader or iterable
        A map-style dataset is sampled i.i.d. with replacement; a loader around one lends its
        dataset and its collate function; any other iterable is taken as it comes.
    test_data : Dataset or DataLoader or iterable, optional
        For the metrics.
    metrics : mapping of str to callable, optional
        Name -> ``metric(model, batch)`` -> mean over the minibatch. ``loss`` is always there.
    name : str
        For tables and reports.
    arguments : mapping
        What :func:`load_task` called the task's callable with, and what the callable adds, such as
        the digest of its data; runs with others are others.

    Raises
    ------
    TaskError
        A part is of the wrong kind.
    """

    model: Callable[[], nn.Module] | nn.Module
    loss: Callable[[nn.Module, Any], torch.Tensor]
    data: Data
    test_data: Data | None = field(default=None, kw_only=True)
    metrics: Mapping[str, Metric] | None = field(default=None, kw_only=True)
    name: str = field(kw_only=True)
    arguments: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        if not callable(self.model):
            raise TaskError(
                f"the task {self.name!r} needs a model factory or module, got "
                f"{type(self.model).__name__}"
            )
        if not callable(self.loss):
            raise TaskError(
                f"the task {self.name!r} needs loss(model, batch), got {type(self.loss).__name__}"
            )
        if not (hasattr(self.data, "__getitem__") or isinstance(self.data, Iterable)):
            raise TaskError(
                f"the task {self.name!r} needs a Dataset or DataLoader as data, got "
                f"{type(self.data).__name__}"
            )

    def build_model(self, seed: int) -> nn.Module:
        """Return the model with the initial weights of `seed`.

        Parameters
        ----------
        seed : int
            Seeds torch while a factory runs; the global state is put back.

        Returns
        -------
        torch.nn.Module
            New from a factory, or the task's own module.

        Raises
        ------
        TaskError
            The factory returned something else.
        """
        if isinstance(self.model, nn.Module):
            return self.model
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = self.model()
        if not isinstance(model, nn.Module):
            raise TaskError(
                f"the model factory of task {self.name!r} returned {type(model).__name__}, "
                "not a torch.nn.Module"
            )
        return model


def load_task(name: str, arguments: Mapping[str, Any] | None = None) -> Task:
    """Return the task that a string names.

    Parameters
    ----------
    name : str
        A built-in name, or ``pkg.module:callable``; the current folder is on the path. The
        callable is called with `arguments` and returns a :class:`Task`.
    arguments : mapping, optional
        Keyword arguments.

    Returns
    -------
    Task
        Ready to be measured.

    Raises
    ------
    TaskError
        The string has no colon, the module or the name is not there, the import or the call
        raises, or the result is no Task.
    """
    path = BUILT_IN.get(name, name)
    module_name, colon, attribute = path.partition(":")
    if not (colon and module_name and attribute):
        raise TaskError(
            f"a task is one of {', '.join(BUILT_IN)}, or 'pkg.module:callable'; got {name!r}"
        )
    if "/" in module_name or module_name.endswith(".py"):
        dotted = module_name.removesuffix(".py").strip("./").replace("/", ".")
        raise TaskError(
            f"a task names a module, not a file; for {name!r} run from the folder above the module "
            f"and write {dotted}:{attribute}"
        )
    factory = _attribute(_module(module_name), attribute, name)
    if isinstance(factory, Task) and not arguments:
        return factory
    if not callable(factory):
        raise TaskError(
            f"{name} is a {type(factory).__name__}; a task string names a callable that returns "
            "a noise_lens.Task"
        )
    try:
        task = factory(**(arguments or {}))
    except TaskError:
        raise
    except Exception as error:
        raise TaskError(f"calling {name} raised {type(error).__name__}: {error}") from error
    if not isinstance(task, Task):
        raise TaskError(f"{name} returned {type(task).__name__}, not a noise_lens.Task")
    return replace(task, arguments={**task.arguments, **(arguments or {})})


def parse_task_arguments(pairs: Iterable[str]) -> dict[str, Any]:
    """Turn ``key=value`` strings into keyword arguments.

    Parameters
    ----------
    pairs : iterable of str
        Values that read as Python literals become numbers, lists, booleans; others stay text.

    Returns
    -------
    dict
        Keyword arguments.

    Raises
    ------
    TaskError
        A pair has no ``=``.

    Examples
    --------
    >>> parse_task_arguments(["hidden=[8, 8]", "name=mine"])
    {'hidden': [8, 8], 'name': 'mine'}
    """
    arguments: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (equals and key.isidentifier()):
            raise TaskError(f"a task argument is key=value, got {pair!r}")
        try:
            arguments[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError, TypeError):
            arguments[key] = value
    return arguments


def _module(name: str) -> Any:
    folder = str(Path.cwd())
    # Not for our own tasks: what lies in the folder must not stand in for a library.
    if folder not in sys.path and not name.startswith("noise_lens."):
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            raise TaskError(
                f"there is no module {missing!r} on the path, on which the current folder stands. "
                "Run from the folder that holds it, or install it."
            ) from error
        raise TaskError(
            f"importing {name} failed inside the module: it needs {missing!r}, which is not "
            "installed"
        ) from error
    except Exception as error:
        raise TaskError(
            f"importing {name} failed inside the module: {type(error).__name__}: {error}"
        ) from error


def _attribute(module: Any, path: str, task: str) -> Any:
    found = module
    for part in path.split("."):
        if not hasattr(found, part):
            names = [n for n in vars(found) if not n.startswith("_")] if found is module else []
            shown = f"; it has {', '.join(sorted(names)[:8])}" if names else ""
            raise TaskError(f"{module.__name__} has no {path!r} (task {task!r}){shown}")
        found = getattr(found, part)
    return found
