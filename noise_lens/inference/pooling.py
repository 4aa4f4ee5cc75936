"""One estimate from many coordinates, with an error that counts minibatches, not entries."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from noise_lens.estimators import TailIndexEstimate
from noise_lens.estimators._hill import check_k
from noise_lens.estimators._mohammadi import DEFAULT_BLOCK_SIZE, check_block_size
from noise_lens.estimators.estimate import assembled, from_reciprocal
from noise_lens.inference.jackknife import group_labels
from noise_lens.inference.replicates import (
    Replicates,
    characteristic_function_replicates,
    mohammadi_replicates,
    norm_replicates,
    sample_replicates,
)
from noise_lens.inference.rows import as_rows

BLOCK_METHODS = ("mohammadi", "mohammadi_norm")
TAIL_METHODS = ("hill", "moment")
LIKELIHOOD_METHODS = ("characteristic_function", "maximum_likelihood")
POOLED_METHODS = (*LIKELIHOOD_METHODS, *BLOCK_METHODS, "log_moments", "quantile", *TAIL_METHODS)


def pooled(
    rows: ArrayLike,
    method: str = "characteristic_function",
    *,
    block_size: int | None = None,
    k: int | None = None,
) -> TailIndexEstimate:
    """Estimate one tail index from all coordinates of minibatch noise.

    Every coordinate is divided by the geometric mean of its own magnitudes before any pooling;
    the error is a jackknife over 20 groups of minibatches, because the coordinates of one
    minibatch are not independent: an error that took them so covers 20 to 30 % under a common
    radius.

    Parameters
    ----------
    rows : array_like, shape (M, d)
        One row a minibatch, zero location: noise against the exact gradient, or differences of
        disjoint pairs. Any unit, also one a column.
    method : str
        "characteristic_function", "maximum_likelihood", "mohammadi", "mohammadi_norm",
        "log_moments", "quantile", "hill" or "moment". Blocks run over minibatches, inside a
        coordinate ("mohammadi") or of whole rows ("mohammadi_norm").
    block_size : int, optional
        Minibatches a block, for the two that have blocks; at least 2 and at most half the rows,
        8 if not given.
    k : int, optional
        Upper order statistics among all entries, for "hill" and "moment", which need it.

    Returns
    -------
    TailIndexEstimate
        Scalars. Those of the stable law that lie in (0, 2] ("characteristic_function",
        "maximum_likelihood", "quantile") are calibrated for the self-standardisation, and their
        interval is Student's t with 19 degrees; the others' is that of 1/alpha or its square, with
        one degree less than there are blocks of rows where that is fewer.
        ``n`` counts non-zero entries of usable coordinates (20 non-zero samples that vary; rows
        for "mohammadi_norm"), ``sigma`` is in units of a coordinate's geometric mean magnitude.

    Raises
    ------
    ValueError
        `method` is unknown, `block_size` or `k` is out of range, or given to a method without.
    SamplesError
        `rows` is not a finite real array of two axes.
    NotEnoughDataError
        Fewer than 20 rows, or no coordinate with 20 non-zero samples that vary.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> rows = rng.standard_normal((400, 30)) * np.exp(rng.standard_normal(30))
    >>> round(pooled(rows).alpha, 2)  # Gaussian, whatever the scales
    2.0
    """
    if method not in POOLED_METHODS:
        raise ValueError(f"method must be one of {', '.join(POOLED_METHODS)}; got {method!r}")
    checked = as_rows(rows, "pooled")
    labels = group_labels(len(checked))
    _check_options(method, block_size=block_size, k=k, shape=checked.shape)
    if method == "characteristic_function":
        found = characteristic_function_replicates(checked, labels)
    elif method in BLOCK_METHODS:
        replicates = mohammadi_replicates if method == "mohammadi" else norm_replicates
        found = replicates(checked, labels, block_size or DEFAULT_BLOCK_SIZE)
    else:
        found = sample_replicates(checked, labels, method, k)
    degrees = float(len(found.leave_out) - 1)
    if method in BLOCK_METHODS:
        # Few blocks tell no more than their number, however many groups are left out.
        blocks = len(checked) // (block_size or DEFAULT_BLOCK_SIZE)
        degrees = max(1.0, min(degrees, float(blocks - 1)))
    if method in (*LIKELIHOOD_METHODS, "quantile"):
        # The quantiles of a sample move when rows are left out, also at 2.
        regular = method == "quantile"
        return TailIndexEstimate(
            alpha=min(found.value, 2.0),
            standard_error=found.standard_error if regular else found.error_near_2,
            n=found.n,
            method=method,
            sigma=found.sigma,
            n_zero=found.n_zero,
            degrees_of_freedom=degrees,
            upper=2.0,
        )
    return _from_reciprocal(found, method, degrees)


def _from_reciprocal(found: Replicates, method: str, degrees: float) -> TailIndexEstimate:
    power = 2 if method == "log_moments" else 1
    return assembled(
        scalar=True,
        alpha=from_reciprocal(np.array([found.value]), power),
        n=found.n,
        method=method,
        n_zero=found.n_zero,
        pivot="reciprocal",
        reciprocal=np.array([found.value]),
        reciprocal_error=np.array([found.standard_error]),
        power=power,
        degrees_of_freedom=degrees,
        reasons={},
    )


def _check_options(
    method: str, *, block_size: int | None, k: int | None, shape: tuple[int, ...]
) -> None:
    if method in BLOCK_METHODS:
        check_block_size(block_size or DEFAULT_BLOCK_SIZE, shape[0])
    elif block_size is not None:
        raise ValueError(f"block_size={block_size} was given, and {method} has no blocks")
    if method in TAIL_METHODS:
        if k is None:
            raise ValueError(
                f"pooled with {method} needs k, the number of largest entries to use, got none: "
                "no threshold is chosen behind your back. Try k around 5 % of the entries, and "
                "look at others."
            )
        check_k(k, shape[0] * shape[1], method)
    elif k is not None:
        raise ValueError(f"k={k} was given, and {method} has no threshold")
