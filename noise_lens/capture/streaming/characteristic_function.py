"""The characteristic function of a stream of rows."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from noise_lens.capture.streaming.stream import Stream, chunk_size
from noise_lens.estimators import TailIndexEstimate
from noise_lens.estimators.row_sums import (
    DEFECTS,
    N_ZERO,
    ROW,
    USED,
    WIDTH,
    N,
    characteristic_function_from_row_sums,
)
from noise_lens.estimators.stable_fit import FREQUENCIES


class StreamingCharacteristicFunction(Stream):
    """One-pass form of :func:`noise_lens.characteristic_function`, with an error by rows.

    Each coordinate is measured in a unit of its own, found on a pilot before the stream begins;
    all are pooled. Rows (minibatches) are taken for independent, entries of a row are not: the
    standard error is clustered by row. `update` only queues device work; state is 1.8 KiB.

    Parameters
    ----------
    scale : float or torch.Tensor of shape (d,)
        The unit: one for all entries, or one a coordinate, such as the geometric mean of its
        non-zero magnitudes over the pilot rows. A unit off by more than a factor of about
        three of that is refused in `compute`.
    n_pilot : int, optional
        Rows that the geometric means were taken over, none of them in the stream. Given, the
        blur that errors of the units put on the characteristic function is taken out: for 100
        rows it is 0.013 of `alpha`. None takes the units for exact. One unit for all blurs
        nothing.
    device : torch.device or str
        Where the noise lies.

    Attributes
    ----------
    scale : torch.Tensor
        float64, of shape (1,) or (d,), on the device.
    n_pilot : int or None
        As given.
    state : torch.Tensor of shape (15, 15), float64
        Sum over rows of ``u u'``, where u is 1, whether the row has non-zero entries, how many,
        how many zeros, and the sums of ``1 - cos(t x / scale)`` at eleven frequencies.

    Notes
    -----
    The blur is that of a stable law with independent rows and coordinates, whose mean of log|x|
    over the pilot has variance ``pi**2 / 6 (1/alpha**2 + 1/2) / n_pilot``. Where coordinates
    share a radius, part of that error is common to all units and does no harm: the correction
    is then too large, by a fifth at 1.5.

    Examples
    --------
    >>> shares = (torch.arange(4000) + 0.5) / 4000
    >>> rows = torch.tan(torch.pi * (shares - 0.5)).view(1000, 4)
    >>> stream = StreamingCharacteristicFunction(1.0)
    >>> round(stream.update(rows[:300]).update(rows[300:]).compute().alpha, 2)  # Cauchy
    1.0
    """

    def __init__(
        self,
        scale: float | Tensor,
        *,
        n_pilot: int | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        units = torch.as_tensor(scale, dtype=torch.float64).detach().clone()
        if units.ndim > 1:
            raise ValueError(
                f"scale must be a number or have shape (d,), got shape {tuple(units.shape)}. "
                "Flatten the coordinates of a row."
            )
        bad = int((~(units > 0) | units.isinf()).sum())
        if bad or not units.numel():
            raise ValueError(
                f"scale must be positive and finite, got {bad} of {units.numel()} that are not. "
                "Leave out coordinates whose pilot is all zeros."
            )
        if n_pilot is not None and n_pilot < 1:
            raise ValueError(f"n_pilot must be at least 1, got {n_pilot}. Without a pilot: None.")
        self.n_pilot = n_pilot
        self._by_coordinate = units.ndim == 1
        self.scale = units.reshape(-1).to(device)
        super().__init__(torch.zeros(WIDTH, WIDTH, dtype=torch.float64, device=device))

    def update(self, rows: Tensor) -> Self:
        """Add rows of noise.

        Parameters
        ----------
        rows : torch.Tensor, shape (m, d) or (m,)
            One row a minibatch; float16, bfloat16, float32 or float64. Of shape (m,), each entry
            is a row, which needs one unit for all.

        Returns
        -------
        Self
            Itself.

        Raises
        ------
        SamplesError
            `rows` has another type.
        ValueError
            `rows` has another shape, or is on another device.
        """
        table = self._checked(rows)
        if table.ndim == 1 and not self._by_coordinate:
            table = table[:, None]
        if table.ndim != 2 or (self._by_coordinate and table.shape[1] != len(self.scale)):
            wanted = f"(m, {len(self.scale)})" if self._by_coordinate else "(m,) or (m, d)"
            raise ValueError(
                f"rows must have shape {wanted}, got {tuple(rows.shape)}. "
                "Give each minibatch a row, and each scale a column."
            )
        for block in torch.split(table, max(1, chunk_size(table) // max(table.shape[1], 1))):
            sums = self._row_sums(block)
            self.state.addmm_(sums.T, sums)
        return self

    def merge(self, other: Self) -> Self:
        """Add all rows that `other`, of the same scale and pilot, has seen."""
        if isinstance(other, StreamingCharacteristicFunction) and not (
            self.n_pilot == other.n_pilot
            and self._by_coordinate == other._by_coordinate
            and torch.equal(self.scale, other.scale.to(self.scale.device))
        ):
            raise ValueError(
                "merge needs the same scale and n_pilot in both streams, got others. "
                "Send one pilot's scale to every rank before the streams begin."
            )
        return super().merge(other)

    def compute(self) -> TailIndexEstimate:
        """Estimate from what has come by. One copy to the host.

        Returns
        -------
        TailIndexEstimate
            ``alpha`` in (0, 2]; ``sigma`` in units of `scale`, or times it where that is one for
            all. The standard error is clustered by row, and holds that of the pilot's units.

        Raises
        ------
        SamplesError
            NaN or inf came by, or rows that are all alike.
        NotEnoughDataError
            Fewer than 20 rows had non-zero entries.
        """
        return characteristic_function_from_row_sums(
            self.state.cpu().numpy(),
            n_scales=len(self.scale),
            n_pilot=self.n_pilot,
            unit=1.0 if self._by_coordinate else self.scale.item(),
        )

    def _row_sums(self, block: Tensor) -> Tensor:
        # float64, shape (rows, 15): the u of every row.
        sums = self.state.new_zeros(len(block), WIDTH)
        width = block.shape[1]
        for start in range(0, width, chunk_size(block)):
            columns = slice(start, start + chunk_size(block))
            part = block[:, columns]
            sums[:, N] += (part != 0).sum(dim=1)  # NaN counts: it must surface
            unit = self.scale[columns] if self._by_coordinate else self.scale
            half = part.to(torch.float64) / (2 * unit)
            for column, frequency in enumerate(FREQUENCIES.tolist(), DEFECTS):
                sums[:, column] += torch.sin(half * frequency).square_().sum(dim=1)
        sums[:, DEFECTS:] *= 2  # 1 - cos(t x) = 2 sin(t x / 2)**2
        sums[:, ROW] = 1
        sums[:, USED] = sums[:, N] > 0
        sums[:, N_ZERO] = width - sums[:, N]
        return sums
