"""What a verdict rests on, gathered from rows before anything is decided."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noise_lens.errors import NoiseLensError
from noise_lens.inference.aggregation import AggregationCurve, aggregation_curve
from noise_lens.inference.dependence import effective_columns
from noise_lens.inference.families import FamilyComparison, compare_families
from noise_lens.inference.homogeneity import Homogeneity, homogeneity
from noise_lens.inference.power import rotation_power
from noise_lens.inference.rotation import N_ROTATIONS, Rotations, RotationTest, rotation_test


@dataclass(frozen=True)
class Evidence:
    """Tests and estimates of one kind of rows.

    Attributes
    ----------
    n_rows : int
        M.
    n_columns : int
        Coordinates that vary.
    effective_columns : float
        What they are worth where they are correlated.
    atom_share : float
        Mean over columns of the share of rows that have its most repeated value, 0 where no value
        repeats.
    rotations : Rotations
        The test of single minibatches; it can be made longer.
    power : float
        Of that test against one-radius stable rows of index 1.8.
    curve : AggregationCurve
        Alpha of sums of m minibatches.
    sums : RotationTest or None
        The same test of the sums of the largest block size; None where that is 1.
    shapes : Homogeneity
        Whether coordinates have one shape.
    families : FamilyComparison or None
        Which law describes single minibatches; None where it could not be fitted.
    """

    n_rows: int
    n_columns: int
    effective_columns: float
    atom_share: float
    rotations: Rotations
    power: float
    curve: AggregationCurve
    sums: RotationTest | None
    shapes: Homogeneity
    families: FamilyComparison | None

    @property
    def largest(self) -> int:
        """The largest block size."""
        return int(self.curve.block_sizes[-1])


def gather(
    rows: NDArray[np.float64], rng: np.random.Generator, n_rotations: int = N_ROTATIONS
) -> Evidence:
    """Run every test and estimate that a verdict needs.

    Parameters
    ----------
    rows : ndarray of shape (M, d)
        Checked rows, at least 50, columns that vary.
    rng : numpy.random.Generator
        For rotations and orders.
    n_rotations : int
        Of the first test.

    Returns
    -------
    Evidence
        Undecided.

    Raises
    ------
    NoiseLensError
        No coordinate has an estimate.
    """
    rotations = Rotations(rows, rng)
    rotations.extend(n_rotations)
    if rotations.result().lighter_pvalue <= 1 / (1 + n_rotations):
        rotations.extend(4 * (1 + n_rotations))  # what is called lighter must be so at .2 %
    curve = aggregation_curve(rows, rng)
    size = int(curve.block_sizes[-1])
    sums = None
    if size > 1:
        order = rng.permutation(len(rows))[: len(rows) // size * size]
        sums = rotation_test(rows[order].reshape(-1, size, rows.shape[1]).sum(axis=1), rng=rng)
    effective = effective_columns(rows)
    try:
        families = compare_families(rows)
    except NoiseLensError:
        families = None
    return Evidence(
        n_rows=len(rows),
        n_columns=rows.shape[1],
        effective_columns=effective,
        atom_share=_atom_share(rows),
        rotations=rotations,
        power=rotation_power(len(rows), effective),
        curve=curve,
        sums=sums,
        shapes=homogeneity(rows),
        families=families,
    )


def _atom_share(rows: NDArray[np.float64]) -> float:
    ordered = np.sort(rows, axis=0)
    total = 0
    for column in np.flatnonzero((ordered[1:] == ordered[:-1]).any(axis=0)):
        total += int(np.unique(ordered[:, column], return_counts=True)[1].max())
    return total / rows.size
