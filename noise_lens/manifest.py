"""The manifest of a run folder: what was asked, and with which versions."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import torch
from torch import nn

CAPTURE_POINT = "torch.autograd.grad at frozen weights: not clipped, scaled, accumulated or reduced"


def manifest_of(kind: str, settings: Mapping[str, Any], model: nn.Module | None) -> dict[str, Any]:
    """Return the manifest of a run folder.

    Parameters
    ----------
    kind : str
        "measurement", "run", "comparison" or "lens".
    settings : mapping
        What was asked; equal settings may be resumed.
    model : torch.nn.Module, optional
        For its class, size and device.

    Returns
    -------
    dict
        JSON-ready.
    """
    manifest: dict[str, Any] = {
        "kind": kind,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": dict(settings),
        "capture_point": CAPTURE_POINT,
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("noise-lens", "torch", "numpy", "scipy")},
        },
        "threads": torch.get_num_threads(),
    }
    if model is not None:
        parameters = list(model.parameters())
        manifest["model"] = type(model).__name__
        manifest["n_parameters"] = sum(p.numel() for p in parameters)
        device = parameters[0].device if parameters else torch.device("cpu")
        manifest["device"] = (
            torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
        )
    return manifest


def json_ready(value: Any) -> Any:
    """Return `value` as JSON would give it back.

    Parameters
    ----------
    value : Any
        Mappings, sequences, numbers; anything else becomes its text.

    Returns
    -------
    Any
        Plain dicts, lists, numbers and text.
    """
    return json.loads(json.dumps(value, default=str))
