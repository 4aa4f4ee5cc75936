"""Replicas of SGD after many steps, and whether they are a sample of a stationary law."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Regime = Literal["stationary", "not mixed", "diverging", "undecided", "degenerate"]

BURN_IN = 10
"""In units of 1 / (min(alpha, 1) abs(rho)): only moments below alpha settle, and that of order s
forgets no faster than exp(s rho k). The tail is later than the body: 1.03 reads 1.17 after 10
of them in all, and 1.03 after 20, half of which are the burn-in."""
_SHORTEST = 50  # steps of a burn-in
_ERRORS = 3  # a measured growth this many standard errors from zero has a sign


@dataclass(frozen=True)
class Growth:
    """Log growth a step of the homogeneous recursion M_k ... M_1, measured.

    Attributes
    ----------
    mean, standard_error : float
        Over replicas; -inf where a step erases every vector, inf where one overflows.
    n : int
        Replicas.
    """

    mean: float
    standard_error: float
    n: int

    @property
    def sign(self) -> int:
        """1 growing, -1 shrinking, 0 where three standard errors do not tell."""
        if math.isinf(self.mean):
            return 1 if self.mean > 0 else -1
        return int(np.sign(self.mean)) * (abs(self.mean) > _ERRORS * self.standard_error)


@dataclass(frozen=True)
class StationarySample:
    """Where independent replicas of SGD are after many steps, and whether that is stationary.

    Attributes
    ----------
    iterates, averages : ndarray of shape (R - n_diverged, d)
        The last iterate of each replica and the mean of its last ones, minus `centre`. Replicas
        that left float64 are counted, not kept.
    centre : ndarray of shape (d,)
        The truth, zero, for fresh rows; the least-squares solution for a data set.
    step_size, momentum : float
        Of SGD.
    batch_size, dim : int
        Rows of a minibatch, coordinates.
    sigma : float
        Standard deviation of the entries of fresh rows; 1 and without meaning for a data set.
    inputs : ndarray of shape (n, d) or None
        The data set; None: fresh rows.
    replace : bool
        Whether a minibatch of the data set may hold a row twice.
    n_steps, burn_in, average_last : int
        Steps; those before the average begins; and of how many last iterates it is.
    n_diverged : int
        Replicas whose numbers left float64.
    growth : Growth
        Measured along the run.
    lyapunov_exponent : float
        rho: exact for fresh rows without momentum, else the measured growth.
    lyapunov_error : float
        Its standard error; 0 where it is exact.
    seed : int
        Of the simulation.
    smallest_moment : float
        The smaller of 1 and the theoretical index, where that has a closed form; else 1.
    start_over_noise : float
        How far out the runs began, in units of what one step adds; at least 1.
    noiseless : bool
        Whether no minibatch moves the centre: a data set fitted exactly, or all of it a minibatch.
    """

    iterates: NDArray[np.float64] = field(repr=False)
    averages: NDArray[np.float64] = field(repr=False)
    centre: NDArray[np.float64] = field(repr=False)
    step_size: float
    batch_size: int
    dim: int
    sigma: float
    momentum: float
    inputs: NDArray[np.float64] | None = field(repr=False)
    replace: bool
    n_steps: int
    burn_in: int
    average_last: int
    n_diverged: int
    growth: Growth
    lyapunov_exponent: float
    lyapunov_error: float
    seed: int
    smallest_moment: float = 1.0
    start_over_noise: float = 1.0
    noiseless: bool = False

    @property
    def needed_burn_in(self) -> int | None:
        """Steps after which the start is forgotten, as `burn_in_of` has it; None: never."""
        if self.lyapunov_exponent >= 0:
            return None
        return burn_in_of(self.lyapunov_exponent, self.smallest_moment, self.start_over_noise)

    @property
    def regime(self) -> Regime:
        """What the replicas are a sample of."""
        exact = self.lyapunov_error == 0
        sign = np.sign(self.lyapunov_exponent) if exact else self.growth.sign
        if sign > 0:
            return "diverging"
        if sign == 0:
            return "diverging" if exact else "undecided"
        if self.noiseless:
            return "degenerate"
        return "stationary" if self.burn_in >= (self.needed_burn_in or 0) else "not mixed"

    def __str__(self) -> str:
        """Say what the sample is, and what it is not."""
        rho = _plus_minus(self.lyapunov_exponent, self.lyapunov_error)
        said = {
            "stationary": f"stationary: rho = {rho} a step, so the start weighs "
            f"exp({max(self.lyapunov_exponent * self.burn_in, -999):.0f}) after the burn-in of "
            f"{self.burn_in:,} steps",
            "not mixed": f"not mixed: rho = {rho} a step needs a burn-in of "
            f"{steps_said(self.needed_burn_in or 0)} steps, this one has {self.burn_in:,}: the "
            "start is still in the sample",
            "diverging": f"diverging: rho = {rho} a step, there is no stationary law: what is "
            f"seen depends on the {self.n_steps:,} steps",
            "undecided": f"undecided: rho = {rho} a step may be either side of 0: run more steps "
            "or more replicas",
            "degenerate": f"degenerate: rho = {rho} a step and no minibatch moves the centre: the "
            "stationary law is that point and has no tail",
        }[self.regime]
        if self.n_diverged:
            total = len(self.iterates) + self.n_diverged
            said += f"; {self.n_diverged:,} of {total:,} replicas left float64 and are left out"
        return said


def burn_in_of(
    lyapunov_exponent: float, alpha: float = math.inf, start_over_noise: float = 1.0
) -> int:
    """Return after how many steps the start is forgotten: at least 10 / (min(alpha, 1) abs(rho)).

    Parameters
    ----------
    lyapunov_exponent : float
        rho, not 0.
    alpha : float
        The tail index, where it is known.
    start_over_noise : float
        How far out a run starts, in units of what one step adds; its logarithm over abs(rho) is
        the time until it is down to that.

    Returns
    -------
    int
        Steps, at least 50.
    """
    rho = max(abs(lyapunov_exponent), 1e-290)
    needed = BURN_IN / min(alpha, 1.0) + math.log(max(start_over_noise, 1.0))
    return max(_SHORTEST, math.ceil(needed / rho))


def steps_said(n: int) -> str:
    """Return a number of steps in words of at most a few digits.

    Parameters
    ----------
    n : int
        Steps.

    Returns
    -------
    str
        With commas, or a power of ten where there would be many.
    """
    return f"{n:,}" if n < 10**9 else f"{n:.1e}"


def growth_of(logs: NDArray[np.float64]) -> Growth:
    """Return the growth that replicas measured.

    Parameters
    ----------
    logs : ndarray of shape (n,)
        Mean log growth of each; -inf where a step erased its vector.

    Returns
    -------
    Growth
        Its mean and error.
    """
    if not np.isfinite(logs).all():
        erased = np.isneginf(logs).any()
        return Growth(-math.inf if erased else math.inf, 0.0, len(logs))
    error = float(logs.std(ddof=1) / math.sqrt(len(logs))) if len(logs) > 1 else math.inf
    return Growth(float(logs.mean()), error, len(logs))


def _plus_minus(value: float, error: float) -> str:
    return f"{value:.2g}" if not error else f"{value:.2g} +- {error:.1g}"
