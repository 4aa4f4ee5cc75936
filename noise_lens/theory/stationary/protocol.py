"""The published experiment on synthetic data, and what theory says of each of its cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noise_lens.errors import NotEnoughDataError
from noise_lens.estimators.estimate import TailIndexEstimate
from noise_lens.theory.kesten import KestenTail, kesten_tail_index
from noise_lens.theory.stationary.arguments import check_seed
from noise_lens.theory.stationary.multiscale import median_over_block_sizes
from noise_lens.theory.stationary.sample import BURN_IN, Growth
from noise_lens.theory.stationary.simulation import simulate_stationary
from noise_lens.theory.stationary.tails import norms

PUBLISHED_BATCH_SIZES = (1, 2, 3, 4, 5, 10, 20)
PUBLISHED_STEP_SIZES = (0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2)


@dataclass(frozen=True)
class ProtocolCell:
    """One step size and minibatch size of the published experiment.

    Attributes
    ----------
    batch_size, step_size : int, float
        b and eta.
    theory : KestenTail
        For Gaussian inputs: index, regime and rho.
    growth : Growth or None
        rho measured on the data set, along the run; None where nothing was simulated.
    burn_in : int
        Steps before the published average begins.
    estimate : TailIndexEstimate or None
        The published reading, the median over block sizes on averages; None where nothing was
        simulated, or too few replicas stayed in float64.
    n_diverged : int
        Replicas that left float64.
    median_norm : float or None
        Of the averages about the least-squares solution.
    """

    batch_size: int
    step_size: float
    theory: KestenTail
    growth: Growth | None
    burn_in: int
    estimate: TailIndexEstimate | None
    n_diverged: int
    median_norm: float | None

    @property
    def lyapunov_exponent(self) -> float:
        """Rho, of Gaussian inputs."""
        return float(self.theory.lyapunov_exponent)

    @property
    def diverging(self) -> bool:
        """Whether rho is not negative: there is no stationary law to have a tail."""
        return self.lyapunov_exponent >= 0

    @property
    def mixed(self) -> bool:
        """Whether the burn-in is at least 10 / abs(rho), and rho negative."""
        return not self.diverging and self.burn_in * -self.lyapunov_exponent >= BURN_IN

    def __str__(self) -> str:
        """Say what the cell's number is of."""
        cell = f"b = {self.batch_size}, eta = {self.step_size:g}"
        read = "no reading" if self.estimate is None else f"reads {self.estimate.alpha:.2f}"
        if self.diverging:
            return f"{cell}: {read} on diverging iterates; {self.theory}"
        mixed = "" if self.mixed else f", not mixed after {self.burn_in:,} steps"
        return f"{cell}: {read}; theory: {self.theory}{mixed}"


def published_protocol(
    *,
    batch_sizes: Sequence[int] = PUBLISHED_BATCH_SIZES,
    step_sizes: Sequence[float] = PUBLISHED_STEP_SIZES,
    cells: Iterable[tuple[int, float]] | None = None,
    n_runs: int = 1600,
    n_steps: int = 1000,
    average_last: int = 500,
    n_rows: int = 10_000,
    dim: int = 100,
    seed: int = 0,
    device: str = "cpu",
    simulate: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[ProtocolCell]:
    """Repeat the synthetic experiment of the released notebook [1]_, with the theory of each cell.

    10,000 Gaussian rows of 100 coordinates, ``y = A x0 + 3 N(0, 1)``, ``x0 ~ 3 N(0, I)``; 1600 runs
    from ``5 N(0, I)``, minibatches without replacement; the mean of iterates 500 to 999 minus the
    least-squares solution; the median over block sizes of the multiscale estimator.

    Parameters
    ----------
    batch_sizes, step_sizes : sequence
        The grid; those of the notebook if not given.
    cells : iterable of tuple, optional
        Pairs of batch and step size instead of the grid.
    n_runs, n_steps, average_last, n_rows, dim : int
        As published if not given.
    seed : int
        Of the data set and all runs.
    device : str
        Where it runs.
    simulate : bool
        Whether to run it; else the theory alone.
    on_progress : callable, optional
        Called with cells done and in all.

    Returns
    -------
    list of ProtocolCell
        In the order asked for.

    Raises
    ------
    ValueError
        An argument is out of range.

    References
    ----------
    .. [1] M. Gurbuzbalaban, U. Simsekli, L. Zhu, ICML 2021, arXiv:2006.04740: synth_experiments of
       github.com/umutsimsekli/sgd_ht

    Examples
    --------
    >>> (cell,) = published_protocol(cells=[(5, 0.1)], simulate=False)
    >>> cell.diverging
    True
    """
    wanted = (
        list(cells) if cells is not None else [(b, eta) for b in batch_sizes for eta in step_sizes]
    )
    for name, count in (("n_rows", n_rows), ("dim", dim), ("n_runs", n_runs)):
        if count < 1 or count != int(count):
            raise ValueError(f"{name} must be a whole number of at least 1, got {count}")
    check_seed(seed)
    data = _data(n_rows, dim, seed) if simulate else None
    found = []
    for b, eta in wanted:
        theory = kesten_tail_index(eta, b, dim)
        growth, estimate, n_diverged, median_norm = None, None, 0, None
        if data is not None:
            sample = simulate_stationary(
                eta, b, data=data, n_replicas=n_runs, n_steps=n_steps, average_last=average_last,
                start=5.0, device=device, seed=_seed(seed, b, eta),
            )  # fmt: skip
            growth, n_diverged = sample.growth, sample.n_diverged
            try:
                estimate = median_over_block_sizes(sample.averages)
                median_norm = float(np.median(norms(sample.averages)))
            except NotEnoughDataError:
                estimate = None
        found.append(
            ProtocolCell(
                int(b), float(eta), theory, growth, n_steps - average_last, estimate, n_diverged,
                median_norm,
            )
        )  # fmt: skip
        if on_progress is not None:
            on_progress(len(found), len(wanted))
    return found


def _data(n_rows: int, dim: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng([seed, n_rows, dim])
    inputs = rng.standard_normal((n_rows, dim))
    truth = 3 * rng.standard_normal(dim)
    return inputs, inputs @ truth + 3 * rng.standard_normal(n_rows)


def _seed(seed: int, batch_size: int, step_size: float) -> int:
    # Of the cell itself: a cell alone is the same as in the grid, and no two share minibatches.
    entropy = [seed, batch_size, int(np.float64(step_size).view(np.uint64))]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])
