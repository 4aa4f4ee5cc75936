"""The literature's pooled estimator, on the same noise, on its way through a probe."""

from __future__ import annotations

import math

import torch

from noise_lens.estimators._mohammadi import PUBLISHED_EPSILON


class PublishedEstimator:
    """The tail index that Simsekli et al. (2019) and Zhou et al. (2020) print, in one pass.

    All coordinates of all rows are strung together, row after row, and summed in blocks of
    neighbours: m is the largest divisor of their number up to its root, and 2.2e-16 is added
    inside both logarithms, as in the released code [1]_. It is kept to be compared with; it reads
    far below 2 on Gaussian noise with unequal scales, zeros or correlated neighbours.

    Parameters
    ----------
    n_rows : int
        Rows to come.
    n_parameters : int
        Elements a row.
    device : torch.device or str
        Where noise lies. The state is two float64 and a sum that waits for its block.

    References
    ----------
    .. [1] U. Simsekli, L. Sagun, M. Gurbuzbalaban, arXiv:1901.06053, 2019, Corollary 2.4;
       github.com/umutsimsekli/sgd_tail_index.
    """

    def __init__(self, n_rows: int, n_parameters: int, device: torch.device | str) -> None:
        self._n = n_rows * n_parameters
        self.block_size = _largest_divisor(self._n)
        self._logs = torch.zeros(2, dtype=torch.float64, device=device)  # of sums, of entries
        self._open_sum = torch.zeros((), dtype=torch.float64, device=device)
        self._n_open = 0
        self._n_seen = 0

    def update(self, noise: torch.Tensor) -> None:
        """Add entries that follow those seen; only queues work on the device.

        Parameters
        ----------
        noise : torch.Tensor
            One axis, any floating type; is not changed.
        """
        wide = noise.double()
        self._n_seen += len(wide)
        self._logs[1] += _log_sum(wide)
        if self._n_open:
            head = min(self.block_size - self._n_open, len(wide))
            self._open_sum += wide[:head].sum()
            self._n_open += head
            wide = wide[head:]
            if self._n_open == self.block_size:
                self._logs[0] += _log_sum(self._open_sum)
                self._open_sum.zero_()
                self._n_open = 0
        whole = len(wide) // self.block_size * self.block_size
        if whole:
            self._logs[0] += _log_sum(wide[:whole].view(-1, self.block_size).sum(dim=1))
        if whole < len(wide):
            self._open_sum += wide[whole:].sum()
            self._n_open = len(wide) - whole

    def compute(self) -> float | None:
        """Return the estimate; waits for the device.

        Returns
        -------
        float or None
            None where the number of entries is prime, where not all of them were seen, or where
            one was not finite.
        """
        if self.block_size < 2 or self._n_seen != self._n:
            return None
        of_sums, of_entries = self._logs.tolist()
        contrast = of_sums * self.block_size / self._n - of_entries / self._n
        if not math.isfinite(contrast) or contrast == 0:
            return None
        return float(math.log(self.block_size) / contrast)


def _log_sum(values: torch.Tensor) -> torch.Tensor:
    return values.abs().add_(PUBLISHED_EPSILON).log_().sum()


def _largest_divisor(n: int) -> int:
    return next(m for m in range(math.isqrt(n), 0, -1) if n % m == 0)
