"""Tail-index estimators: a sample in, a :class:`TailIndexEstimate` out. NumPy only.

To change an estimator, edit its one file here, its test, and the changelog.
"""

from noise_lens.estimators._characteristic_function import characteristic_function
from noise_lens.estimators._hill import hill
from noise_lens.estimators._log_moments import log_moments
from noise_lens.estimators._maximum_likelihood import maximum_likelihood
from noise_lens.estimators._mohammadi import mohammadi
from noise_lens.estimators._mohammadi_norm import mohammadi_norm
from noise_lens.estimators._moment import moment
from noise_lens.estimators._quantile import quantile
from noise_lens.estimators._scipy_fit import scipy_fit
from noise_lens.estimators.estimate import ConfidenceInterval, TailIndexEstimate
from noise_lens.estimators.hill_path import HillPath, hill_path
from noise_lens.estimators.log_histogram import LogHistogram

__all__ = [
    "ConfidenceInterval",
    "HillPath",
    "LogHistogram",
    "TailIndexEstimate",
    "characteristic_function",
    "hill",
    "hill_path",
    "log_moments",
    "maximum_likelihood",
    "mohammadi",
    "mohammadi_norm",
    "moment",
    "quantile",
    "scipy_fit",
]
