"""Passive capture: a few coordinates of the gradients that training itself computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from noise_lens.capture.coordinates import sample_coordinates
from noise_lens.capture.gradients import trainable_parameters
from noise_lens.capture.groups import build_groups
from noise_lens.capture.layout import build_layout


class PassiveSketch:
    """Gathers fixed coordinates in tensor hooks, which see each micro-batch's own gradient.

    Gradients come before accumulation, clipping and any reduction between ranks, but after a
    loss scale. A full window is copied to the host once; between windows nothing waits for the
    device.

    Parameters
    ----------
    model : torch.nn.Module
        Whose trainable parameters are watched.
    n_coordinates : int
        Coordinates of all parameters together; at least two a tensor are taken.
    window : int
        Rows before they are handed over.
    seed : int
        Of the choice of coordinates.
    on_window : callable
        Called with the rows, an array of shape (window, d).
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        n_coordinates: int,
        window: int,
        seed: int,
        on_window: Callable[[NDArray[np.float32]], None],
    ) -> None:
        parameters = trainable_parameters(model)
        shapes = {name: parameter.shape for name, parameter in parameters.items()}
        groups = build_groups(list(shapes), "all")
        layout = build_layout(shapes, groups)
        positions = sample_coordinates(layout, groups[0], n_coordinates, seed)
        tensor = np.searchsorted(layout.starts, positions, side="right") - 1
        device = next(iter(parameters.values())).device
        self._on_window = on_window
        self._rows = torch.zeros(window, len(positions), device=device)
        self._row = 0
        self._seen = [-1] * len(layout.names)
        self._handles: list[Any] = []
        for index, name in enumerate(layout.names):
            mine = np.flatnonzero(tensor == index)
            if len(mine) == 0:
                continue  # no elements
            inside = torch.from_numpy(positions[mine] - layout.starts[index]).to(device)
            columns = slice(int(mine[0]), int(mine[-1]) + 1)
            hook = self._hook(index, columns, inside)
            register: Callable[..., Any] = parameters[name].register_hook
            self._handles.append(register(hook))

    @property
    def state_bytes(self) -> int:
        """Bytes held on the device."""
        return self._rows.numel() * self._rows.element_size() + self._rows.shape[1] * 8

    def _hook(
        self, index: int, columns: slice, inside: torch.Tensor
    ) -> Callable[[torch.Tensor], None]:
        def keep(gradient: torch.Tensor) -> None:
            if gradient.layout != torch.strided:
                return  # a sparse gradient has no fixed coordinates; its columns stay zero
            if self._seen[index] == self._row:  # a second backward pass before the step
                self.end_row()
            self._seen[index] = self._row
            self._rows[self._row, columns] = gradient.detach().reshape(-1)[inside].float()

        return keep

    def end_row(self) -> None:
        """End a micro-batch's row; hands the window over when it is full."""
        if self._row not in self._seen:
            return
        self._row += 1
        if self._row == len(self._rows):
            self._on_window(self._rows.cpu().numpy().copy())
            self._rows.zero_()
            self._row = 0
        self._seen = [-1] * len(self._seen)

    def remove(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
