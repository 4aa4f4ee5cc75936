"""Leave training exactly as it was: buffers, modes and every random state, bit for bit."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from torch import nn

from noise_lens.errors import CaptureError

Mode = Literal["train", "eval"]

_probing = 0


def is_probing() -> bool:
    """Return whether a probe is running in this process: its passes are none of training's."""
    return _probing > 0


@contextmanager
def preserved(model: nn.Module, mode: Mode | Mapping[str, bool], seed: int) -> Iterator[None]:
    """Run a block with the model in `mode` and randomness from `seed`, then put all back.

    Weights and ``.grad`` are not saved because a probe does not write them: it reads gradients
    through ``torch.autograd.grad``. Buffers (BatchNorm's statistics), training flags and the
    random states of Python, NumPy, torch and CUDA are restored, also after an error. Tensor hooks
    of the parameters rest inside the block: they belong to training, and may clip.

    Parameters
    ----------
    model : torch.nn.Module
        The model.
    mode : {"train", "eval"} or mapping of str to bool
        For all modules, or the training flag of each module by name.
    seed : int
        Seeds the global generators inside the block: dropout and augmentation are repeatable.

    Yields
    ------
    None
        With gradients enabled.

    Raises
    ------
    CaptureError
        `mode` is not one of those.
    """
    if isinstance(mode, str) and mode not in ("train", "eval"):
        raise CaptureError(f"mode must be 'train' or 'eval', got {mode!r}")
    global _probing  # noqa: PLW0603
    hooks = [p._backward_hooks for p in model.parameters() if p._backward_hooks]
    hooks_saved = [dict(own) for own in hooks]
    names = [(module, set(module._buffers)) for module in model.modules()]
    flags = {name: module.training for name, module in model.named_modules()}
    buffers = [
        (module, key, buffer, None if buffer is None else buffer.detach().clone())
        for module in model.modules()
        for key, buffer in module._buffers.items()
    ]
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - user code may draw from it
    torch_state = torch.get_rng_state()
    cuda = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda_states = torch.cuda.get_rng_state_all() if cuda else None
    _probing += 1
    try:
        _set_mode(model, {"train": True, "eval": False}[mode] if isinstance(mode, str) else mode)
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        for own in hooks:
            own.clear()
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        _probing -= 1
        _set_mode(model, flags)
        for own, saved_hooks in zip(hooks, hooks_saved, strict=True):
            own.update(saved_hooks)
        for module, known in names:
            for key in set(module._buffers) - known:
                del module._buffers[key]
        for module, key, buffer, saved in buffers:
            module._buffers[key] = buffer
            if buffer is not None and saved is not None:
                # .data: a version bump would fail a backward pass that still waits.
                buffer.data.copy_(saved)
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.set_rng_state(torch_state)
        if cuda_states is not None:
            torch.cuda.set_rng_state_all(cuda_states)


def _set_mode(model: nn.Module, mode: bool | Mapping[str, bool]) -> None:
    for name, module in model.named_modules():
        # Not module.train(): models override it, and it walks into children.
        module.training = mode if isinstance(mode, bool) else mode.get(name, module.training)
