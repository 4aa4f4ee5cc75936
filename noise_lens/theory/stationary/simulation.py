"""The stationary law of SGD on linear regression, by simulation of many independent replicas."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from noise_lens.theory.kesten import kesten_tail_index
from noise_lens.theory.stationary.arguments import check_work, checked
from noise_lens.theory.stationary.recursion import Settings, block_size, run_block
from noise_lens.theory.stationary.rows import FiniteRows, FreshRows
from noise_lens.theory.stationary.sample import StationarySample, burn_in_of, growth_of, steps_said

WATCHED = 256
"""In how many replicas growth is measured: it adds as many to the cost."""
_LONGEST = 50_000  # steps that nobody asked for
_PILOT_STEPS, _PILOT_REPLICAS = 400, 256


def simulate_stationary(
    step_size: float,
    batch_size: int,
    dim: int | None = None,
    *,
    sigma: float = 1.0,
    noise: float = 1.0,
    n_replicas: int = 100_000,
    n_steps: int | None = None,
    burn_in: int | None = None,
    average_last: int | None = None,
    data: tuple[ArrayLike, ArrayLike] | None = None,
    replace: bool = False,
    momentum: float = 0.0,
    start: float | None = None,
    device: str = "cpu",
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> StationarySample:
    """Simulate SGD on linear regression in many independent replicas.

    ``x_k = x_{k-1} - (eta/b) sum a_i (a_i.x_{k-1} - y_i) + mu (x_{k-1} - x_{k-2})``, the sum over
    a minibatch of b rows: ``torch.optim.SGD`` on half the mean squared error. Fresh Gaussian rows
    and targets at every step ("online" [1]_), or minibatches of a data set ("offline").

    Parameters
    ----------
    step_size : float
        eta, positive. Beyond stability the sample is labelled as diverging.
    batch_size : int
        b, rows a minibatch.
    dim : int, optional
        d, coordinates; may be left out with `data`.
    sigma, noise : float
        Standard deviations of the entries of fresh rows, and of their targets.
    n_replicas : int
        Independent runs.
    n_steps : int, optional
        Steps of each; burn-in and average together if not given.
    burn_in : int, optional
        Steps before the average begins. If not given ``10 / (min(alpha, 1) abs(rho))``, and more
        for a start far outside the noise; at least 50. (alpha: for fresh rows without momentum.)
    average_last : int, optional
        Of how many last iterates the average is taken; half of the steps if not given.
    data : tuple of array_like, optional
        (A, y) of shapes (n, d) and (n,); A of full column rank.
    replace : bool
        Whether one minibatch of `data` may hold a row twice.
    momentum : float
        mu, in [0, 1).
    start : float, optional
        Starting points are N(0, start^2 I); the centre if not given.
    device : str
        Where it runs. Random numbers differ from device to device.
    seed : int
        Of everything; no global generator is touched.
    on_progress : callable, optional
        Called with replicas done and in all.

    Returns
    -------
    StationarySample
        Its `regime` says whether it is a sample of the stationary law.

    Raises
    ------
    ValueError
        An argument is out of range, the result is larger than this machine's memory, or no number
        of steps was given and the default would be above 50,000 steps, or 1e11 entries of rows.

    Notes
    -----
    Replicas run in blocks whose rows take at most 1 MiB a step, whatever `n_replicas`: beside the
    result (16 d bytes a replica) a simulation holds about 5 MiB, and `data` once. The first
    replicas of a larger simulation are those of a smaller one.

    References
    ----------
    .. [1] M. Gurbuzbalaban, U. Simsekli, L. Zhu, ICML 2021. arXiv:2006.04740

    Examples
    --------
    >>> sample = simulate_stationary(0.5, 1, 1, n_replicas=2000)  # E x^2 = eta / (2 - 3 eta)
    >>> sample.regime, sample.iterates.shape
    ('stationary', (2000, 1))
    """
    rows, on = checked(
        step_size, batch_size, dim, sigma=sigma, noise=noise, n_replicas=n_replicas,
        n_steps=n_steps, burn_in=burn_in, average_last=average_last, data=data, replace=replace,
        momentum=momentum, start=start, device=device, seed=seed,
    )  # fmt: skip
    n_dim = len(rows.centre)
    settings = Settings(
        rows, float(step_size), float(momentum), None if start is None else float(start),
        int(batch_size), 0, 0, int(seed), on,
    )  # fmt: skip
    exact = isinstance(rows, FreshRows) and momentum == 0
    theory = kesten_tail_index(step_size, batch_size, n_dim, sigma) if exact else None
    rho = None if theory is None else float(theory.lyapunov_exponent)
    # A diverging run has no index, and nothing to wait for.
    alpha = float(theory) if theory is not None and theory.alpha > 0 else 1.0
    excess = _start_over_noise(settings)
    asked = n_steps is not None or burn_in is not None
    n_steps, burn_in, average_last = _schedule(
        settings, rho, alpha, excess, n_steps, burn_in, average_last
    )
    if not asked:
        check_work(n_replicas, n_steps, settings.batch_size, n_dim)
    settings = dataclasses.replace(settings, n_steps=n_steps, average_last=average_last)
    size = block_size(settings.batch_size, n_dim)
    iterates, averages, logs = np.empty((n_replicas, n_dim)), np.empty((n_replicas, n_dim)), []
    for number, first in enumerate(range(0, n_replicas, size)):
        count = min(size, n_replicas - first)
        watched = max(min(WATCHED - first, count), 0)
        block = run_block(settings, number, count, watched)
        iterates[first : first + count] = block.iterates
        averages[first : first + count] = block.averages
        logs.append(block.growth)
        if on_progress is not None:
            on_progress(first + count, n_replicas)
    growth = growth_of(np.concatenate(logs))
    whole = np.isfinite(iterates).all(axis=1) & np.isfinite(averages).all(axis=1)
    if not whole.all():
        iterates, averages = iterates[whole], averages[whole]
    return StationarySample(
        iterates=iterates,
        averages=averages,
        centre=rows.centre,
        step_size=settings.step_size,
        batch_size=settings.batch_size,
        dim=n_dim,
        sigma=float(sigma),
        momentum=settings.momentum,
        inputs=rows.inputs if isinstance(rows, FiniteRows) else None,
        replace=replace,
        n_steps=n_steps,
        burn_in=burn_in,
        average_last=average_last,
        n_diverged=n_replicas - len(iterates),
        growth=growth,
        lyapunov_exponent=growth.mean if rho is None else rho,
        lyapunov_error=growth.standard_error if rho is None else 0.0,
        seed=seed,
        smallest_moment=min(alpha, 1.0),
        start_over_noise=excess,
        noiseless=isinstance(rows, FiniteRows) and rows.noiseless(settings.batch_size),
    )


def _schedule(
    settings: Settings,
    rho: float | None,
    alpha: float,
    excess: float,
    n_steps: int | None,
    burn_in: int | None,
    average_last: int | None,
) -> tuple[int, int, int]:
    """Return steps, burn-in and average: what was asked for, the rest from |rho|."""
    if n_steps is None and burn_in is None:
        if rho is None:
            steps = dataclasses.replace(settings, n_steps=_PILOT_STEPS, average_last=1)
            size = block_size(settings.batch_size, len(settings.rows.centre))
            pilot = min(_PILOT_REPLICAS, size)
            rho = growth_of(run_block(steps, 0, pilot, pilot).growth).mean
        # A run that diverges has nothing to wait for.
        burn_in = burn_in_of(rho if rho < 0 else -math.inf, alpha, excess)
        if 2 * burn_in > _LONGEST:
            raise ValueError(
                f"step size {settings.step_size} has rho = {rho:.2g} a step, so the start is "
                f"forgotten after some {steps_said(burn_in)} steps, and {_LONGEST:,} is the most "
                "that is run unasked: pass n_steps, or another step size"
            )
    if n_steps is None:
        n_steps = int(burn_in or 0) + int(average_last or max(int(burn_in or 0), 1))
    if average_last is None:
        average_last = max(1, n_steps - burn_in if burn_in is not None else n_steps // 2)
    if burn_in is None:
        burn_in = n_steps - average_last
    if burn_in + average_last > n_steps:
        raise ValueError(
            f"burn_in {burn_in} and average_last {average_last} exceed n_steps {n_steps}: the "
            "average is of the last iterates after the burn-in"
        )
    # Steps between the two belong to the burn-in: the average begins after them.
    return int(n_steps), int(n_steps - average_last), int(average_last)


def _start_over_noise(settings: Settings) -> float:
    """Return how far out a run starts, in units of what one step adds; at least 1."""
    if settings.start is None:
        return 1.0
    rows = settings.rows
    away = math.hypot(settings.start * math.sqrt(len(rows.centre)), np.linalg.norm(rows.centre))
    added = settings.step_size / math.sqrt(settings.batch_size) * rows.push
    return max(away / added, 1.0) if added > 0 else 1.0
