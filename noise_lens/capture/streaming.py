"""One-pass twins of estimators: noise goes by on the device, sums stay, `compute` copies once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Self

import numpy as np
import torch
from torch import Tensor

from noise_lens.capture.histogram import bins_of_bits, count_into, magnitude_bits
from noise_lens.errors import SamplesError
from noise_lens.estimators import LogHistogram, TailIndexEstimate
from noise_lens.estimators._log_moments import log_moments_from_sums
from noise_lens.estimators.log_histogram import BINS_AN_OCTAVE, FIRST_REGULAR, INF_BIN, N_BINS
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

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_CPU_CHUNK = 65_536  # elements: the passes over a chunk stay in the cache
_GPU_CHUNK = 1_048_576
_SAME = 1e-12  # relative: magnitudes that differ by less have nothing but rounding between them

# A float64 has the bits of a float32's bin further up, and an exponent with another bias.
_DOUBLE_MAGNITUDE_BITS = 0x7FFF_FFFF_FFFF_FFFF
_DOUBLE_SHIFT = 52 - (BINS_AN_OCTAVE.bit_length() - 1)
_BIAS_BINS = (1023 - 127) * BINS_AN_OCTAVE
_DOUBLE_INF = 2047 * BINS_AN_OCTAVE
_BEYOND, _ZEROS = N_BINS, N_BINS + 1  # places in the state behind the bins


class _Streaming:
    """State on a device, and how two of them become one."""

    def __init__(self, state: Tensor) -> None:
        self.state = state

    def merge(self, other: Self) -> Self:
        """Add all that `other`, of the same class, has seen; it may be on another device."""
        if type(other) is not type(self):
            raise TypeError(
                f"{type(self).__name__} merges with its own kind, got {type(other).__name__}. "
                "Keep one object of each statistic a stream."
            )
        self._add(other.state.to(self.state.device))
        return self

    def reset(self) -> Self:
        """Forget all samples; settings stay."""
        self.state.zero_()
        return self

    def _add(self, state: Tensor) -> None:
        self.state += state

    def _checked(self, noise: Tensor) -> Tensor:
        name = type(self).__name__
        if not isinstance(noise, Tensor):
            raise SamplesError(
                f"{name} takes a torch tensor, got {type(noise).__name__}. "
                "Wrap the array in torch.from_numpy(...)."
            )
        if noise.dtype not in _FLOATS:
            raise SamplesError(
                f"{name} takes float16, bfloat16, float32 or float64, got {noise.dtype}. "
                "Convert the noise first."
            )
        if noise.device != self.state.device:
            raise ValueError(
                f"{name} keeps its state on {self.state.device}, got noise on {noise.device}. "
                f'Make it with device="{noise.device}", or move the noise.'
            )
        return noise.detach()


class StreamingLogHistogram(_Streaming):
    """Log-histogram of a stream, for any estimator that takes one; 64 KiB of state.

    Magnitudes are counted by their float bits, and no logarithm is taken. `update` only queues
    device work: it does not stall a training step. NaN and inf have bins of their own, and raise
    in the estimator.

    Parameters
    ----------
    device : torch.device or str
        Where the noise lies.

    Attributes
    ----------
    state : torch.Tensor of shape (8194,), int64
        Counts by bin, then magnitudes of 2**128 or more, then exact zeros. Its bin 0 still holds
        zeros and magnitudes below 4e-40 together.

    Examples
    --------
    >>> histogram = StreamingLogHistogram()
    >>> found = histogram.update(torch.tensor([0.0, 1.0, -1.5])).compute()
    >>> found.n, found.n_zero
    (2, 1)
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        super().__init__(torch.zeros(N_BINS + 2, dtype=torch.int64, device=device))

    def update(self, noise: Tensor) -> Self:
        """Count the magnitudes of `noise`.

        Parameters
        ----------
        noise : torch.Tensor
            Any shape; float16, bfloat16, float32 or float64. A float64 is counted by its own
            bits, not rounded first; below 2**-126 it is put in bin 1, whatever its size.

        Returns
        -------
        Self
            Itself.

        Raises
        ------
        SamplesError
            `noise` has another type.
        ValueError
            `noise` is on another device.
        """
        for piece in _pieces(self._checked(noise)):
            if piece.dtype == torch.float64:
                bits = piece.view(torch.int64) & _DOUBLE_MAGNITUDE_BITS
                bins = _double_bins(bits.device).index_select(0, bits >> _DOUBLE_SHIFT)
            else:
                bits = magnitude_bits(piece.float())  # exact, also from the shorter types
                bins = bins_of_bits(bits)
            count_into(self.state[: _BEYOND + 1], bins)
            # By the bits: with flush-denormal on, a subnormal compares equal to zero.
            self.state[_ZEROS] += len(bits) - torch.count_nonzero(bits)
        return self

    def compute(self) -> LogHistogram:
        """Return the counts, with exact zeros alone in bin 0. One copy to the host."""
        state = self.state.cpu().numpy()
        counts = state[:N_BINS].copy()
        counts[1] += counts[0] - state[_ZEROS]
        counts[0] = state[_ZEROS]
        return LogHistogram(counts, n_beyond=int(state[_BEYOND]))


