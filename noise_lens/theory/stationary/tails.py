"""What estimators read on stationary iterates, beside the theory, and what biases each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from noise_lens.errors import NotEnoughDataError
from noise_lens.estimators import hill
from noise_lens.estimators.estimate import TailIndexEstimate
from noise_lens.theory.kesten import (
    KestenTail,
    gaussian_inputs,
    kesten_tail_index,
    kesten_tail_of_inputs,
)
from noise_lens.theory.kesten.tail import without_noise
from noise_lens.theory.stationary.multiscale import PUBLISHED_BLOCK_SIZES, median_over_block_sizes
from noise_lens.theory.stationary.sample import StationarySample

BIASES = {
    ("hill", "iterates"): (
        "Reads low where the index is large: the largest 1 % then still belong to the body (4.0 "
        "reads 3.6). On a light tail it reads a number too."
    ),
    ("mohammadi_norm", "iterates"): (
        "Reads low, and about 2 at most: iterates have Pareto tails and are not stable, so their "
        "sums are still on the way to a stable law (1.55 reads 1.4, 2.0 reads 1.6, 3.0 reads 1.8)."
    ),
    ("mohammadi_norm", "averages"): (
        "Reads low, and about 2 at most: an average over steps is closer to a stable law than an "
        "iterate is, but not there (1.55 reads 1.5, 2.0 reads 1.7, 3.0 reads 1.9)."
    ),
}
"""By method and sample; numbers are those of 100,000 replicas in one or two coordinates."""


@dataclass(frozen=True)
class StationaryTail:
    """One estimate of the tail of simulated iterates.

    Attributes
    ----------
    of : {"iterates", "averages"}
        The last iterate of each replica, or the mean of its last ones.
    method : {"hill", "mohammadi_norm"}
        The estimator.
    setting : str
        Its order statistics or block sizes.
    estimate : TailIndexEstimate or None
        With its interval; None where there are too few replicas.
    theory : KestenTail
        What the index should be; may say that there is no stationary law.
    label : str
        Empty for a stationary sample; else what the number is of instead.
    bias : str
        One sentence: towards what this reading errs.
    """

    of: Literal["iterates", "averages"]
    method: Literal["hill", "mohammadi_norm"]
    setting: str
    estimate: TailIndexEstimate | None
    theory: KestenTail
    label: str
    bias: str

    def __str__(self) -> str:
        """Say the number, its interval, and what it is of."""
        name = f"{self.method} on {self.of} ({self.setting})"
        if self.estimate is None:
            said = "no estimate" if self.label else "no estimate, too few replicas are finite"
        elif math.isinf(float(self.estimate.alpha)):
            said = "no power tail"
        else:
            low, high = self.estimate.confidence_interval()
            said = f"{self.estimate.alpha:.2f} [{low:.2f}, {high:.2f}]"
        return f"{name}: {said}" + (f" ({self.label})" if self.label else "")


def stationary_tails(
    sample: StationarySample, *, share: float = 0.01, theory: KestenTail | None = None
) -> list[StationaryTail]:
    """Estimate the tail index of simulated iterates in the ways of the literature.

    Hill's estimator on the norms of the last iterates, and the multiscale estimator on last
    iterates and on averages, its median over the published block sizes.

    Parameters
    ----------
    sample : StationarySample
        From :func:`simulate_stationary`.
    share : float
        Which share of the norms Hill's estimator uses, between 0 and 1.
    theory : KestenTail, optional
        What the index should be; computed if not given: in closed form for fresh rows, by Monte
        Carlo for a data set or with momentum.

    Returns
    -------
    list of StationaryTail
        Three rows. Where the run diverges, has not mixed or cannot be told, `label` says that
        the numbers are no tail index of a stationary law.

    Raises
    ------
    ValueError
        `share` is out of range.

    Examples
    --------
    >>> from noise_lens.theory.stationary import simulate_stationary
    >>> rows = stationary_tails(simulate_stationary(0.9, 1, 1, n_replicas=20_000))
    >>> print(rows[0].theory.regime, [row.label for row in rows])
    infinite variance ['', '', '']
    """
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, got {share}. For 1 % pass 0.01.")
    found = theoretical_tail(sample) if theory is None else theory
    label = _label(sample)
    lengths = norms(sample.iterates)
    k = max(1, round(share * len(lengths)))
    sizes = f"{min(PUBLISHED_BLOCK_SIZES)} to {max(PUBLISHED_BLOCK_SIZES)}"
    readings: list[tuple[Literal["iterates", "averages"], Literal["hill", "mohammadi_norm"]]] = [
        ("iterates", "hill"),
        ("iterates", "mohammadi_norm"),
        ("averages", "mohammadi_norm"),
    ]
    rows = []
    for of, method in readings:
        estimate: TailIndexEstimate | None = None
        try:
            if sample.noiseless:
                pass  # what is left of the start, or rounding
            elif method == "hill" and k < len(lengths):
                estimate = hill(lengths, k)
            elif method == "mohammadi_norm":
                vectors = sample.iterates if of == "iterates" else sample.averages
                estimate = median_over_block_sizes(vectors)
        except NotEnoughDataError:
            pass
        setting = (
            f"k = {k:,}, {100 * share:g} % of the norms"
            if method == "hill"
            else f"median over blocks of {sizes}"
        )
        rows.append(StationaryTail(of, method, setting, estimate, found, label, BIASES[method, of]))
    return rows


def theoretical_tail(sample: StationarySample) -> KestenTail:
    """Return the theoretical tail of the law that a sample is meant to be of.

    Parameters
    ----------
    sample : StationarySample
        From :func:`simulate_stationary`.

    Returns
    -------
    KestenTail
        In closed form for fresh rows without momentum, else by Monte Carlo with an error;
        "degenerate" where no minibatch moves the centre.
    """
    if sample.inputs is None and sample.momentum == 0:
        return kesten_tail_index(sample.step_size, sample.batch_size, sample.dim, sample.sigma)
    inputs = gaussian_inputs(sample.dim, sample.sigma) if sample.inputs is None else sample.inputs
    tail: KestenTail = kesten_tail_of_inputs(
        inputs, sample.step_size, sample.batch_size, momentum=sample.momentum,
        replace=sample.replace,
    )  # fmt: skip
    return without_noise(tail) if sample.noiseless else tail


def _label(sample: StationarySample) -> str:
    return {
        "stationary": "",
        "not mixed": "of a run that has not mixed, not a stationary tail",
        "diverging": "of a diverging run, not a stationary tail",
        "degenerate": "of a law that is a point and has no tail",
        "undecided": "of a run that may diverge, perhaps not a stationary tail",
    }[sample.regime]


def norms(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the length of each row, also where its square is beyond float64.

    Parameters
    ----------
    vectors : ndarray of shape (n, d)
        Finite.

    Returns
    -------
    ndarray of shape (n,)
        Norms.
    """
    # Each over its largest coordinate first: squares of diverging iterates overflow.
    largest = np.abs(vectors).max(axis=1, initial=0, keepdims=True)
    unit = np.divide(vectors, largest, out=np.zeros_like(vectors), where=largest > 0)
    return np.asarray(largest[:, 0] * np.linalg.norm(unit, axis=1))
