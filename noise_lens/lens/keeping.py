"""What a lens keeps in memory of earlier probes: numbers, not rows."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from noise_lens.measurement import Measurement
from noise_lens.sketch import GroupSketch, Sketch


def slimmed(measurement: Measurement) -> Measurement:
    """Return a measurement without its rows, histograms and evidence; the table stays.

    Parameters
    ----------
    measurement : Measurement
        Of an earlier probe.

    Returns
    -------
    Measurement
        A few kilobytes a group.
    """
    groups = tuple(replace(group, **_emptied(group)) for group in measurement.sketch.groups)
    sketch = replace(measurement.sketch, groups=groups, **_emptied(measurement.sketch))
    records = [
        {**record, "histogram_bins": [], "histogram_counts": []} for record in measurement.records
    ]
    verdicts = {
        group: {of: replace(verdict, evidence=None) for of, verdict in kinds.items()}
        for group, kinds in measurement.verdicts.items()
    }
    return replace(
        measurement,
        sketch=sketch,
        records=records,
        verdicts=verdicts,
    )


def _emptied(part: GroupSketch | Sketch) -> dict[str, Any]:
    """Return every array of a sketch with no rows; a copy, so that the whole one can go."""
    arrays = {field.name: getattr(part, field.name) for field in fields(part)}
    return {
        name: array[:0].copy() for name, array in arrays.items() if isinstance(array, np.ndarray)
    }
