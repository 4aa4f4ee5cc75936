"""Tasks: a model, its loss and its data, and the strings that name them."""

from noise_lens.tasks.checkpoint import load_checkpoint
from noise_lens.tasks.classification import class_frequencies
from noise_lens.tasks.sampling import MapMinibatches, StreamMinibatches, minibatches_of
from noise_lens.tasks.task import BUILT_IN, Task, load_task

__all__ = [
    "BUILT_IN",
    "MapMinibatches",
    "StreamMinibatches",
    "Task",
    "class_frequencies",
    "load_checkpoint",
    "load_task",
    "minibatches_of",
]
