"""Channels: a recorder for each view of one probe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from noise_lens.capture.budget import MODEL, STATE, memory_budget
from noise_lens.capture.groups import Group
from noise_lens.capture.layout import Layout
from noise_lens.capture.published import PublishedEstimator
from noise_lens.capture.recorder import Recorder
from noise_lens.capture.reference import ExactReference, Reference
from noise_lens.capture.sketch import GroupSketch
from noise_lens.capture.views.trajectory import Trajectory
from noise_lens.capture.views.view import Vector, View
from noise_lens.errors import CaptureError

FEWEST_ROWS = 2


@dataclass
class Channel:
    """Rows of one view.

    Attributes
    ----------
    recorder : Recorder
        Makes them.
    n_rows : int
        How many there will be.
    estimator : PublishedEstimator or None
        Is given the same noise.
    """

    recorder: Recorder
    n_rows: int
    estimator: PublishedEstimator | None = None

    def update(self, vector: Vector) -> None:
        """Add a vector."""
        self.recorder.update(vector)

    def finish(
        self, groups: tuple[Group, ...], positions: list[NDArray[np.int64]], n_projections: int
    ) -> tuple[GroupSketch, ...]:
        """Return the sketches; see :meth:`Recorder.finish`."""
        return self.recorder.finish(groups, positions, n_projections)

    @property
    def published(self) -> tuple[float, int] | None:
        """The literature's estimate and its block size, where they were asked for."""
        if self.estimator is None:
            return None
        alpha = self.estimator.compute()
        return None if alpha is None else (alpha, self.estimator.block_size)


@dataclass(frozen=True)
class ChannelPlan:
    """What the channels of a probe share.

    Attributes
    ----------
    layout : Layout
        Of the gradients.
    device : torch.device
        Where they lie.
    positions : ndarray of shape (d,)
        Places in the layout of all groups' coordinates.
    seed : int
        Of the signs.
    reference : {"full", "pair", "mean"}
        What is subtracted.
    n_minibatches : int
        That this process takes.
    block_sums : bool
        Whether the gradient view keeps sums of gradients.
    published : bool
        Whether the gradient view is also read by the literature's estimator.
    """

    layout: Layout
    device: torch.device
    positions: NDArray[np.int64]
    seed: int
    reference: Reference
    n_minibatches: int
    block_sums: bool
    published: bool

    def n_rows(self, view: View | Trajectory) -> int:
        """Return the rows of a view.

        Parameters
        ----------
        view : View or Trajectory
            With its window.

        Returns
        -------
        int
            Whole windows; with "pair" two a row.

        Raises
        ------
        CaptureError
            There would be fewer than two.
        """
        a_row = view.window * (2 if self._reference_of(view) == "pair" else 1)
        n = self.n_minibatches // a_row
        if n < FEWEST_ROWS:
            why = "" if view.beta is None else f" (beta {view.beta:g}: windows of {view.window})"
            raise CaptureError(
                f"a row of the view {view.name!r} takes {a_row} minibatches{why}, and "
                f"{self.n_minibatches} give {n}. Ask for at least "
                f"{20 * a_row} for an estimate, {200 * a_row} for a verdict."
            )
        return n

    def budget(self, views: Sequence[View | Trajectory], gradient_bytes: int) -> dict[str, int]:
        """Return the bytes that the probe will allocate; see :func:`memory_budget`.

        Parameters
        ----------
        views : sequence of View or Trajectory
            All of them.
        gradient_bytes : int
            Of one minibatch gradient.

        Returns
        -------
        dict of str to int
            Lines of views after the first name the view.
        """
        lines: dict[str, int] = {}
        for index, view in enumerate(views):
            reference = self._reference_of(view)
            own = memory_budget(
                self.layout,
                n_rows=self.n_rows(view),
                n_coordinates=len(self.positions),
                reference=reference,
                block_sums=self._keeps_sums(view),
                gradient_bytes=gradient_bytes if view.vector_bytes is None else view.vector_bytes,
                device=self.device,
            )
            own.pop(f"{STATE}: losses")
            if index and self.device.type == "cpu":
                own.pop(f"{STATE}: sign bank")  # where it was made, all read the same
            # One full gradient for all views; what moves has noise already.
            if reference == "full" and (index or isinstance(view, Trajectory)):
                own.pop(f"{MODEL}: full gradient (8 bytes a parameter)")
            if index:
                own = {
                    name.replace(": ", f": {view.name} view, ", 1): size
                    for name, size in own.items()
                }
            lines |= own
            if view.state_bytes:
                lines[f"{MODEL}: {view.name} view, what it holds"] = view.state_bytes
        lines[f"{STATE}: losses"] = 8 * self.n_minibatches
        return lines

    def open(
        self,
        views: Sequence[View],
        references: Mapping[str, ExactReference | None],
        moving: Trajectory | None,
    ) -> dict[str, Channel]:
        """Allocate the recorders.

        Parameters
        ----------
        views : sequence of View
            Of frozen weights.
        references : mapping of str to ExactReference or None
            What to subtract, by view.
        moving : Trajectory or None
            Has noise already.

        Returns
        -------
        dict of str to Channel
            By view.

        Raises
        ------
        CaptureError
            There is not so much memory.
        """
        try:
            channels = {view.name: self._channel(view, references.get(view.name)) for view in views}
            if moving is not None:
                channels[moving.name] = self._channel(moving, None)
        except (RuntimeError, MemoryError) as error:
            needed = sum(self.budget([*views, *([moving] if moving else [])], 0).values())
            raise CaptureError(
                f"the probe needs {needed / 1e9:.1f} GB beside the model and a gradient, and the "
                "device or the host cannot give it. Measure with block_sums=False, fewer "
                "minibatches, fewer groups, or fewer views."
            ) from error
        return channels

    def _channel(self, view: View | Trajectory, exact: ExactReference | None) -> Channel:
        n_rows = self.n_rows(view)
        estimator = None
        if self.published and view.name == "gradient":
            n_parameters = int(self.layout.numels.sum())
            estimator = PublishedEstimator(n_rows, n_parameters, self.device)
        recorder = Recorder(
            self.layout, self.device, exact, self.positions, n_rows, self.seed,
            self._reference_of(view), self._keeps_sums(view), estimator,
        )  # fmt: skip
        return Channel(recorder, n_rows, estimator)

    def _reference_of(self, view: View | Trajectory) -> Reference:
        return "full" if isinstance(view, Trajectory) else self.reference

    def _keeps_sums(self, view: View | Trajectory) -> bool:
        # The noise scale is a property of gradients.
        return self.block_sums and view.name == "gradient"