class StreamingLogMoments(_Streaming):
    """One-pass form of :func:`noise_lens.log_moments`; state is four float64 numbers.

    `update` only queues device work: it does not stall a training step. NaN and inf go through
    the sums and raise in `compute`.

    Parameters
    ----------
    device : torch.device or str
        Where the noise lies.

    Attributes
    ----------
    state : torch.Tensor of shape (4,), float64
        Non-zero samples, mean of log|x|, sum of squared deviations from it, exact zeros.

    Examples
    --------
    >>> moments = StreamingLogMoments()
    >>> logs = torch.tensor([-np.pi / 2, np.pi / 2], dtype=torch.float64)
    >>> for _ in range(50):
    ...     _ = moments.update(logs.exp())
    >>> round(moments.compute().alpha, 2)  # variance pi**2 / 4 (and n / (n - 1)): Cauchy
    0.99
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        super().__init__(torch.zeros(4, dtype=torch.float64, device=device))

    def update(self, noise: Tensor) -> Self:
        """Add the samples in `noise`: any shape, float16 to float64, on this device."""
        for piece in _pieces(self._checked(noise)):
            logs = piece.to(torch.float64, copy=True).abs_()
            zero = logs == 0  # false for NaN and inf, which must surface
            logs.log_().masked_fill_(zero, 0)
            n_zero = zero.sum(dtype=torch.float64)
            n = len(piece) - n_zero
            mean = logs.sum() / n.clamp(min=1)
            m2 = logs.sub_(mean).masked_fill_(zero, 0).square_().sum()
            self._add(torch.stack([n, mean, m2, n_zero]))
        return self

    def compute(self) -> TailIndexEstimate:
        """Estimate from what has come by. One copy to the host.

        Returns
        -------
        TailIndexEstimate
            As :func:`noise_lens.log_moments`.

        Raises
        ------
        SamplesError
            NaN or inf came by, or one magnitude only.
        NotEnoughDataError
            Fewer than 20 samples were non-zero.
        """
        n, mean, m2, n_zero = self.state.tolist()
        if not np.isfinite([mean, m2]).all():
            raise SamplesError(
                f"log_moments needs finite samples, got NaN or inf among {n:.0f} non-zero ones. "
                "Find the step that overflowed; sums cannot be mended afterwards."
            )
        found = log_moments_from_sums(int(n), mean, m2, int(n_zero))
        if m2 <= n * (_SAME * max(1, abs(mean))) ** 2:
            raise SamplesError(
                f"log_moments needs magnitudes that vary, got one magnitude {n:.0f} times. "
                "Such noise has no tail; look for signs or quantised gradients."
            )
        return found

    def _add(self, state: Tensor) -> None:
        # Chan, Golub & LeVeque (1983), eq. 2.1: sums of squares about each mean, joined by how
        # far the means are apart. Raw sums of squares would cancel.
        n, mean, m2, n_zero = self.state.unbind()
        n_more, mean_more, m2_more, n_zero_more = state.unbind()
        total = n + n_more
        share = n_more / total.clamp(min=1)
        apart = mean_more - mean
        joined = m2 + m2_more + apart.square() * n * share
        self.state.copy_(torch.stack([total, mean + apart * share, joined, n_zero + n_zero_more]))


class StreamingCharacteristicFunction(_Streaming):
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
        for block in torch.split(table, max(1, _chunk(table) // max(table.shape[1], 1))):
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
        for start in range(0, width, _chunk(block)):
            columns = slice(start, start + _chunk(block))
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


def _chunk(noise: Tensor) -> int:
    return _CPU_CHUNK if noise.device.type == "cpu" else _GPU_CHUNK


def _pieces(noise: Tensor) -> Iterator[Tensor]:
    """Yield all elements in pieces of one axis, as views or else one small copy at a time."""
    size = _chunk(noise)
    if noise.numel() <= size:
        yield noise.reshape(-1)
    else:
        for block in torch.split(noise, max(1, size * len(noise) // noise.numel())):
            yield from _pieces(block if len(block) > 1 else block[0])


@cache
def _double_bins(device: torch.device) -> Tensor:
    # By a float64's exponent and first five bits of mantissa: a look-up is five times as fast as
    # the arithmetic. Made on the device: a copy to it would wait.
    bins = torch.zeros(_DOUBLE_INF + BINS_AN_OCTAVE, dtype=torch.int32, device=device)
    regular = slice(_BIAS_BINS + FIRST_REGULAR, _BIAS_BINS + INF_BIN)
    # Below them stands 0: what is not an exact zero goes on to bin 1 in `compute`.
    bins[regular] = torch.arange(FIRST_REGULAR, INF_BIN, dtype=torch.int32, device=device)
    bins[regular.stop : _DOUBLE_INF].fill_(_BEYOND)
    bins[_DOUBLE_INF:] = torch.arange(INF_BIN, N_BINS, dtype=torch.int32, device=device)
    return bins
