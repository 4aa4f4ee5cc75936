"""Every exception of noise-lens.

::

    NoiseLensError                  catch this to catch all of them
    ├── NotEnoughDataError          (ValueError)  too few samples for the method
    ├── SamplesError                (ValueError)  the array cannot be a sample of noise
    ├── TaskError                   (ValueError)  a task string or task object is wrong
    ├── CaptureError                (ValueError)  gradients cannot be captured as asked
    │   └── DivergedError                         the loss is not a finite number
    ├── CheckpointError             (ValueError)  a checkpoint cannot be read, or is another model's
    └── RunFolderError              (ValueError)  a folder is not a run, or cannot be written

Each message says what was asked, what came, and what to do.
"""

from __future__ import annotations

__all__ = [
    "CaptureError",
    "CheckpointError",
    "DivergedError",
    "NoiseLensError",
    "NotEnoughDataError",
    "RunFolderError",
    "SamplesError",
    "TaskError",
]


class NoiseLensError(Exception):
    """The base of every error that noise-lens raises on purpose."""


class NotEnoughDataError(NoiseLensError, ValueError):
    """Too few usable samples for the method that was asked for."""

    def __init__(self, method: str, *, n: int, needed: int, what: str = "non-zero samples") -> None:
        self.method, self.n, self.needed = method, n, needed
        super().__init__(
            f"{method} needs at least {needed} {what}, got {n}. "
            "Measure more minibatches, or pool parameters into larger groups."
        )


class SamplesError(NoiseLensError, ValueError):
    """The array cannot be a sample of noise: text, complex, NaN, constant, empty."""


class TaskError(NoiseLensError, ValueError):
    """A task string cannot be followed to a task, or the task is incomplete."""


class CaptureError(NoiseLensError, ValueError):
    """The gradients of this model, loss and data cannot be captured as asked."""


class DivergedError(CaptureError):
    """The loss is not a finite number: the model has diverged, or the data is broken."""


class CheckpointError(NoiseLensError, ValueError):
    """A checkpoint cannot be read safely, or does not fit the model."""


class RunFolderError(NoiseLensError, ValueError):
    """A folder is not a run folder, is from another schema, or cannot be written."""
