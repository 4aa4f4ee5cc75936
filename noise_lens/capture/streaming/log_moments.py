"""Log-moments of a stream."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from torch import Tensor

from noise_lens.capture.streaming.stream import Stream, pieces
from noise_lens.errors import SamplesError
from noise_lens.estimators import TailIndexEstimate
from noise_lens.estimators._log_moments import log_moments_from_sums

_SAME = 1e-12  # relative: magnitudes that differ by less have nothing but rounding between them


class StreamingLogMoments(Stream):
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
        for piece in pieces(self._checked(noise)):
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
