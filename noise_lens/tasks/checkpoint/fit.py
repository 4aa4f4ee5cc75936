"""Which tensor of a checkpoint is which of a model.

Wrappers put prefixes before names: DataParallel ``module.``, torch.compile ``_orig_mod.``, a
LightningModule the attribute that holds the net, a model with a head the attribute of its body.
A prefix is taken off, or put on, where exactly that makes all names and shapes fit.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from noise_lens.errors import CheckpointError
from noise_lens.tasks.checkpoint.opened import STATE_KEYS, Names, OpenedCheckpoint

_WRAPPERS = re.compile(r"(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")

_FOR_THE_MESSAGE = 8


@dataclass(frozen=True)
class Fit:
    """Where each name of a model lies in a checkpoint.

    Attributes
    ----------
    names : dict of str to str
        Name in the model -> name in the file.
    ties : list of list of str
        Names of the model that are one tensor, such as an embedding and the head's weight.
    """

    names: dict[str, str]
    ties: list[list[str]]


@dataclass(frozen=True)
class _Attempt:
    prefix: str
    names: dict[str, str]
    missing: list[str]
    unexpected: list[str]
    shapes: list[str]

    @property
    def n_problems(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.shapes)

    def distance(self) -> tuple[bool, int, int]:
        """Order what fits first, then what has most names; among those with none, any."""
        return self.n_problems > 0, -len(self.names), self.n_problems if self.names else 0


def fit(opened: OpenedCheckpoint, model: nn.Module) -> Fit:
    """Find every tensor of a model's state dict in a checkpoint.

    Parameters
    ----------
    opened : OpenedCheckpoint
        Names and shapes.
    model : torch.nn.Module
        What they must fit.

    Returns
    -------
    Fit
        Complete: what a file leaves out because it is tied stands under the name it is tied to.

    Raises
    ------
    CheckpointError
        Something is missing, unexpected or of another shape, or two parts of it would fit.
    """
    own = _Own(model)
    attempts: list[_Attempt] = []
    for where, names in _large_enough(opened.state_dicts, own.n_tensors):
        plain = _without_wrappers(names)
        for prefix, chosen, unexpected in _candidates(plain, own.names, opened.part_of_more):
            attempts.append(own.attempt(where + prefix, chosen, unexpected, opened.shapes))
    best = min(attempts, key=_Attempt.distance)  # the first of equals
    if best.n_problems:
        raise CheckpointError(
            f"the checkpoint {opened.path} does not fit the task's model {type(model).__name__}; "
            f"{_problems(best)}. Name the task that it was trained on, with its arguments."
        )
    return Fit(_only(attempts, opened).names, own.ties)


class _Own:
    """The names, shapes and ties of a model."""

    def __init__(self, model: nn.Module) -> None:
        state = model.state_dict()
        self.names = _without_wrappers({name: name for name in state})
        self.shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        self.ties = _ties(state)
        self.n_tensors = len(state) - sum(len(tie) - 1 for tie in self.ties)
        self._tied_to = {name: tie for tie in self.ties for name in tie}
        # What transformers' models say of buffers that older files of theirs still hold.
        self._ignored = [
            re.compile(pattern)
            for module in model.modules()
            for pattern in getattr(module, "_keys_to_ignore_on_load_unexpected", None) or ()
        ]

    def attempt(
        self,
        prefix: str,
        there: Names,
        unexpected: Sequence[str],
        shapes: Mapping[str, tuple[int, ...]],
    ) -> _Attempt:
        found = {own: there[plain] for plain, own in self.names.items() if plain in there}
        for name, tie in self._tied_to.items():
            present = next((other for other in tie if other in found), None)
            if name not in found and present is not None:
                found[name] = found[present]
        unexpected = [
            name
            for name in (*unexpected, *(name for name in there if name not in self.names))
            if not any(pattern.search(name) for pattern in self._ignored)
        ]
        return _Attempt(
            prefix,
            found,
            missing=[own for own in self.names.values() if own not in found],
            unexpected=unexpected,
            shapes=[
                f"{own} {shapes[name]} for {self.shapes[own]}"
                for own, name in found.items()
                if shapes[name] != self.shapes[own]
            ],
        )


def _large_enough(found: Mapping[str, Names], n_tensors: int) -> Iterator[tuple[str, Names]]:
    """Leave out what is too small to fit, such as an optimizer's dict for each parameter."""
    largest = sorted(found, key=lambda where: -len(found[where]))[:_FOR_THE_MESSAGE]
    for where, names in found.items():
        if len(names) >= n_tensors or where in largest:
            yield where, names


