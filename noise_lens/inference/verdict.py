"""The one rule that turns evidence into a verdict."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from noise_lens.errors import NoiseLensError, NotEnoughDataError, SamplesError
from noise_lens.inference.artefacts import Artefact, row_warnings
from noise_lens.inference.evidence import Evidence, gather
from noise_lens.inference.rotation import N_ROTATIONS
from noise_lens.inference.rule import LEVEL, Decision, decide, differ

ASSUMPTION = {
    "gaussian": "rejected",
    "gaussianising": "rejected",
    "drifting": "not supported",
    "point-mass": "not supported",
    "stable": "supported",
    "inconclusive": "cannot tell",
    "unusable": "cannot tell",
}
"""What a label says of the heavy-tailed assumption."""

WORDS = {
    "gaussian": "compatible with Gaussian noise at this batch size",
    "gaussianising": "not Gaussian, but sums of minibatches become so",
    "drifting": "tails lighten as minibatches are summed; the limit was not reached",
    "point-mass": "heavier when summed: not a stable law",
    "stable": "alpha-stable on the block sizes that were seen",
    "inconclusive": "cannot tell",
    "unusable": "nothing to judge",
}
"""Labels in plain words."""

LABELS = tuple(ASSUMPTION)
KINDS = ("coordinates", "projections")
FEWEST_ROWS = 50
MOST_COLUMNS = 1024


@dataclass(frozen=True)
class Verdict:
    """Whether rows of minibatch noise support the heavy-tailed assumption.

    Attributes
    ----------
    label : str
        "gaussian", "gaussianising", "drifting", "point-mass", "stable", "inconclusive" or
        "unusable".
    alpha : float
        Index of sums of the largest block size; NaN where there is none. A tail index only if
        the label is "stable".
    interval : tuple of float
        Its 95 % interval.
    block_sizes : tuple of int
        m = 1, 2, 4, ... that were seen: the range of scales the verdict is about.
    pvalue : float
        Of the rotation test: Gaussian minibatches would look so heavy this often.
    of : str
        "coordinates" or "projections".
    reasons : tuple of str
        The rule's path, in sentences with numbers.
    warnings : tuple of Artefact
        What would fool a reader, each with a name and a number.
    n_rows : int
        Rows, one a minibatch (or a pair of them).
    n_needed : int or None
        Rows that would about settle it, where the label is "inconclusive" and more would help.
    evidence : Evidence or None
        All tests and estimates; None where nothing could be computed.
    """

    label: str
    alpha: float
    interval: tuple[float, float]
    block_sizes: tuple[int, ...]
    pvalue: float
    of: str
    reasons: tuple[str, ...]
    warnings: tuple[Artefact, ...]
    n_rows: int
    n_needed: int | None = None
    evidence: Evidence | None = field(default=None, repr=False, compare=False)

    @property
    def assumption(self) -> str:
        """What the label says of the heavy-tailed assumption.

        "supported", "not supported", "rejected" or "cannot tell".
        """
        return ASSUMPTION[self.label]

    @property
    def words(self) -> str:
        """The label in plain words."""
        return WORDS[self.label]

    def __str__(self) -> str:
        head = f"{self.label} ({self.words}): the heavy-tailed assumption is {self.assumption}"
        if self.assumption == "cannot tell":
            head = f"{self.label}: cannot tell whether the noise is heavy-tailed"
        return "\n".join([head, *(f"  {reason}" for reason in self.reasons)])


def judge(
    rows: ArrayLike,
    of: str = "coordinates",
    rng: np.random.Generator | None = None,
    *,
    n_rotations: int = N_ROTATIONS,
) -> Verdict:
    """Judge whether minibatch noise is heavy-tailed.

    An exact test of Gaussianity, the aggregation curve with its drift against what stable rows
    drift, a test of the sums, the spread of shapes over coordinates, and a comparison of
    families; ``docs/verdict.md`` has the rule with its sizes and powers. Failing to reject is
    never taken as evidence: "gaussian" needs a test that would have seen heavy tails.

    Parameters
    ----------
    rows : array_like, shape (M, d)
        One row a minibatch at fixed weights, one kind of rows only, with exact zero location
        (noise against the exact gradient) or differences of disjoint pairs. Any unit, also one a
        column. Above 1024 columns 1024 evenly spaced ones are judged. About 1000 rows can
        support a statement.
    of : {"coordinates", "projections"}
        What the columns are; said in the reasons.
    rng : numpy.random.Generator, optional
        For rotations and the order of rows; fresh entropy if not given.
    n_rotations : int
        Of the test, at least 19.

    Returns
    -------
    Verdict
        Also of rows that are NaN, constant or too few: with the reason, and no number.

    Raises
    ------
    SamplesError
        `rows` is not a real array of two axes.
    ValueError
        `of` is unknown, or there are fewer than 19 rotations.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> judge(rng.standard_normal((400, 32)), rng=rng).label
    'gaussian'
    >>> judge(rng.laplace(size=(1000, 32)), rng=rng).label
    'gaussianising'
    """
    if of not in KINDS:
        raise ValueError(f"of must be one of {', '.join(KINDS)}; got {of!r}")
    if n_rotations < 19:
        raise ValueError(f"n_rotations must be at least 19, got {n_rotations}")
    rng = np.random.default_rng() if rng is None else rng
    case = prepare(rows, of, rng, n_rotations)
    if isinstance(case, Verdict):
        return case
    pvalue = case.evidence.rotations.result().pvalue
    return conclude(case, decide(case.evidence, rejected=pvalue <= LEVEL))


@dataclass(frozen=True)
class Case:
    """Rows that can be judged, with everything but the decision.

    Attributes
    ----------
    evidence : Evidence
        Tests and estimates.
    of : str
        Kind of rows.
    warnings : tuple of Artefact
        What would fool a reader.
    """

    evidence: Evidence
    of: str
    warnings: tuple[Artefact, ...]


def prepare(
    rows: ArrayLike,
    of: str,
    rng: np.random.Generator,
    n_rotations: int = N_ROTATIONS,
    *,
    centred: bool = False,
    sampling: str | None = None,
    n_parameters: int | None = None,
) -> Case | Verdict:
    """Return rows with their evidence, or at once a verdict where there is nothing to judge.

    Parameters
    ----------
    rows, of, rng, n_rotations
        As for :func:`judge`.
    centred : bool
        The location is zero by construction: signs that are not balanced are skewness then, and
        no warning of a location is due.
    sampling : str, optional
        How minibatches were drawn, for the warnings.
    n_parameters : int, optional
        Of the group, for the warnings.

    Returns
    -------
    Case or Verdict
        To be decided, or "unusable" or "inconclusive".

    Raises
    ------
    SamplesError
        Not a real array of two axes.
    """
    array = np.asarray(rows)
    if array.ndim != 2 or array.dtype.kind not in "fiub":
        raise SamplesError(
            "judge needs real rows of shape (M, d), one a minibatch, got shape "
            f"{array.shape} of {array.dtype}. For a single series pass x[:, None]."
        )
    n_rows, n_columns = array.shape
    notes: list[Artefact] = []
    finite = np.ones(n_rows, dtype=bool)
    for first in range(0, n_columns, MOST_COLUMNS):
        finite &= np.isfinite(array[:, first : first + MOST_COLUMNS]).all(axis=1)
    if not finite.all():
        reason = (
            f"{np.count_nonzero(~finite)} of {n_rows} rows hold NaN or inf: the model or its "
            "gradients have diverged. Measure an earlier checkpoint."
        )
        return _without_evidence("unusable", of, n_rows, reason, notes)
    if n_columns > MOST_COLUMNS:
        chosen = np.linspace(0, n_columns - 1, MOST_COLUMNS).round().astype(np.int64)
        array = array[:, chosen]
        message = f"{MOST_COLUMNS} evenly spaced columns of {n_columns:,} were judged."
        notes.append(Artefact("columns_sampled", float(n_columns), message))
    wide = array.astype(np.float64)
    # A power of two a column: nothing overflows, no digit changes.
    wide = np.ldexp(wide, -np.frexp(np.abs(wide).max(axis=0, initial=0.0))[1])
    moves = (wide != wide[:1]).any(axis=0) if n_rows else np.zeros(wide.shape[1], dtype=bool)
    if n_rows and not moves.any():
        reason = (
            f"none of {wide.shape[1]} columns varies over {n_rows} rows: a dead or frozen group"
        )
        return _without_evidence("unusable", of, n_rows, reason, notes)
    if n_rows < FEWEST_ROWS:
        reason = f"{n_rows} rows: at least {FEWEST_ROWS} minibatches are needed for any test"
        return replace(_without_evidence("inconclusive", of, n_rows, reason, notes), n_needed=1000)
    try:
        evidence = gather(wide[:, moves], rng, n_rotations)
    except NotEnoughDataError as error:
        reason = f"values other than zero are too few: {error}"
        found = _without_evidence("inconclusive", of, n_rows, reason, notes)
        return replace(found, n_needed=-(-n_rows * error.needed // max(error.n, 1)))
    except NoiseLensError as error:
        return _without_evidence("unusable", of, n_rows, str(error), notes)
    detected = row_warnings(wide, of=of, n_parameters=n_parameters, sampling=sampling)
    notes += [one for one in detected if not (centred and one.name == "location")]
    if differ(evidence.shapes):
        spread = evidence.shapes.spread
        message = (
            f"coordinates differ in shape (their indices spread by {spread:.2f} beyond their "
            "errors): what is said of all of them together may hide a few heavier ones. Judge "
            "smaller groups."
        )
        notes.append(Artefact("shapes", spread, message))
    return Case(evidence, of, tuple(notes))


def conclude(case: Case, decision: Decision) -> Verdict:
    """Return the verdict of a decided case.

    Parameters
    ----------
    case : Case
        Rows with their evidence.
    decision : Decision
        By :func:`~noise_lens.inference.rule.decide`.

    Returns
    -------
    Verdict
        Complete.
    """
    evidence = case.evidence
    curve = evidence.curve
    dependent = [one for one in case.warnings if one.name == "autocorrelation"]
    if dependent and decision.label in ("gaussian", "stable"):
        # Everything assumes independent rows; without them no label is earned.
        reason = f"it would be {decision.label}, but rows are not independent"
        decision = Decision("inconclusive", (*decision.reasons, reason))
    return Verdict(
        label=decision.label,
        alpha=float(curve.alpha[-1]),
        interval=(float(curve.low[-1]), float(curve.high[-1])),
        block_sizes=tuple(int(size) for size in curve.block_sizes),
        pvalue=evidence.rotations.result().pvalue,
        of=case.of,
        reasons=decision.reasons,
        warnings=case.warnings,
        n_rows=evidence.n_rows,
        n_needed=decision.n_needed,
        evidence=evidence,
    )


def _without_evidence(
    label: str, of: str, n_rows: int, reason: str, notes: list[Artefact]
) -> Verdict:
    return Verdict(
        label=label,
        alpha=np.nan,
        interval=(np.nan, np.nan),
        block_sizes=(),
        pvalue=np.nan,
        of=of,
        reasons=(reason,),
        warnings=tuple(notes),
        n_rows=n_rows,
    )
