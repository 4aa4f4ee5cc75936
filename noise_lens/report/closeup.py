"""One probe from near: the evidence behind a verdict, as curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noise_lens.errors import NoiseLensError
from noise_lens.estimators import HillPath, hill_path
from noise_lens.figures import QuantileCurve, SurvivalCurve, quantile_curve, survival_curve
from noise_lens.inference import TailExamples, Verdict, judged_rows, tail_examples
from noise_lens.inference.evidence import Evidence
from noise_lens.inference.standardise import standardise
from noise_lens.report.verdicts import KINDS
from noise_lens.run import METHODS, Run


@dataclass(frozen=True)
class Closeup:
    """The rows of group ``all`` at the last step of the first seed.

    Attributes
    ----------
    label : str
        The series.
    step : int
        Where.
    seed : str
        Which run.
    record : dict
        The record of the group.
    verdicts : dict of str to Verdict
        By kind of rows, as they stand in the record if it has them.
    evidence : dict of str to Evidence
        By kind of rows that could be judged.
    survival, quantiles, hill : dict
        By kind of rows with an estimate: curves of the pooled standardised noise.
    examples : TailExamples or None
        Which examples carry the tail, where a probe kept them.
    """

    label: str
    step: int
    seed: str
    record: dict[str, Any]
    verdicts: dict[str, Verdict]
    evidence: dict[str, Evidence]
    survival: dict[str, SurvivalCurve]
    quantiles: dict[str, QuantileCurve]
    hill: dict[str, HillPath]
    examples: TailExamples | None


def closeup_of(
    label: str,
    seed: str,
    run: Run,
    record: dict[str, Any],
    verdicts: dict[str, Verdict],
    judged: dict[str, Verdict],
) -> Closeup:
    """Compute the curves of one probe.

    Parameters
    ----------
    label, seed : str
        The series and the run.
    run : Run
        The run.
    record : dict
        Its record of group ``all``.
    verdicts : dict of str to Verdict
        What the report says, by kind of rows.
    judged : dict of str to Verdict
        The same with evidence, from judging the sketch.

    Returns
    -------
    Closeup
        What cannot be computed is left out.
    """
    sketch = run.sketch(record)
    survival, hill = {}, {}
    for of in KINDS:
        alpha = record[f"{of}_{METHODS[0]}_alpha"]
        if alpha is None:
            continue
        rows = judged_rows(sketch[of], record["reference"])
        survival[of] = survival_curve(rows, alpha, record[f"{of}_{METHODS[0]}_sigma"])
        try:
            hill[of] = hill_path(standardise(rows)[0].ravel())
        except NoiseLensError:
            continue  # too few non-zero entries for a path
    return Closeup(
        label=label,
        step=record["step"],
        seed=seed,
        record=record,
        verdicts=verdicts,
        evidence={of: v.evidence for of, v in judged.items() if v.evidence is not None},
        survival=survival,
        quantiles={of: quantile_curve(curve) for of, curve in survival.items()},
        hill=hill,
        examples=_examples(run, record, sketch["norms"]),
    )


def _examples(run: Run, record: dict[str, Any], norms: NDArray[Any]) -> TailExamples | None:
    indices = run.example_indices(record)
    if indices is None or not np.any(norms):
        return None
    return tail_examples(norms, indices)
