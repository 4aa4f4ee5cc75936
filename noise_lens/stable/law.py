"""The symmetric alpha-stable law."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from noise_lens.stable.table import SMALLEST_ALPHA, curves, width

_GRID = 4_001


@dataclass(frozen=True)
class SymmetricStable:
    """The law with E exp(itX) = exp(-abs(sigma t)**alpha).

    At alpha = 2 that is N(0, 2 sigma**2); at alpha = 1 it is Cauchy with scale sigma: both are
    exact here. Elsewhere density and distribution function come from a shipped table, with an
    error of log f below 1e-6 for all alpha in [0.4, 2) and all x
    (docs/estimators/stable-law.md has the measured errors).

    Parameters
    ----------
    alpha : float
        Stability index in [0.4, 2]; P(abs(X) > x) falls like x**-alpha below 2.
    sigma : float
        Scale, above 0, in the unit of the samples.

    Raises
    ------
    ValueError
        `alpha` or `sigma` is out of range.

    Examples
    --------
    >>> round(float(SymmetricStable(1.0).sf(1.0)), 6)  # Cauchy: 1/2 - atan(1)/pi
    0.25
    """

    alpha: float
    sigma: float = 1.0

    def __post_init__(self) -> None:
        if not SMALLEST_ALPHA <= self.alpha <= 2:
            raise ValueError(
                f"alpha must lie in [{SMALLEST_ALPHA}, 2], got {self.alpha}. There is no stable "
                f"law above 2, and the table ends at {SMALLEST_ALPHA}."
            )
        if not (self.sigma > 0 and np.isfinite(self.sigma)):
            raise ValueError(
                f"sigma must be positive and finite, got {self.sigma}. It is a scale in the unit "
                "of the samples."
            )

    def characteristic_function(self, t: ArrayLike) -> NDArray[np.float64]:
        """Return E exp(itX), which is real.

        Parameters
        ----------
        t : array_like
            Frequencies, in units of one over the samples' unit.

        Returns
        -------
        ndarray
            Of the shape of `t`, in (0, 1].
        """
        decay = np.abs(self.sigma * np.asarray(t, dtype=np.float64)) ** self.alpha
        return np.asarray(np.exp(-decay))

    def logpdf(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return the logarithm of the density.

        Parameters
        ----------
        x : array_like
            Points, in the unit of `sigma`; any shape. NaN gives NaN.

        Returns
        -------
        ndarray
            Of the shape of `x`, per unit of `sigma`.

        Examples
        --------
        >>> round(float(SymmetricStable(1.0).logpdf(0.0)), 6)  # -log(pi)
        -1.14473
        """
        points = np.asarray(x, dtype=np.float64) / self.sigma
        if self.alpha == 2:
            log_density = -points * points / 4 - np.log(4 * np.pi) / 2
        elif self.alpha == 1:
            # hypot does not overflow where the square would.
            log_density = -np.log(np.pi) - 2 * np.log(np.hypot(1, points))
        else:
            log_density = curves(self.alpha).log_density(points)
        return np.asarray(log_density - np.log(self.sigma))

    def pdf(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return the density.

        Parameters
        ----------
        x : array_like
            Points, in the unit of `sigma`; any shape.

        Returns
        -------
        ndarray
            Of the shape of `x`, per unit of `sigma`.
        """
        return np.asarray(np.exp(self.logpdf(x)))

    def cdf(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return P(X <= x).

        Parameters
        ----------
        x : array_like
            Points, in the unit of `sigma`; any shape.

        Returns
        -------
        ndarray
            Of the shape of `x`; small probabilities keep their digits.
        """
        return self.sf(-np.asarray(x, dtype=np.float64))

    def sf(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return P(X > x).

        Parameters
        ----------
        x : array_like
            Points, in the unit of `sigma`; any shape.

        Returns
        -------
        ndarray
            Of the shape of `x`; small probabilities keep their digits.
        """
        points = np.asarray(x, dtype=np.float64) / self.sigma
        if self.alpha == 2:
            return np.asarray(special.ndtr(-points / np.sqrt(2)))
        if self.alpha == 1:
            return np.asarray(np.arctan2(1.0, points) / np.pi)
        upper = np.exp(curves(self.alpha).log_survival(points))
        return np.asarray(np.where(points < 0, 1 - upper, upper))

    def ppf(self, probability: ArrayLike) -> NDArray[np.float64]:
        """Return the quantiles.

        Parameters
        ----------
        probability : array_like
            P(X <= x), in (0, 1); any shape.

        Returns
        -------
        ndarray
            x, of the shape of `probability`, in the unit of `sigma`.

        Raises
        ------
        ValueError
            A probability is not between 0 and 1.
        """
        share = np.asarray(probability, dtype=np.float64)
        if not np.all((share > 0) & (share < 1)):
            raise ValueError(
                f"probabilities must lie between 0 and 1, got {share.min()} to {share.max()}"
            )
        wanted = np.minimum(share, 1 - share)
        if self.alpha == 2:
            upper = -np.sqrt(2) * special.ndtri(wanted)
        elif self.alpha == 1:
            upper = 1 / np.tan(np.pi * wanted)
        else:
            # Bisection in asinh(x): 90 halvings reach rounding error from any start.
            low, high = np.zeros_like(wanted), np.full_like(wanted, 700.0)
            survival = curves(self.alpha).log_survival
            for _ in range(90):
                middle = (low + high) / 2
                below = survival(np.sinh(middle)) > np.log(wanted)
                low, high = np.where(below, middle, low), np.where(below, high, middle)
            upper = np.sinh(low)
        return np.asarray(self.sigma * np.where(share < 0.5, -upper, upper))

    def rvs(self, size: int | tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
        """Return draws by the method of Chambers, Mallows & Stuck (1976).

        Parameters
        ----------
        size : int or tuple of int
            Shape of the result.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        ndarray
            Independent draws, in the unit of `sigma`.

        References
        ----------
        .. [1] J. Amer. Statist. Assoc. 71, 1976. doi:10.1080/01621459.1976.10480344
        """
        if self.alpha == 2:
            return np.asarray(self.sigma * np.sqrt(2) * rng.standard_normal(size))
        angle = rng.uniform(-np.pi / 2, np.pi / 2, size)
        if self.alpha == 1:
            return np.asarray(self.sigma * np.tan(angle))
        wait = rng.exponential(size=size)
        radius = np.sin(self.alpha * angle) / np.cos(angle) ** (1 / self.alpha)
        twist = (np.cos((1 - self.alpha) * angle) / wait) ** ((1 - self.alpha) / self.alpha)
        return np.asarray(self.sigma * radius * twist)

    def log_moments(self) -> tuple[float, float]:
        """Return mean and variance of log abs(X), which exist for every alpha.

        Returns
        -------
        mean : float
            ``log(sigma) + g (1/alpha - 1)``, g = 0.5772 (Euler's constant).
        variance : float
            ``pi**2 / 6 (1/alpha**2 + 1/2)`` [1]_.

        References
        ----------
        .. [1] X. Ma, C. L. Nikias, IEEE Trans. Signal Process. 43, 1995. doi:10.1109/78.482119

        Examples
        --------
        >>> mean, variance = SymmetricStable(1.0).log_moments()  # Cauchy: 0 and pi**2 / 4
        >>> (mean, round(variance, 4))
        (0.0, 2.4674)
        """
        mean = np.log(self.sigma) + np.euler_gamma * (1 / self.alpha - 1)
        variance = np.pi**2 / 6 * (1 / self.alpha**2 + 0.5)
        return float(mean), float(variance)

    def fisher_information(self) -> NDArray[np.float64]:
        """Return the information in one sample on (alpha, sigma), with the location known.

        The inverse, over n, is the Cramer-Rao bound on the covariance of unbiased estimates.

        Returns
        -------
        ndarray of shape (2, 2)
            At alpha = 2 the information on alpha is inf (DuMouchel, 1975 [1]_).

        References
        ----------
        .. [1] W. H. DuMouchel, J. Amer. Statist. Assoc. 70, 1975.
           doi:10.1080/01621459.1975.10479867

        Examples
        --------
        >>> information = SymmetricStable(1.0, 3.0).fisher_information()
        >>> round(float(information[1, 1]), 6)  # Cauchy: 1 / (2 sigma**2)
        0.055556
        """
        if self.alpha == 2:
            return np.array([[np.inf, 0.0], [0.0, 2 / self.sigma**2]])
        # Close to 2 the law changes on the scale of 2 - alpha; at the other end the table ends.
        step = 1e-3 * min(2 - self.alpha, 0.2)
        at = np.clip([self.alpha - step, self.alpha + step], SMALLEST_ALPHA, 2)
        # Trapezium in asinh(x / width), which the density leaves no faster than exp(-alpha u).
        u = np.linspace(0, 45 / self.alpha, _GRID)
        scale = width(self.alpha)
        x = scale * np.sinh(u)
        left, right = (SymmetricStable(float(alpha)).logpdf(x) for alpha in at)
        score_alpha = (right - left) / (at[1] - at[0])
        shift = 1e-4
        law = SymmetricStable(self.alpha)
        farther, nearer = law.logpdf(x * np.exp(shift)), law.logpdf(x * np.exp(-shift))
        score_sigma = -1 - (farther - nearer) / (2 * shift)  # of log sigma
        weight = 2 * law.pdf(x) * scale * np.cosh(u) * (u[1] - u[0])
        weight[0] /= 2
        scores = np.stack([score_alpha, score_sigma / self.sigma])
        return np.asarray((scores * weight) @ scores.T)

    def frozen(self) -> Any:
        """Return the same law as a frozen ``scipy.stats.levy_stable``.

        Returns
        -------
        scipy.stats.rv_frozen
            With alpha, beta = 0, loc = 0 and scale = sigma in either of scipy's
            parameterisations; its density costs about a millisecond a point.
        """
        from scipy import stats

        return stats.levy_stable(self.alpha, 0.0, loc=0.0, scale=self.sigma)
