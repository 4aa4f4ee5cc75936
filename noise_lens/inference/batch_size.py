"""From which batch size on noise is Gaussian: an interval, not a number."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from noise_lens.inference.aggregation import AggregationCurve

_UPPER_REACHES, _LOWER_REACHES = 1.98, 1.95


class GaussianisingBatchSize(NamedTuple):
    """Examples a minibatch from which noise may be, and is shown to be, Gaussian.

    Attributes
    ----------
    low : float
        The smallest at which Gaussian noise is not excluded; inf beyond the range.
    high : float
        The smallest at which anything clearly heavier is; inf beyond the range.
    largest : int
        The largest that was looked at.
    """

    low: float
    high: float
    largest: int

    def __str__(self) -> str:
        if np.isinf(self.low):
            return f"> {self.largest:,}"
        if np.isinf(self.high):
            return f">= {int(self.low):,} (shown for none up to {self.largest:,})"
        if self.low == self.high:
            return f"{int(self.low):,}"
        return f"{int(self.low):,} to {int(self.high):,}"


def gaussianising_batch_size(
    curve: AggregationCurve, batch_size: int, *, rejected: bool = False
) -> GaussianisingBatchSize:
    """Return where the aggregation curve reaches 2, in examples.

    Sums of m independent minibatches of b examples are as noisy as minibatches of m b. The
    interval runs from the m b from which on the upper bound stays at 1.98 and above to the first of
    these whose lower bound reaches 1.95: with fewer minibatches its lower end may fall, but its
    upper end rises, and beyond the range of scales it is open. It is about alpha: a sum whose
    alpha cannot be told from 2 may still differ from a Gaussian in other ways.

    Parameters
    ----------
    curve : AggregationCurve
        With 95 % intervals.
    batch_size : int
        b; twice that for differences of pairs, which are as noisy as sums of two minibatches.
    rejected : bool
        Single minibatches were told from Gaussian ones by the rotation test: b itself is then not
        in the interval.

    Returns
    -------
    GaussianisingBatchSize
        In examples.
    """
    sizes = curve.block_sizes * batch_size
    stays = np.logical_and.accumulate((curve.high >= _UPPER_REACHES)[::-1])[::-1]
    if rejected:
        stays[0] = False
    reached = sizes[stays]
    shown = sizes[stays & (curve.low >= _LOWER_REACHES)]
    return GaussianisingBatchSize(
        low=float(reached[0]) if len(reached) else np.inf,
        high=float(shown[0]) if len(shown) else np.inf,
        largest=int(sizes[-1]),
    )
