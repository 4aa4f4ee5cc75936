"""Sums and log-histograms of every coordinate of training's gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from noise_lens.capture.groups import Group
from noise_lens.capture.histogram import bins_into, count_into
from noise_lens.estimators import LogHistogram
from noise_lens.estimators.log_histogram import N_BINS

_CHUNK = 65_536  # elements: bins are counted while they are in the cache


class GroupTotals(NamedTuple):
    """What every coordinate of a group showed over a window of micro-batches.

    ``signal`` is the sum over coordinates of the squared mean gradient, ``noise`` of the
    variance, both in the squared unit of the gradient; ``scale_spread`` is the standard
    deviation over coordinates of the logarithm of the noise's standard deviation: where it is
    far from 0, pooled magnitudes look heavy-tailed whatever the noise is. ``histogram`` counts
    the magnitudes of raw gradients, which are not centred; its zeros hold all below 4e-40.
    """

    signal: float
    noise: float
    scale_spread: float
    histogram: LogHistogram


class EveryCoordinate:
    """Sum, sum of squares (8 bytes a parameter) and log-histograms (64 KiB a group).

    Parameters
    ----------
    sizes : mapping of str to int
        Elements that this rank holds of each tensor, in the capture's order.
    groups : sequence of Group
        A tensor is counted in the first group but ``all`` that holds it.
    device : torch.device
        Where gradients are.
    """

    def __init__(
        self, sizes: Mapping[str, int], groups: Sequence[Group], device: torch.device
    ) -> None:
        names = list(sizes)
        own = [group for group in groups if group.name != "all"] or list(groups)
        self._group_of = [
            next((g.name for g in own if name in set(g.parameters)), "all") for name in names
        ]
        self._sums = [torch.zeros(sizes[name], device=device) for name in names]
        self._squares = [torch.zeros_like(one) for one in self._sums]
        self._counts = {
            group: torch.zeros(N_BINS, dtype=torch.int64, device=device)
            for group in dict.fromkeys(self._group_of)
        }
        self._bins = torch.zeros(_CHUNK, dtype=torch.int32, device=device)
        self._n = [0] * len(names)

    @property
    def state_bytes(self) -> int:
        """Bytes on the device."""
        sums = sum(8 * one.numel() for one in self._sums)
        return sums + 8 * N_BINS * len(self._counts) + 4 * _CHUNK

    def update(
        self, gradients: Sequence[tuple[int, torch.Tensor]], scale: torch.Tensor | None
    ) -> None:
        """Add gradients; only queues work on a device.

        Parameters
        ----------
        gradients : sequence of (int, torch.Tensor)
            Number of the tensor, and its gradient.
        scale : torch.Tensor, optional
            Divided out; a gradient that overflowed under it counts as zero.
        """
        if not gradients:  # all of them are another rank's
            return
        which = [index for index, _ in gradients]
        flat = [gradient.reshape(-1) for _, gradient in gradients]
        if scale is not None:
            divided = [one.float() / scale for one in flat]
            flat = [torch.where(torch.isfinite(one).all(), one, 0.0) for one in divided]
        elif any(one.dtype != torch.float32 for one in flat):
            flat = [one.float() for one in flat]
        torch._foreach_add_([self._sums[i] for i in which], flat)
        torch._foreach_addcmul_([self._squares[i] for i in which], flat, flat)
        for index, one in zip(which, flat, strict=True):
            counts = self._counts[self._group_of[index]]
            for piece in torch.split(one, _CHUNK):
                count_into(counts, bins_into(self._bins[: len(piece)], piece))
            self._n[index] += 1

    def compute(self) -> dict[str, GroupTotals]:
        """Return the totals a group, and begin anew; waits for the device.

        Returns
        -------
        dict of str to GroupTotals
            Of the groups that received a gradient in two micro-batches or more.
        """
        found = {}
        for name, counts in self._counts.items():
            mine = [i for i, g in enumerate(self._group_of) if g == name and self._n[i] > 1]
            if mine:
                found[name] = self._totals(mine, counts)
        self.reset()
        return found

    def reset(self) -> None:
        """Forget everything."""
        for buffers in (self._sums, self._squares, list(self._counts.values())):
            torch._foreach_zero_(buffers)
        self._n = [0] * len(self._n)

    def _totals(self, mine: Sequence[int], counts: torch.Tensor) -> GroupTotals:
        signal = noise = 0.0
        log_sds: list[NDArray[np.float64]] = []
        for index in mine:
            n = self._n[index]
            mean = self._sums[index].double() / n
            variance = (self._squares[index].double() - n * mean.square()) / (n - 1)
            variance = variance.clamp_(min=0)
            signal += float((mean.square() - variance / n).sum())
            noise += float(variance.sum())
            positive = variance[variance > 0].cpu().numpy()
            log_sds.append(0.5 * np.log(positive))
        logs = np.concatenate(log_sds)
        spread = float(logs.std()) if len(logs) > 1 else 0.0
        return GroupTotals(signal, noise, spread, LogHistogram(counts.cpu().numpy().copy()))
