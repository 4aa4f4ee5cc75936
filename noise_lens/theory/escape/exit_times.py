"""What a simulation of exit times found, and what can be said of it when some paths never left."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noise_lens.theory.levy.halving import FEW_LOST, StepHalving

_SURVIVORS = " of paths that did not diverge"


class ExitTimeMean(NamedTuple):
    """A mean exit time, its standard error, and what kind of mean it is.

    Attributes
    ----------
    value : float
        In units of time; NaN where there is no mean.
    standard_error : float
        Of Monte Carlo alone; 0 for a bound; NaN where there is no mean.
    kind : str
        "mean": of all paths. "restricted mean": of min(exit time, max_time), below the mean.
        "exponential": time spent inside over exits, the mean *if* the law is exponential.
        "lower bound": no path left; the mean of an exponential law is above, with 95 % confidence.
        Where up to 5 % of the paths diverged, each followed by "of paths that did not diverge".
        "no mean": more diverged, and those that are left do not speak for them.
    """

    value: float
    standard_error: float
    kind: str

    def __str__(self) -> str:
        if self.kind.startswith("lower bound"):
            which = self.kind.removeprefix("lower bound")
            return f"above {self.value:.4g} (95 %, if the law is exponential): no path left" + (
                f" ({which.strip()})" if which else ""
            )
        return f"{self.value:.4g} ± {self.standard_error:.2g} ({self.kind})"


class NoMean(ExitTimeMean):
    """The answer where too many paths diverged, with its words."""

    words: str

    def __str__(self) -> str:
        return self.words


class ExponentialTest(NamedTuple):
    """A Kolmogorov-Smirnov test of an exponential exit law whose mean is not known.

    Attributes
    ----------
    statistic : float
        Largest distance between the law of the paths and the exponential law of their mean.
    pvalue : float
        Share of exponential samples, censored and fitted alike, that lie as far off.
    mean : float
        The fitted mean.
    """

    statistic: float
    pvalue: float
    mean: float


@dataclass(frozen=True)
class EscapeTimes:
    """First exit times of simulated paths; returned by `escape_times`.

    Attributes
    ----------
    times : ndarray of shape (n,)
        Time of the first look at which a path was outside; `max_time` where it never was; for a
        path that diverged, when it did.
    censored : ndarray of bool, shape (n,)
        Paths that were still inside at `max_time`: their exit times are longer.
    diverged_paths : ndarray of bool, shape (n,)
        Paths that went astray in the scheme, not out of the basin. No statistic counts them, and
        where they are more than 5 % there is none.
    exit_points : ndarray of shape (n_exits, d)
        Where the paths that left were first seen outside, in the order of the paths.
    step_size : float
        Time between two looks.
    max_time : float
        When waiting ended.
    halving : StepHalving or None
        What halving the step did to min(exit time, max_time).
    """

    times: NDArray[np.float64]
    censored: NDArray[np.bool_]
    diverged_paths: NDArray[np.bool_]
    exit_points: NDArray[np.float64] = field(repr=False)
    step_size: float
    max_time: float
    halving: StepHalving | None = None

    @property
    def n_paths(self) -> int:
        """How many paths were started."""
        return len(self.times)

    @property
    def exited(self) -> NDArray[np.bool_]:
        """Which paths left the basin."""
        return ~(self.censored | self.diverged_paths)

    @property
    def n_exits(self) -> int:
        """How many paths left the basin."""
        return int(self.exited.sum())

    @property
    def diverged(self) -> int:
        """How many paths diverged."""
        return int(self.diverged_paths.sum())

    def mean_with_error(self, *, law: Literal["any", "exponential"] = "any") -> ExitTimeMean:
        """Return the mean exit time with its standard error, and what kind of mean it is.

        Parameters
        ----------
        law : {"any", "exponential"}
            What may be assumed where paths were censored. "any": nothing, and the mean is of
            min(exit time, max_time). "exponential": the mean is the time that all paths spent
            inside over the number of exits, with relative error ``1/sqrt(exits)``.

        Returns
        -------
        ExitTimeMean
            (value, standard_error, kind). Kind "no mean" where more than 5 % of the paths diverged.

        Raises
        ------
        ValueError
            There is one path alone.
        """
        if law not in ("any", "exponential"):
            raise ValueError(f'law must be "any" or "exponential", got {law!r}')
        if self.n_paths < 2:
            raise ValueError(f"a mean with its error needs at least 2 paths, got {self.n_paths}")
        if self._too_many_diverged:
            found = NoMean(math.nan, math.nan, "no mean")
            found.words = self._no_mean()
            return found
        times = self.times[~self.diverged_paths]
        which = _SURVIVORS if self.diverged else ""
        n_exits = self.n_exits
        if n_exits == 0:
            return ExitTimeMean(float(times.sum()) / math.log(20), 0.0, "lower bound" + which)
        if law == "exponential" and self.censored.any():
            mean = float(times.sum()) / n_exits
            return ExitTimeMean(mean, mean / math.sqrt(n_exits), "exponential" + which)
        error = float(times.std(ddof=1)) / math.sqrt(len(times))
        kind = "restricted mean" if self.censored.any() else "mean"
        return ExitTimeMean(float(times.mean()), error, kind + which)

    @property
    def _too_many_diverged(self) -> bool:
        return self.diverged > FEW_LOST * self.n_paths

    def _no_mean(self) -> str:
        return (
            f"no mean exit time: {self.diverged} of {self.n_paths} paths diverged at step size "
            f"{self.step_size:g}, and the others do not speak for them. Take a smaller step, or "
            "see where the gradient is not finite"
        )

    def exponential_test(self, *, n_resamples: int = 999, seed: int = 0) -> ExponentialTest:
        """Test whether exit times are exponential (Kolmogorov and Smirnov; Lilliefors).

        The mean is fitted, and censoring taken in, and the p-value is that of samples of an
        exponential law that were fitted and censored in the same way. Exit times are multiples
        of the step: ask only where the mean is hundreds of steps.

        Parameters
        ----------
        n_resamples : int
            Samples behind the p-value, whose smallest value is ``1/(n_resamples + 1)``.
        seed : int
            Seed of those samples.

        Returns
        -------
        ExponentialTest
            (statistic, pvalue, mean).

        Raises
        ------
        ValueError
            Fewer than 5 paths left, or more than 5 % diverged.
        """
        if self._too_many_diverged:
            raise ValueError(f"no law of exit times, and {self._no_mean()}")
        if self.n_exits < 5:
            raise ValueError(
                f"the law of exit times needs at least 5 exits, got {self.n_exits} of "
                f"{self.n_paths} paths. Wait longer, or simulate more paths"
            )
        times = np.sort(self.times[~self.diverged_paths])
        end = self.max_time if self.censored.any() else math.inf
        statistic, mean = _distance_to_exponential(times, self.n_exits)
        rng = np.random.default_rng(seed)
        as_far = 0
        for _ in range(n_resamples):
            drawn = np.sort(rng.standard_exponential(len(times)) * mean)
            n_exits = int(np.searchsorted(drawn, end))
            if n_exits:
                as_far += _distance_to_exponential(drawn.clip(max=end), n_exits)[0] >= statistic
        return ExponentialTest(statistic, (1 + as_far) / (1 + n_resamples), mean)

    def __str__(self) -> str:
        said = [f"{self.n_exits} of {self.n_paths} paths left"]
        if n_censored := int(self.censored.sum()):
            said.append(f"{n_censored} were still inside at time {self.max_time:g} (censored)")
        if self.diverged:
            said.append(
                f"{self.diverged} diverged at step size {self.step_size:g} and are not counted"
            )
        if self._too_many_diverged:
            said.append(self._no_mean())
        elif self.n_paths > 1:
            said.append(f"exit time {self.mean_with_error()}")
            if self.n_exits and n_censored:
                said.append(f"{self.mean_with_error(law='exponential')}")
        return "; ".join(said)


def _distance_to_exponential(times: NDArray[np.float64], n_exits: int) -> tuple[float, float]:
    """Return the Kolmogorov-Smirnov distance of sorted, perhaps censored times, and their mean."""
    n = len(times)
    mean = float(times.sum()) / n_exits
    law = -np.expm1(-times[:n_exits] / mean)
    steps = np.arange(n_exits + 1) / n
    distance = max(float((steps[1:] - law).max()), float((law - steps[:-1]).max()))
    if n_exits < n:  # up to where waiting ended, nothing more came
        distance = max(distance, float(-np.expm1(-times[-1] / mean) - steps[-1]))
    return distance, mean
