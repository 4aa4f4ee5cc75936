"""Differences between optimizers, from a comparison folder: NumPy and SciPy only.

Everything here is paired by seed and says why, where nothing may be said. How to read it:
docs/comparing.md.
"""

from noise_lens.contrasts.decomposition import TERMS, Decomposition, Level, decompose
from noise_lens.contrasts.differences import Difference, differences
from noise_lens.contrasts.matching import MATCHINGS
from noise_lens.contrasts.pairing import (
    CLAIM_PAIRS,
    PairedDifference,
    SeedMean,
    mean_over_seeds,
    paired_difference,
)
from noise_lens.contrasts.predictions import Prediction, predictions
from noise_lens.contrasts.ratio import Ratio, ratio_of_means
from noise_lens.contrasts.table import TableRow, Tail, comparison_table
from noise_lens.contrasts.trainings import baseline_of, combine

__all__ = [
    "CLAIM_PAIRS",
    "MATCHINGS",
    "TERMS",
    "Decomposition",
    "Difference",
    "Level",
    "PairedDifference",
    "Prediction",
    "Ratio",
    "SeedMean",
    "TableRow",
    "Tail",
    "baseline_of",
    "combine",
    "comparison_table",
    "decompose",
    "differences",
    "mean_over_seeds",
    "paired_difference",
    "predictions",
    "ratio_of_means",
]
