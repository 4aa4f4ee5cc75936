"""Where two training runs are compared: after as many steps, as many epochs, or at the same loss.

A matching has places, and says of a run between which of its probed steps a place lies: a list of
(step, share) whose shares add up to 1, or an empty list where the run does not reach the place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from noise_lens.contrasts.trainings import Training
from noise_lens.errors import RunFolderError

Shares = list[tuple[int, float]]


class Matching(Protocol):
    """Where runs are compared."""

    absent: str
    """What is said of an optimizer none of whose runs has a value at a place."""

    def places(self, own: Sequence[Training], other: Sequence[Training]) -> list[float]:
        """Return the places at which to compare an optimizer's runs with the baseline's."""
        ...

    def label(self, place: float) -> float:
        """Return a place as a reader should see it."""
        ...

    def shares(self, training: Training, place: float) -> Shares:
        """Return the steps that a run's value at a place is made of."""
        ...

    def gap(self, training: Training, shares: Shares) -> float:
        """Return how far apart those steps are: the ratio of their training losses, 1 for one."""
        ...


class ByStep:
    """After the same number of steps, with the same number of examples each.

    Parameters
    ----------
    trainings : sequence of Training
        All that are compared.

    Raises
    ------
    RunFolderError
        Their steps are not of the same number of examples.
    """

    absent = "{} was not probed at this step"

    def __init__(self, trainings: Sequence[Training]) -> None:
        sizes = sorted({int(training.settings["batch_size"]) for training in trainings})
        if len(sizes) > 1:
            raise RunFolderError(
                f"steps of {sizes[0]} and of {sizes[-1]} examples are not the same: "
                "match by epoch or by loss."
            )

    def places(self, own: Sequence[Training], other: Sequence[Training]) -> list[float]:
        """Return every step that any run was probed at."""
        return sorted({step for training in (*own, *other) for step in training.steps})

    def label(self, place: float) -> float:
        """Return the step."""
        return int(place)

    def shares(self, training: Training, place: float) -> Shares:
        """Return the step, if the run was probed there."""
        return [(int(place), 1.0)] if place in training.steps else []

    def gap(self, training: Training, shares: Shares) -> float:
        """Return 1: nothing is interpolated."""
        return 1.0


class ByEpoch:
    """After the same number of examples: a place is their number, exact where epochs are not.

    Parameters
    ----------
    trainings : sequence of Training
        All that are compared.

    Raises
    ------
    RunFolderError
        A folder does not say how many examples there are.
    """

    absent = "{} was not probed after so many examples"

    def __init__(self, trainings: Sequence[Training]) -> None:
        for training in trainings:
            if not training.settings.get("n_examples"):
                raise RunFolderError(
                    f"{training.run.folder} does not say how many training examples there were, so "
                    "its steps are no epochs. Match by step or by loss."
                )
        self._n_examples = max((int(t.settings["n_examples"]) for t in trainings), default=1)

    def places(self, own: Sequence[Training], other: Sequence[Training]) -> list[float]:
        """Return every number of examples that any run was probed after."""
        return sorted(
            {
                step * int(training.settings["batch_size"])
                for training in (*own, *other)
                for step in training.steps
            }
        )

    def label(self, place: float) -> float:
        """Return the epoch."""
        return place / self._n_examples

    def shares(self, training: Training, place: float) -> Shares:
        """Return the step, if the run was probed after so many examples."""
        step, rest = divmod(int(place), int(training.settings["batch_size"]))
        return [(step, 1.0)] if not rest and step in training.steps else []

    def gap(self, training: Training, shares: Shares) -> float:
        """Return 1: nothing is interpolated."""
        return 1.0


class ByLoss:
    """At the same training loss, linear in its logarithm between the probed steps around it.

    A loss that is crossed more than once is taken at the last crossing. A loss that a run's probed
    steps do not enclose is not reached: nothing is extrapolated.

    Parameters
    ----------
    trainings : sequence of Training
        All that are compared.

    Raises
    ------
    RunFolderError
        A folder holds no training loss.
    """

    absent = "the probes of {} do not enclose this loss under any seed"

    def __init__(self, trainings: Sequence[Training]) -> None:
        self._losses = {training.name: _losses_of(training) for training in trainings}
        for training in trainings:
            if training.steps and not np.isfinite(self._losses[training.name]).any():
                raise RunFolderError(
                    f"{training.run.folder} holds no training loss above 0 to match by. "
                    "Match by step or by epoch."
                )

    def places(self, own: Sequence[Training], other: Sequence[Training]) -> list[float]:
        """Return losses, the largest first.

        The medians over the optimizer's seeds at each of its probed steps, and the lowest loss
        that every run of both optimizers reached.

        Parameters
        ----------
        own, other : sequence of Training
            The optimizer's and the baseline's.

        Returns
        -------
        list of float
            Above 0.
        """
        at: dict[int, list[float]] = {}
        for training in own:
            for step, loss in zip(training.steps, self._losses[training.name], strict=True):
                at.setdefault(step, []).append(loss)
        found = {float(np.nanmedian(losses)) for losses in at.values() if any(map(_is, losses))}
        reached = [list(filter(_is, self._losses[training.name])) for training in (*own, *other)]
        if reached and all(reached):
            found.add(max(map(min, reached)))
        return sorted(found, reverse=True)

    def label(self, place: float) -> float:
        """Return the loss."""
        return place

    def shares(self, training: Training, place: float) -> Shares:
        """Return the two steps around the last crossing; one where the loss was probed itself."""
        steps, losses = training.steps, self._losses[training.name]
        for last in reversed(range(len(steps))):
            if losses[last] == place:
                return [(steps[last], 1.0)]
            if last and (losses[last - 1] - place) * (losses[last] - place) < 0:
                start, end = math.log(losses[last - 1]), math.log(losses[last])
                share = (math.log(place) - start) / (end - start)
                return [(steps[last - 1], 1 - share), (steps[last], share)]
        return []

    def gap(self, training: Training, shares: Shares) -> float:
        """Return the ratio of the losses of the two steps; 1 where the loss itself was probed."""
        losses = dict(zip(training.steps, self._losses[training.name], strict=True))
        there = [losses[step] for step, _ in shares]
        return max(there) / min(there) if there else 1.0


LARGEST_GAP = 2.0
"""Factor in the loss: between probes further apart the straight line is a guess, and no claim."""

MATCHINGS: dict[str, Callable[[Sequence[Training]], Matching]] = {
    "step": ByStep,
    "epoch": ByEpoch,
    "loss": ByLoss,
}
"""By what two runs can be matched."""


def _losses_of(training: Training) -> list[float]:
    """Return the training loss at each probed step; NaN where it has no logarithm."""
    losses = [own.get("train/loss", math.nan) for own in training.metrics.values()]
    return [loss if _is(loss) else math.nan for loss in losses]


def _is(loss: float) -> bool:
    return math.isfinite(loss) and loss > 0
