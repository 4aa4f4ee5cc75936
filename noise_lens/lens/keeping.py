"""What a lens keeps in memory of earlier probes: numbers, not rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from noise_lens.measurement import Measurement


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
    groups = tuple(
        replace(
            group,
            coordinates=group.coordinates[:0].copy(),
            projections=group.projections[:0].copy(),
            histogram=np.zeros(0, dtype=np.int64),
        )
        for group in measurement.sketch.groups
    )
    records = [
        {**record, "histogram_bins": [], "histogram_counts": []} for record in measurement.records
    ]
    verdicts = {
        group: {of: replace(verdict, evidence=None) for of, verdict in kinds.items()}
        for group, kinds in measurement.verdicts.items()
    }
    return replace(
        measurement,
        sketch=replace(measurement.sketch, groups=groups),
        records=records,
        verdicts=verdicts,
    )