def _candidates(
    there: Names, own: Names, part_of_more: bool
) -> Iterator[tuple[str, Names, list[str]]]:
    """Yield (prefix, names without or with it, names that do not have it)."""
    yield "", there, []
    for prefix in _likeliest(prefix for name in there for prefix in _before(name, own)):
        inside = {n.removeprefix(prefix): f for n, f in there.items() if n.startswith(prefix)}
        outside = [name for name in there if not name.startswith(prefix)]
        # One attribute of a larger whole may be the model; a layer inside of a net is not.
        others_belong_to_the_whole = part_of_more and prefix.count(".") == 1
        yield prefix, inside, [] if others_belong_to_the_whole else outside
    for prefix in _likeliest(prefix for name in own for prefix in _before(name, there)):
        yield prefix, {prefix + name: file for name, file in there.items()}, []


def _before(name: str, others: Names) -> Iterator[str]:
    """Yield what stands before one of `others` in `name`: of a.b.c, "a." where b.c is one."""
    for dot in re.finditer(r"\.", name):
        if name[dot.end() :] in others:
            yield name[: dot.end()]


def _likeliest(prefixes: Iterable[str]) -> list[str]:
    """Return the few prefixes that most names have: any that fits is among them."""
    return [prefix for prefix, _ in Counter(sorted(prefixes)).most_common(4)]


def _only(attempts: Sequence[_Attempt], opened: OpenedCheckpoint) -> _Attempt:
    fitting = [attempt for attempt in attempts if not attempt.n_problems]
    unlike = [
        one
        for index, one in enumerate(fitting)
        if not any(one.names == before.names for before in fitting[:index])
    ]
    exact = [one for one in unlike if not one.prefix]
    if len(unlike) == 1 or exact:
        return (exact or unlike)[0]
    if not opened.part_of_more:  # the usual key of a state dict goes before an unusual one
        for key in STATE_KEYS:
            usual = [one for one in unlike if key in one.prefix.split(".")]
            if len(usual) == 1:
                return usual[0]
    places = " and ".join(repr(one.prefix) for one in unlike[:4])
    raise CheckpointError(
        f"the checkpoint {opened.path} holds the task's model {len(unlike)} times, under {places}. "
        "Save the state dict of the one that is to be measured, and measure that file."
    )


def _without_wrappers(names: Names) -> dict[str, str]:
    plain = {_WRAPPERS.sub("", name): value for name, value in names.items()}
    return plain if len(plain) == len(names) else dict(names)


def _ties(state: Mapping[str, torch.Tensor]) -> list[list[str]]:
    """Names that share all of their storage."""
    places: dict[tuple[object, ...], list[str]] = {}
    for name, tensor in state.items():
        if tensor.numel() and not tensor.is_meta:
            place = (tensor.data_ptr(), tensor.device, tensor.shape, tensor.stride(), tensor.dtype)
            places.setdefault(place, []).append(name)
    return [names for names in places.values() if len(names) > 1]


def _problems(attempt: _Attempt) -> str:
    said = []
    for label, names in (
        ("missing", attempt.missing),
        ("unexpected", attempt.unexpected),
        ("of another shape", attempt.shapes),
    ):
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            said.append(f"{label}: {', '.join(names[:5])}{more}")
    return "; ".join(said)
