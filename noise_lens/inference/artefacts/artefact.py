"""One finding."""

from __future__ import annotations

from typing import NamedTuple


class Artefact(NamedTuple):
    """Something in a sample that would fool a reader: a name, a number and a sentence.

    Attributes
    ----------
    name : str
        Which detector; at most one artefact of a name comes from one call.
    value : float
        Its number. In samples and rows: "zeros" share of exact zeros; "dead" columns that do not
        vary; "atom" largest share that one value has; "ties" share of rounded values;
        "duplicated_rows" rows that came before; "scale_spread" sd of the log scales of columns;
        "location" share of columns off centre; "autocorrelation" and
        "magnitude_autocorrelation" correlation of neighbouring rows; "without_replacement"
        variance of sums of rows relative to independent rows; "divergence" last norms over
        first norms; "shared_scale" intraclass correlation of ``log|x|``; "few_rows" rows;
        "few_columns" columns; "small_group" parameters. In estimates: "misfit" chi-square;
        "disagreement" gap between two intervals; "unused_columns" columns.
    message : str
        What was found, and what it does to a tail index.

    Examples
    --------
    >>> print(Artefact("zeros", 0.25, "25.0 % of the values are exactly 0 and were dropped."))
    25.0 % of the values are exactly 0 and were dropped.
    """

    name: str
    value: float
    message: str

    def __str__(self) -> str:
        return self.message
