"""A door to scipy's stable law, for those who want to compare."""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import ArrayLike

from noise_lens.errors import SamplesError
from noise_lens.estimators._maximum_likelihood import bound_deviations
from noise_lens.estimators._samples import as_columns
from noise_lens.estimators.estimate import TailIndexEstimate

MAXIMUM_SAMPLES = 300
_SECONDS_A_SAMPLE = 0.08  # about 90 evaluations of the likelihood at 0.9 ms a point


def scipy_fit(x: ArrayLike, *, max_samples: int = MAXIMUM_SAMPLES) -> TailIndexEstimate:
    """Fit ``scipy.stats.levy_stable`` by its own likelihood, with beta fixed at 0.

    The expected time is written to stderr first: about 0.08 s a sample, thousands of times
    that of :func:`noise_lens.maximum_likelihood`, which has the same model without the free
    location.

    Parameters
    ----------
    x : array_like, shape (n,)
        Noise samples; exact zeros are counted and dropped.
    max_samples : int
        Refuse more non-zero samples than this; raise it to accept the time.

    Returns
    -------
    TailIndexEstimate
        scipy's ``alpha`` and scale; error and interval are those of the Cramer-Rao bound, which
        scipy does not give.

    Raises
    ------
    SamplesError
        `x` is not a finite real sample of one axis, or has more than `max_samples`.
    NotEnoughDataError
        Fewer than 20 non-zero samples.
    """
    columns = as_columns(x, "scipy_fit", 20)
    if not columns.scalar:
        raise SamplesError(
            f"scipy_fit takes one series of shape (n,), got shape {columns.values.shape}. "
            "maximum_likelihood fits all columns at once."
        )
    samples = columns.values[columns.values != 0]
    n = len(samples)
    expected = f"about {max(n * _SECONDS_A_SAMPLE, 1):,.0f} s"
    if n > max_samples:
        raise SamplesError(
            f"scipy_fit takes {expected} for {n} samples, and max_samples is {max_samples}. "
            f"Use maximum_likelihood, or pass max_samples={n} to wait."
        )
    sys.stderr.write(f"scipy.stats.levy_stable.fit of {n} samples: {expected}\n")
    from scipy import stats

    with np.errstate(all="ignore"):
        alpha, _, _, sigma = stats.levy_stable.fit(samples, fbeta=0.0)
    return TailIndexEstimate(
        alpha=float(alpha),
        standard_error=float(np.interp(alpha, *bound_deviations()) / np.sqrt(n)),
        n=n,
        method="scipy",
        sigma=float(sigma),
        n_zero=int(columns.n_zero[0]),
        pivot="score",
        deviations=bound_deviations(),
        upper=2.0,
    )
