"""How much of its scale a minibatch shares among its coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noise_lens.inference.standardise import log_magnitudes, standardise


@dataclass(frozen=True)
class SharedScale:
    """The intraclass correlation of log magnitudes within rows.

    Attributes
    ----------
    correlation : float
        0 for independent coordinates; NaN with one coordinate.
    standard_error : float
        That of independent coordinates.
    """

    correlation: float
    standard_error: float

    def share(self, alpha: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where rows stand between independent coordinates (0) and one radius (1).

        One radius, the elliptical (sub-Gaussian) stable law, is a Gaussian row times the root
        of a positive stable variable of index alpha / 2. Its log has the variance
        ``pi**2 / 6 * (1 / alpha**2 - 1 / 4)`` of the ``pi**2 / 6 * (1 / alpha**2 + 1 / 2)`` that
        the log of an entry has. Errors lie between in proportion to the correlation; one
        standard error is added, so what cannot be told apart counts as shared.

        Parameters
        ----------
        alpha : ndarray
            Stability indices in (0, 2].

        Returns
        -------
        ndarray
            In [0, 1]; 1 with one coordinate, or at alpha = 2.
        """
        elliptical = (1 / alpha**2 - 0.25) / (1 / alpha**2 + 0.5)
        seen = np.nan_to_num(self.correlation + self.standard_error, nan=1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(elliptical > 0, seen / elliptical, 1.0)
        return np.asarray(np.clip(share, 0.0, 1.0))


def shared_scale(rows: NDArray[np.float64]) -> SharedScale:
    """Return how the magnitudes of one row go together.

    Parameters
    ----------
    rows : ndarray of shape (M, d)
        Noise; exact zeros are left out, each column is standardised by itself.

    Returns
    -------
    SharedScale
        The correlation of log magnitudes of two coordinates of one row, pooled.
    """
    logs, nonzero = log_magnitudes(standardise(rows)[0])
    filled = nonzero.sum(axis=1)
    n_pairs = float((filled * (filled - 1.0)).sum())
    squares = logs**2
    variance = float(squares.sum() / max(nonzero.sum(), 1))
    if n_pairs == 0 or variance == 0:
        return SharedScale(np.nan, np.nan)
    together = float((logs.sum(axis=1) ** 2 - squares.sum(axis=1)).sum())
    return SharedScale(together / n_pairs / variance, float(np.sqrt(2 / n_pairs)))


def effective_columns(rows: NDArray[np.float64]) -> float:
    """Return how many independent Gaussian coordinates are as good as these.

    The participation ratio ``d**2 / sum r_ij**2`` of the correlations, which are taken from
    signs (``r = sin(pi / 2 * sign correlation)`` for Gaussian pairs), because heavy tails make
    product moments useless.

    Parameters
    ----------
    rows : ndarray of shape (M, d)
        Noise with zero location.

    Returns
    -------
    float
        In [1, d]; d where it is within 5 % of it, as it is by chance.
    """
    signs = np.sign(rows).astype(np.float32)
    signs = signs[:, (signs != 0).any(axis=0)]
    n, d = signs.shape
    if d < 2:
        return 1.0
    sign_correlation = signs.T @ signs / n
    # By chance alone a squared correlation of signs is 1 / n.
    squares = np.sin(np.pi / 2 * sign_correlation) ** 2 - (np.pi / 2) ** 2 / n
    np.fill_diagonal(squares, 0.0)
    found = d**2 / (d + max(0.0, float(squares.sum(dtype=np.float64))))
    return float(d) if found > 0.95 * d else float(found)
