"""A log-histogram of magnitudes as a statistic: what can be read from it without the samples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_lens.errors import NotEnoughDataError, SamplesError

N_BINS = 8192
BINS_AN_OCTAVE = 32
FIRST_REGULAR, INF_BIN = BINS_AN_OCTAVE, 255 * BINS_AN_OCTAVE
"""Bins below the first hold zeros (bin 0) and subnormals; those from the second inf, then NaN."""

_EXPONENT_BIAS = 127
_DOUBLE_SPECIAL = 0x7FF  # exponent of inf and NaN in a float64


@dataclass(frozen=True)
class LogHistogram:
    """Counts of magnitudes by the bits of a float32: exponent, and five bits of the mantissa.

    Attributes
    ----------
    counts : ndarray of shape (8192,), int64
        Bin 0 holds exact zeros, bins 1 to 31 subnormals (below 1.2e-38), bin 8160 inf, the bins
        above it NaN; the rest 32 an octave, each closed below and open above.
    n_beyond : int
        Finite magnitudes of 2**128 or more, which a float64 can have.
    """

    counts: NDArray[np.int64]
    n_beyond: int = 0

    def __post_init__(self) -> None:
        if np.shape(self.counts) != (N_BINS,) or np.asarray(self.counts).dtype.kind not in "iu":
            raise SamplesError(
                f"a log-histogram has {N_BINS} integer counts, got shape {np.shape(self.counts)} "
                f"of {np.asarray(self.counts).dtype}"
            )

    @classmethod
    def of(cls, samples: ArrayLike) -> Self:
        """Count samples; for tensors there is ``noise_lens.StreamingLogHistogram``.

        Parameters
        ----------
        samples : array_like
            Real numbers, any shape. Zeros, NaN and inf have bins of their own.

        Returns
        -------
        LogHistogram
            Their counts.

        Examples
        --------
        >>> histogram = LogHistogram.of([0.0, 1.0, -1.5])
        >>> (histogram.n, histogram.n_zero)
        (2, 1)
        """
        magnitudes = np.abs(np.asarray(samples, dtype=np.float64)).ravel()
        n_zero = magnitudes.size - np.count_nonzero(magnitudes)
        # The bits of a float64 with the exponent of a float32: see capture.streaming.
        bins = magnitudes.view(np.int64) >> (52 - 5)
        special = magnitudes.view(np.int64) >> 52 == _DOUBLE_SPECIAL
        nan = np.count_nonzero(np.isnan(magnitudes))
        n_inf = np.count_nonzero(special) - nan
        regular = bins[~special] - (1023 - _EXPONENT_BIAS) * BINS_AN_OCTAVE
        n_beyond = int(np.count_nonzero(regular >= INF_BIN))
        counts = np.bincount(np.clip(regular[regular < INF_BIN], 1, None), minlength=N_BINS)
        counts[1] += counts[:FIRST_REGULAR].sum() - counts[1] - n_zero
        counts[2:FIRST_REGULAR] = 0
        counts[0], counts[INF_BIN], counts[INF_BIN + 1] = n_zero, n_inf, nan
        return cls(counts, n_beyond=n_beyond)

    @property
    def n(self) -> int:
        """Finite non-zero magnitudes."""
        return int(self.counts[1:INF_BIN].sum()) + self.n_beyond

    @property
    def n_zero(self) -> int:
        """Exact zeros."""
        return int(self.counts[0])

    @property
    def n_subnormal(self) -> int:
        """Non-zero magnitudes below the smallest normal float32."""
        return int(self.counts[1:FIRST_REGULAR].sum())

    @property
    def n_inf(self) -> int:
        """Infinities."""
        return int(self.counts[INF_BIN])

    @property
    def n_nan(self) -> int:
        """Not-a-numbers."""
        return int(self.counts[INF_BIN + 1 :].sum())

    def checked(self, method: str, needed: int) -> Self:
        """Return this histogram if it is one of finite samples that vary, or raise.

        Parameters
        ----------
        method : str
            Who asks, for the message.
        needed : int
            The fewest non-zero magnitudes that it takes.

        Returns
        -------
        LogHistogram
            Itself.

        Raises
        ------
        SamplesError
            It counted NaN, inf, magnitudes that no float32 holds, or one bin only.
        NotEnoughDataError
            It counted fewer than `needed` non-zero magnitudes.
        """
        if self.n_inf or self.n_nan:
            raise SamplesError(
                f"{method} needs finite samples, got {self.n_inf} inf and {self.n_nan} NaN among "
                f"{self.n + self.n_zero + self.n_inf + self.n_nan}. Find the step that "
                "overflowed; a histogram cannot be mended afterwards."
            )
        if self.n_beyond or 2 * self.n_subnormal > self.n:
            raise SamplesError(
                f"{method} needs magnitudes that a float32 can hold, got {self.n_beyond} of 2**128 "
                f"or more and {self.n_subnormal} below 1.2e-38 among {self.n}. Rescale the noise "
                "before it is counted."
            )
        if self.n < needed:
            raise NotEnoughDataError(method, n=self.n, needed=needed)
        if np.count_nonzero(self.counts[1:INF_BIN]) == 1:
            raise SamplesError(
                f"{method} needs magnitudes that vary, got {self.n} in one bin of 2 %. "
                "Look for signs or quantised gradients."
            )
        return self

    def quantile(self, probability: ArrayLike) -> NDArray[np.float64]:
        """Return quantiles of the non-zero magnitudes, interpolated inside a bin.

        Parameters
        ----------
        probability : array_like
            In [0, 1].

        Returns
        -------
        ndarray
            Of the shape of `probability`, in the unit of the samples, to 1 % or better.
        """
        share = np.asarray(probability, dtype=np.float64)
        bins, counts = self._filled
        cumulative = np.cumsum(counts)
        target = share * cumulative[-1]
        place = np.minimum(np.searchsorted(cumulative, target), len(bins) - 1)
        inside = 1 - (cumulative[place] - target) / counts[place]
        low, high = log_edges(bins[place])
        return np.asarray(np.exp(low + inside * (high - low)))

    def survival(self, levels: ArrayLike) -> NDArray[np.float64]:
        """Return the share of non-zero magnitudes above each level.

        Parameters
        ----------
        levels : array_like
            Positive, in the unit of the samples.

        Returns
        -------
        ndarray
            Of the shape of `levels`; exact at bin edges, interpolated inside a bin.
        """
        logs = np.log(np.asarray(levels, dtype=np.float64))
        bins, counts = self._filled
        low, high = log_edges(bins)
        above = np.append(np.cumsum(counts[::-1])[::-1], 0)
        place = np.clip(np.searchsorted(low, logs, side="right") - 1, 0, len(bins) - 1)
        inside = np.clip((logs - low[place]) / (high[place] - low[place]), 0, 1)
        return np.asarray((above[place] - inside * counts[place]) / above[0])

    def log_sums(self) -> tuple[int, float, float]:
        """Return count, mean and sum of squared deviations of the log-magnitudes.

        Returns
        -------
        n : int
            Non-zero magnitudes.
        mean, m2 : float
            From the middle of each bin; the variance is off by 1e-4 or less.
        """
        bins, counts = self._filled
        middle = np.mean(log_edges(bins), axis=0)
        n = int(counts.sum())
        mean = float(counts @ middle / n)
        return n, mean, float(counts @ (middle - mean) ** 2)

    def log_excess(self, k: int) -> tuple[float, float, float]:
        """Return the log-threshold and the mean and mean square of the k log-excesses above it.

        Parameters
        ----------
        k : int
            Upper order statistics, ``1 <= k < n``.

        Returns
        -------
        threshold, first, second : float
            log of the (k+1)-th largest magnitude, and two moments of log|x| above it.
        """
        bins, counts = (part[::-1] for part in self._filled)
        low, high = log_edges(bins)
        cumulative = np.cumsum(counts)
        place = int(np.searchsorted(cumulative, k + 1))
        before = int(cumulative[place] - counts[place])
        # The samples of a bin are taken to lie evenly in it.
        step = (high[place] - low[place]) / counts[place]
        threshold = high[place] - (k + 1 - before - 0.5) * step
        partial = high[place] - (np.arange(k - before) + 0.5) * step - threshold
        excess = (low[:place] + high[:place]) / 2 - threshold
        spread = (high[:place] - low[:place]) ** 2 / 12
        first = (counts[:place] @ excess + partial.sum()) / k
        second = (counts[:place] @ (excess**2 + spread) + (partial**2).sum()) / k
        return float(threshold), float(first), float(second)

    @cached_property
    def _filled(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        bins = np.flatnonzero(self.counts[1:INF_BIN]) + 1
        return bins, np.asarray(self.counts, dtype=np.int64)[bins]


def log_edges(bins: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the logarithms of both edges of regular bins.

    Parameters
    ----------
    bins : ndarray
        Numbers of bins; those of subnormals are taken for the lowest regular one.

    Returns
    -------
    low, high : ndarray
        Of the shape of `bins`.
    """

    def log_edge(number: NDArray[np.int64]) -> NDArray[np.float64]:
        octave, step = np.divmod(number, BINS_AN_OCTAVE)
        octave_log = (octave - _EXPONENT_BIAS) * np.log(2)
        return np.asarray(octave_log + np.log1p(step / BINS_AN_OCTAVE))

    regular = np.maximum(bins, FIRST_REGULAR)
    return log_edge(regular), log_edge(regular + 1)
