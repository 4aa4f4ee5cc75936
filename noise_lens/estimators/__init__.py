"""Tail-index estimators: a sample in, a :class:`TailIndexEstimate` out. NumPy only.

To change an estimator, edit its one file here, its test, and the changelog.
"""

from noise_lens.estimators._characteristic_function import characteristic_function
from noise_lens.estimators._hill import hill
from noise_lens.estimators._mohammadi import mohammadi
from noise_lens.estimators.estimate import ConfidenceInterval, TailIndexEstimate

__all__ = [
    "ConfidenceInterval",
    "TailIndexEstimate",
    "characteristic_function",
    "hill",
    "mohammadi",
]
