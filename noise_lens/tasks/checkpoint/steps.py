"""At which training step checkpoints were saved."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from noise_lens.errors import CheckpointError
from noise_lens.tasks.checkpoint.opened import OpenedCheckpoint

# Names such as step-000100.pt, epoch=1-step=200.ckpt, checkpoint-500, model_300.safetensors; but
# not the 18 of resnet18.pt, nor a part of 0.5. The likelier of two numbers is looked for first.
_IN_NAMES = {
    r"(?:step|iter|iteration)s?[-_=.]?(\d+)(?![A-Za-z0-9])": "its name",
    r"(?:checkpoint|ckpt)[-_=.]?(\d+)(?![A-Za-z0-9])": "its name",
    r"epochs?[-_=.]?(\d+)(?![A-Za-z0-9])": "the epoch in its name",
    r"(?<![A-Za-z0-9.])(\d+)(?![A-Za-z0-9.])": "its name",
}
_LARGEST = 2**63 - 1  # of a record's column
_GIVE_STEPS = "Say which they are: steps=[...] in Python, --steps 0,100,... for the command."


@dataclass(frozen=True)
class Step:
    """A training step, and who says so.

    Attributes
    ----------
    number : int
        From 0 on.
    source : str
        In words: "its key global_step", "its name", "its position", "the steps given".
    """

    number: int
    source: str


def steps_of(
    checkpoints: Sequence[OpenedCheckpoint], given: Sequence[int] | None = None
) -> list[Step]:
    """Return the training step of each checkpoint.

    Parameters
    ----------
    checkpoints : sequence of OpenedCheckpoint
        At least one.
    given : sequence of int, optional
        The steps, where the caller knows them.

    Returns
    -------
    list of Step
        What a checkpoint says itself; else the number in its name or,
        where all lie in different ones, its folder's; else, where no checkpoint has
        either, its position.

    Raises
    ------
    CheckpointError
        Two are of the same step, some have a step and others none, or `given` does not match.
    """
    paths = [opened.path for opened in checkpoints]
    if given is not None:
        if len(given) != len(paths) or any(not 0 <= n <= _LARGEST for n in given):
            raise CheckpointError(
                f"steps must be {len(paths)} numbers from 0 on, one a checkpoint; got {list(given)}"
            )
        return _different([Step(int(number), "the steps given") for number in given], paths)
    folders_differ = len({path.absolute().parent for path in paths}) == len(paths) > 1
    known = [_own_step(opened, folders_differ) for opened in checkpoints]
    if not any(known):
        return [Step(position, "its position") for position in range(len(paths))]
    without = [path.name for path, step in zip(paths, known, strict=True) if step is None]
    if without:
        # A position beside real steps would draw a wrong order.
        raise CheckpointError(
            f"the checkpoint {without[0]} says no training step, neither inside nor in its name, "
            f"and {len(paths) - len(without)} of {len(paths)} do. {_GIVE_STEPS}"
        )
    return _different([step for step in known if step is not None], paths)


def _own_step(opened: OpenedCheckpoint, folders_differ: bool) -> Step | None:
    if opened.step is not None:
        return Step(opened.step, opened.step_source)
    path = opened.path.absolute()
    names = {"its name": path.name if path.is_dir() else path.stem}
    if folders_differ:  # step-100/model.pt, step-200/model.pt
        names["its folder's name"] = path.parent.name
    for whose, name in names.items():
        for pattern, source in _IN_NAMES.items():
            found = re.findall(pattern, name, re.IGNORECASE)
            if found and int(found[-1]) <= _LARGEST:
                return Step(int(found[-1]), source.replace("its name", whose))
    return None


def _different(steps: list[Step], paths: Sequence[Path]) -> list[Step]:
    twice = [number for number, n in Counter(step.number for step in steps).items() if n > 1]
    if not twice:
        return steps
    same = [
        f"{path.name} ({step.source})"
        for path, step in zip(paths, steps, strict=True)
        if step.number == twice[0]
    ]
    raise CheckpointError(
        f"{len(same)} checkpoints are of training step {twice[0]}: {', '.join(same[:4])}. "
        f"Leave out all but one. Or they are not. {_GIVE_STEPS}"
    )
