"""A population of directions under products of random matrices, weighted and resampled.

The transfer operator ``P_s f(v) = E |Mv|^s f(Mv / |Mv|)`` has the spectral radius h(s), the
growth rate of ``E |M_k ... M_1 v|^s`` [1]_. A population that moves by v -> Mv/|Mv| and is
resampled with weights |Mv|^s has this operator's law, and the mean weight a step is h(s).

References
----------
.. [1] Y. Guivarc'h, E. Le Page, Ann. Inst. H. Poincare 52, 2016. doi:10.1214/15-AIHP668
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noise_lens.theory.kesten.minibatches import Minibatches


@dataclass(frozen=True, slots=True)
class Growth:
    """What a stretch of steps says of log h at one order s."""

    log_moment: float
    standard_error: float
    slope: float
    effective_size: float


class Population:
    """Directions of the iterate, or of two successive iterates where there is momentum."""

    def __init__(
        self, minibatches: Minibatches, step_size: float, momentum: float, n_particles: int
    ) -> None:
        self.minibatches, self.momentum = minibatches, momentum
        self.rate = step_size / minibatches.batch_size
        self.n = n_particles
        shape = (2 if momentum else 1, n_particles, minibatches.dim)
        self.state = torch.randn(
            shape, generator=minibatches.generator, dtype=torch.float64, device=self._device
        )
        self._normalise()

    def step(self) -> Tensor:
        """Move every direction by its own minibatch; return the logarithms of the growth."""
        now = self.state[0]
        following = torch.empty_like(now)
        for part, inputs in self.minibatches.chunks(self.n):
            residuals = torch.einsum("nbd,nd->nb", inputs, now[part])
            following[part] = now[part] - self.rate * torch.einsum("nbd,nb->nd", inputs, residuals)
        if self.momentum:
            following += self.momentum * (now - self.state[1])
            self.state = torch.stack([following, now])
        else:
            self.state = following[None]
        return self._normalise()

    def growth(self, s: float, n_steps: int, *, skip: int) -> Growth:
        """Return log h(s) and its slope, from ``n_steps`` after ``skip`` further ones."""
        logs, squares, slopes = [], [], []
        block = max(3, n_steps // 20)
        along = torch.zeros(self.n, dtype=torch.float64, device=self._device)
        for number in range(skip + n_steps):
            growth = self.step()
            top = growth.max()
            if top == -math.inf:
                return Growth(-math.inf, 0.0, 0.0, float(self.n))
            weights = torch.exp(s * (growth - top))
            total = weights.sum()
            if number >= skip:
                if (number - skip) % (2 * block) < block:
                    along += growth
                logs.append(float(s * top + torch.log(total / self.n)))
                squares.append(float(2 * s * top + torch.log(weights.square().mean())))
            chosen = self._systematic(weights / total)
            self.state, along = self.state[:, chosen], along[chosen]
            if number >= skip and (number - skip) % (2 * block) == 2 * block - 1:
                # The derivative of log h is the growth along lines of descent that survive: a
                # block's, of those that are there a block later.
                slopes.append(float(along.mean()) / block)
                along.zero_()
        series = np.array(logs)
        spread = long_run_variance(series)
        level = series.max()
        mean = float(np.exp(series - level).mean())
        square = float(np.exp(np.array(squares) - 2 * level).mean())
        # The product of mean weights is unbiased for the moment, so their mean logarithm is
        # too low by half its variance.
        return Growth(
            float(series.mean()) + spread / 2,
            math.sqrt(spread / n_steps),
            float(np.mean(slopes)),
            self.n * mean**2 / square,
        )

    def exponent(self, n_steps: int, *, skip: int) -> tuple[float, float, float]:
        """Return the Lyapunov exponent, its error and the variance of log growth, by step."""
        along = torch.zeros(self.n, dtype=torch.float64, device=self._device)
        for number in range(skip + n_steps):
            growth = self.step()
            if number >= skip:
                along += growth
        if bool((along == -math.inf).any()):
            return -math.inf, 0.0, math.inf
        variance = float(along.var()) / n_steps
        return float(along.mean()) / n_steps, math.sqrt(variance / n_steps / self.n), variance

    @property
    def _device(self) -> torch.device:
        return self.minibatches.generator.device

    def _normalise(self) -> Tensor:
        norms = torch.linalg.vector_norm(self.state, dim=(0, 2))
        dead = norms == 0
        if bool(dead.any()):
            # A direction that was lost has weight 0; another takes its place.
            self.state[0, dead] = torch.randn(
                (int(dead.sum()), self.state.shape[2]),
                generator=self.minibatches.generator,
                dtype=torch.float64,
                device=self._device,
            )
            self.state /= torch.linalg.vector_norm(self.state, dim=(0, 2))[:, None]
        else:
            self.state /= norms[:, None]
        logs: Tensor = norms.log()
        return logs

    def _systematic(self, weights: Tensor) -> Tensor:
        offset = torch.rand(
            1, generator=self.minibatches.generator, dtype=torch.float64, device=self._device
        )
        places = (torch.arange(self.n, dtype=torch.float64, device=self._device) + offset) / self.n
        sums = weights.cumsum(0)
        return torch.searchsorted(sums, places * sums[-1]).clamp_(max=self.n - 1)


def long_run_variance(series: NDArray[np.float64]) -> float:
    """Return n times the variance of the mean of n correlated values.

    Autocovariances are summed in pairs for as long as pairs stay positive, none larger than the
    one before [1]_.

    Parameters
    ----------
    series : ndarray of shape (n,)
        A stationary series in the order of time, n at least 6.

    Returns
    -------
    float
        The variance of a value where values are independent.

    References
    ----------
    .. [1] C. J. Geyer, Statist. Sci. 7(4), 1992. doi:10.1214/ss/1177011137
    """
    centred = series - series.mean()
    n = centred.size
    covariances = [float(np.dot(centred[: n - k], centred[k:])) / n for k in range(max(n // 4, 2))]
    total, last, used = -covariances[0], math.inf, 0
    for even, odd in zip(covariances[::2], covariances[1::2], strict=False):
        last = min(last, even + odd)
        if last <= 0:
            break
        total, used = total + 2 * last, used + 2
    # Each covariance is too small by the variance of the mean.
    return float(max(total, 0.0) * n / (n - 2 * used))
