"""Hill's estimator at all thresholds, and a threshold that is chosen in the open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from noise_lens.errors import NotEnoughDataError, SamplesError
from noise_lens.estimators._hill import check_k
from noise_lens.estimators._moment import extreme_value_index
from noise_lens.estimators._samples import as_samples
from noise_lens.estimators.log_histogram import LogHistogram

_SMALLEST_K = 10
_POINTS = 60
_ROUNDING = 1e-12
_LIGHT_ERRORS = float(special.ndtri(0.995))  # as in the 99 % interval of moment
_LEPSKI = 2.1  # of sqrt(log log n): about three standard errors at n = 1000


@dataclass(frozen=True)
class HillPath:
    """Hill's estimate against the number of upper order statistics.

    Attributes
    ----------
    k : ndarray of shape (p,)
        Upper order statistics, rising.
    alpha, low, high : ndarray of shape (p,)
        The estimate at each, and the 95 % interval of an exact power tail.
    light : ndarray of shape (p,), bool
        Where the 99 % interval of :func:`noise_lens.moment` does not rule out a tail lighter
        than any power.
    n : int
        Non-zero samples.
    """

    k: NDArray[np.int64]
    alpha: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    light: NDArray[np.bool_]
    n: int

    def choose_k(self) -> int | None:
        """Return :meth:`flat_k` if a power tail is established there, or None.

        Returns
        -------
        int or None
            None if the path is flat nowhere, or where it is the moment estimator does not rule
            out a light tail: a tail index is not identified by this sample. The interval at the
            chosen k does not count the choice.
        """
        flat = self.flat_k()
        return None if flat is None or self.light[self.k == flat][0] else flat

    def flat_k(self) -> int | None:
        """Return the k up to which all estimates agree, or None.

        "Agrees" is Lepski's rule in the manner of Drees & Kaufmann (1998) [1]_ and Boucheron &
        Thomas (2015) [2]_: for all i <= k, ``|1/alpha_i - 1/alpha_k|`` is at most
        ``2.1 sqrt(log log n) / sqrt(i)`` times ``1/alpha_k``, 2.9 standard errors at n = 1000.
        The first k that disagrees ends the stretch.

        Returns
        -------
        int or None
            None if the stretch ends before four times the smallest k. A light tail has such a
            stretch too, at a small k: its path rises slowly.

        References
        ----------
        .. [1] H. Drees, E. Kaufmann, Stoch. Process. Appl. 75, 1998.
           doi:10.1016/S0304-4149(98)00017-9
        .. [2] S. Boucheron, M. Thomas, Electron. J. Statist. 9, 2015. doi:10.1214/15-EJS1088
        """
        index = 1 / self.alpha
        tolerance = _LEPSKI * np.sqrt(np.log(np.log(self.n)) / self.k)
        apart = np.abs(index[:, None] - index[None, :]) > tolerance[:, None] * index[None, :]
        agrees = [not apart[:column, column].any() for column in range(len(self.k))]
        length = len(agrees) if all(agrees) else agrees.index(False)
        chosen = int(self.k[length - 1])
        flat = chosen >= 4 * self.k[0] and bool(np.isfinite(self.alpha[length - 1]))
        return chosen if flat else None


def hill_path(x: ArrayLike | LogHistogram, ks: Sequence[int] | None = None) -> HillPath:
    """Return Hill's estimate at many thresholds at once.

    Parameters
    ----------
    x : array_like, shape (n,), or LogHistogram
        Noise samples, any unit. Signs and zeros are dropped.
    ks : sequence of int, optional
        Upper order statistics; by default up to 60 from 10 to a fifth of the non-zero samples,
        evenly spaced in their logarithm.

    Returns
    -------
    HillPath
        Draw it with ``noise_lens.figures.plot_hill_path``; ask it for :meth:`HillPath.choose_k`.

    Raises
    ------
    ValueError
        A k is out of range.
    SamplesError
        `x` is not a finite real sample of one axis.
    NotEnoughDataError
        Fewer than 51 non-zero samples, where no `ks` are given.

    Examples
    --------
    >>> import numpy as np
    >>> pareto = (1 - np.random.default_rng(0).random(4000)) ** (-1 / 1.5)
    >>> path = hill_path(pareto)
    >>> path.choose_k() == int(path.k[-1])  # a power tail down to the smallest magnitude
    True
    """
    if isinstance(x, LogHistogram):
        n = x.checked("hill_path", 2).n
    else:
        samples = as_samples(x, "hill_path")
        if samples.ndim != 1:
            raise SamplesError(
                f"hill_path needs one series of shape (n,), got shape {samples.shape}. "
                "Take one column at a time, or ravel() what is identically distributed."
            )
        magnitudes = np.abs(samples[samples != 0])
        n = len(magnitudes)
    if ks is None:
        if n <= 5 * _SMALLEST_K:
            raise NotEnoughDataError("hill_path", n=n, needed=5 * _SMALLEST_K + 1)
        k = np.unique(np.geomspace(_SMALLEST_K, n // 5, _POINTS).astype(np.int64))
    else:
        k = np.unique(np.asarray(ks))
        if not len(k):
            raise ValueError("ks must name at least one number of upper order statistics, got none")
        for one in k:
            check_k(one, n, "hill_path")
        k = k.astype(np.int64)
    if isinstance(x, LogHistogram):
        index, second = np.array([x.log_excess(int(one))[1:] for one in k]).T
    else:
        largest = int(k[-1]) + 1
        magnitudes.partition(n - largest)
        logs = np.log(np.sort(magnitudes[n - largest :].astype(np.float64))[::-1])
        mean, square = (np.cumsum(part)[k - 1] / k for part in (logs, logs**2))
        index, second = mean - logs[k], square - 2 * mean * logs[k] + logs[k] ** 2
    # Ties leave rounding error of either sign where the index is 0.
    index[index < _ROUNDING] = 0
    with np.errstate(divide="ignore"):
        alpha = 1 / index
    low, high = (alpha * special.gammaincinv(k, share) / k for share in (0.025, 0.975))
    extreme, error = extreme_value_index(index, np.maximum(second, 0), k)
    light = ~(extreme - _LIGHT_ERRORS * error > 0)
    return HillPath(k=k, alpha=alpha, low=low, high=high, light=light, n=n)
