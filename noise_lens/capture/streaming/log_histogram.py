"""The log-histogram of a stream."""

from __future__ import annotations

from functools import cache
from typing import Self

import torch
from torch import Tensor

from noise_lens.capture.histogram import bins_of_bits, count_into, magnitude_bits
from noise_lens.capture.streaming.stream import Stream, pieces
from noise_lens.estimators import LogHistogram
from noise_lens.estimators.log_histogram import BINS_AN_OCTAVE, FIRST_REGULAR, INF_BIN, N_BINS

# A float64 has the bits of a float32's bin further up, and an exponent with another bias.
_DOUBLE_MAGNITUDE_BITS = 0x7FFF_FFFF_FFFF_FFFF
_DOUBLE_SHIFT = 52 - (BINS_AN_OCTAVE.bit_length() - 1)
_BIAS_BINS = (1023 - 127) * BINS_AN_OCTAVE
_DOUBLE_INF = 2047 * BINS_AN_OCTAVE
_BEYOND, _ZEROS = N_BINS, N_BINS + 1  # places in the state behind the bins


class StreamingLogHistogram(Stream):
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
        for piece in pieces(self._checked(noise)):
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
