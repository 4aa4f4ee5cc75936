"""Weights from a checkpoint, without running code that may hide in it.

``files`` opens what a path names, ``fit`` finds the names of a model in it, ``loading`` copies the
weights and ``steps`` says at which training step they were.
"""

from noise_lens.tasks.checkpoint.digest import checkpoint_digest
from noise_lens.tasks.checkpoint.loading import check_checkpoint, load_checkpoint
from noise_lens.tasks.checkpoint.steps import Step, steps_of

__all__ = ["Step", "check_checkpoint", "checkpoint_digest", "load_checkpoint", "steps_of"]
