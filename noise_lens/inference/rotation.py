"""An exact test of "rows are independent Gaussian vectors, with any mean and covariance"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from noise_lens.errors import SamplesError
from noise_lens.inference.rows import as_rows

N_ROTATIONS = 199
FEWEST_ROWS = 4
_CHUNK = 32  # columns: a rotation of them stays in the cache
_BATCH = 64  # rotations whose signs are held at once


@dataclass(frozen=True)
class RotationTest:
    """The result of :func:`rotation_test`.

    Attributes
    ----------
    statistic : float
        Log of the mean over coordinates of the sample kurtosis; log 3 = 1.10 for long Gaussian
        columns. The mean, not that of logs: a few heavy columns count, also among light ones.
    pvalue : float
        Of tails heavier than Gaussian ones, one-sided; at least ``1 / (n_rotations + 1)``.
    lighter_pvalue : float
        Of tails lighter than Gaussian ones.
    n_rotations : int
        How many.
    null : ndarray of shape (n_rotations,)
        The statistic of each rotation.
    """

    statistic: float
    pvalue: float
    lighter_pvalue: float
    n_rotations: int
    null: NDArray[np.float64]


def rotation_test(
    rows: ArrayLike, n_rotations: int = N_ROTATIONS, rng: np.random.Generator | None = None
) -> RotationTest:
    """Test exactly whether rows are i.i.d. N(mu, Sigma), for any mu and Sigma.

    The rows' contrasts (their DCT-II without the constant term) are then i.i.d. N(0, Sigma), and
    no orthogonal map changes their joint law. Flipping the signs of contrasts at random is such a
    map, and in the rows it mixes all minibatches: what was one large row becomes a little of
    every row, with the same covariance between coordinates. Sign flips are a group, so the
    statistic and those of the rotations are exchangeable, and the p-value is exact for any M, d
    and dependence between coordinates (Langsrud 2005 [1]_; Besag and Clifford 1989 [2]_ need a
    backward first step for maps that are no group).

    Parameters
    ----------
    rows : array_like, shape (M, d)
        One row a minibatch, at least four. Unit and location do not matter, columns that do not
        vary are left out.
    n_rotations : int
        At least 19; p has steps of ``1 / (n_rotations + 1)``.
    rng : numpy.random.Generator, optional
        For the signs; fresh entropy if not given.

    Returns
    -------
    RotationTest
        With the rotations' statistics.

    Raises
    ------
    SamplesError
        `rows` is not a finite real array of two axes, or no column varies.
    NotEnoughDataError
        Fewer than four rows.
    ValueError
        Fewer than 19 rotations.

    References
    ----------
    .. [1] Ø. Langsrud, Statistics and Computing 15, 2005. doi:10.1007/s11222-005-4789-5
    .. [2] J. Besag and P. Clifford, Biometrika 76(4), 1989. doi:10.1093/biomet/76.4.633

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> mixed = rng.standard_normal((200, 8)) @ rng.standard_normal((8, 8))  # any covariance
    >>> rotation_test(mixed, rng=rng).pvalue > 0.05
    True
    >>> rotation_test(rng.laplace(size=(200, 8)), rng=rng).pvalue
    0.005
    """
    if n_rotations < 19:
        raise ValueError(f"n_rotations must be at least 19, got {n_rotations}")
    rotations = Rotations(rows, np.random.default_rng() if rng is None else rng)
    rotations.extend(n_rotations)
    return rotations.result()


class Rotations:
    """A rotation test that can go on.

    Parameters
    ----------
    rows : array_like, shape (M, d)
        As for :func:`rotation_test`.
    rng : numpy.random.Generator
        For the signs.
    """

    def __init__(self, rows: ArrayLike, rng: np.random.Generator) -> None:
        checked = as_rows(rows, "rotation_test", fewest=FEWEST_ROWS)
        columns = np.ascontiguousarray(checked.T)
        with np.errstate(over="ignore", invalid="ignore"):
            largest = np.abs(columns).max(axis=1, initial=0.0, keepdims=True)
            columns = columns / np.where(largest > 0, largest, 1)  # no square overflows
            columns = columns - columns.mean(axis=1, keepdims=True)
        varies = np.abs(columns).max(axis=1, initial=0.0) > 1e-12
        if not varies.any():
            raise SamplesError(
                f"rotation_test needs a column that varies, got {checked.shape[1]} that do not"
            )
        self._spectrum = fft.dct(columns[varies], axis=1, norm="ortho")
        self._spectrum[:, 0] = 0  # the mean is not under test
        self._rng = rng
        self._null = np.empty(0)
        self._largest_pvalue = 1.0
        self.statistic = float(self._statistics(np.ones((1, columns.shape[1])))[0])

    @property
    def exceedances(self) -> int:
        """Rotations with at least the observed statistic."""
        return int(np.count_nonzero(self._null >= self.statistic))

    @property
    def n(self) -> int:
        """Rotations so far."""
        return len(self._null)

    def extend(self, n: int, stop_at: int | None = None) -> None:
        """Rotate `n` times more, or fewer where `stop_at` exceedances are reached.

        Parameters
        ----------
        n : int
            Rotations.
        stop_at : int, optional
            A test at level ``stop_at / (total + 1)`` is then decided.
        """
        goal = self.n + n
        while self.n < goal:
            if stop_at is not None and self.exceedances >= stop_at:
                return
            size = (min(_BATCH, goal - self.n), self._spectrum.shape[1])
            signs = np.asarray(
                self._rng.integers(0, 2, size, dtype=np.int8) * 2 - 1, dtype=np.float64
            )
            self._null = np.append(self._null, self._statistics(signs))

    def refine(self, total: int) -> None:
        """Go on to `total` rotations if no rotation has reached the statistic yet.

        It stops at the first that does. The p-value is from then on the smaller of the old and
        the new one, and stays valid whatever made the caller go on: below the old value only a
        test that went on can lie, and above it the old test decides.

        Parameters
        ----------
        total : int
            Rotations to have.
        """
        if self.exceedances == 0 and self.n:
            self._largest_pvalue = min(self._largest_pvalue, 1 / (1 + self.n))
            self.extend(max(0, total - self.n), stop_at=1)

    def result(self) -> RotationTest:
        """Return the test as it stands."""
        lighter = int(np.count_nonzero(self._null <= self.statistic))
        return RotationTest(
            statistic=self.statistic,
            pvalue=min(self._largest_pvalue, (1 + self.exceedances) / (1 + self.n)),
            lighter_pvalue=(1 + lighter) / (1 + self.n),
            n_rotations=self.n,
            null=self._null,
        )

    def _statistics(self, signs: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.zeros(len(signs))
        for first in range(0, len(self._spectrum), _CHUNK):
            part = self._spectrum[first : first + _CHUNK]
            for index, flips in enumerate(signs):
                rotated = fft.idct(part * flips, axis=1, norm="ortho", overwrite_x=True)
                rotated *= rotated
                second = rotated.sum(axis=1)
                fourth = np.einsum("ij,ij->i", rotated, rotated)
                total[index] += (fourth * rotated.shape[1] / second**2).sum()
        return np.asarray(np.log(total / len(self._spectrum)))
