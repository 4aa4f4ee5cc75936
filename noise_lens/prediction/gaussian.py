"""The diffusion theory's escape time, and whether the measured noise is what it assumes."""

from __future__ import annotations

import math

import numpy as np

from noise_lens.landscape import Curvature
from noise_lens.prediction.measured import Measured
from noise_lens.prediction.rates import Coordinates
from noise_lens.prediction.result import Escape
from noise_lens.theory.escape.adai import adam_diffusion_time, sgd_diffusion_time

_GAUSSIAN = "Gaussian (diffusion theory)"


def gaussian_escape(
    of: Measured,
    known: Curvature,
    sampled: Coordinates,
    barrier: float,
    learning_rate: float,
    optimizer: str,
) -> Escape:
    """Return the diffusion theory's time along the sharpest direction, whose exponent is least.

    Parameters
    ----------
    of : Measured
        The noise.
    known : Curvature
        The loss.
    sampled : Coordinates
        Both, coordinate by coordinate.
    barrier, learning_rate : float
        Of the prediction.
    optimizer : str
        Whose theory: "sgd" or "adam".

    Returns
    -------
    Escape
        Without a range; its note says how far the noise that was measured is from its own.
    """
    top, batch_size = float(known.eigenvalues[0]), of.record["batch_size"]
    if not (top > 0 and batch_size):
        lacks = "no positive curvature" if batch_size else "no batch size"
        note = f"there is {lacks}, which the diffusion theory needs"
        return Escape(_GAUSSIAN, math.nan, math.nan, math.nan, learning_rate, note, math.nan)
    formula = adam_diffusion_time if optimizer == "adam" else sgd_diffusion_time
    found = formula(barrier, top, -top, learning_rate=learning_rate, batch_size=batch_size)
    note = (
        f"noise covariance H / {batch_size}, no jumps; along the largest eigenvalue {top:.4g}, "
        f"over a saddle that is as sharp; the formula is from {found.source}. No range: the noise "
        "is assumed, not measured"
        f"{_against_gaussian(of, sampled, batch_size)}"
    )
    time = float(found)
    return Escape(_GAUSSIAN, time, time, time, learning_rate, note, found.log_time / math.log(10))


def _against_gaussian(of: Measured, sampled: Coordinates, batch_size: int) -> str:
    """Return how far measured variances are from the curvature over the batch size."""
    curved = sampled.curvature > 0
    if not curved.any():
        return ""
    ratios = of.variances[curved] * batch_size / sampled.curvature[curved]
    low, middle, high = np.quantile(ratios, [0.05, 0.5, 0.95])
    return (
        f". Over {len(ratios)} coordinates the measured variance is {middle:.2g} times H_ii / "
        f"{batch_size} in the median ({low:.2g} to {high:.2g} from 5 % to 95 %), where this theory "
        "has 1; and it needs the minimum, the quadratic and the small noise, too"
    )
