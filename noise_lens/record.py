"""Records: the estimates of one group of one probe, as they stand in tables and on disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noise_lens.errors import NoiseLensError
from noise_lens.inference import Verdict, judged_rows, noise_scale, pooled
from noise_lens.inference.moments import excess_kurtosis, log_scale
from noise_lens.judging import examples_a_row, verdict_columns
from noise_lens.run import ESTIMATE_FIELDS, KINDS, METHODS
from noise_lens.sketch import GroupSketch, Sketch

_LOWEST_OF_A_VIEW = 0.4
"""Where :class:`noise_lens.SymmetricStable` ends; what reads below has no tail to be read."""


def record_of(
    sketch: Sketch,
    index: int,
    step: int,
    metrics: Mapping[str, float],
    verdicts: Mapping[str, Verdict] | None = None,
    rank: int = 0,
) -> dict[str, Any]:
    """Return the record of one group: what goes into a run folder.

    Parameters
    ----------
    sketch : Sketch
        Of a probe.
    index : int
        Number of the group in it.
    step : int
        Training step of the weights.
    metrics : mapping of str to float
        Kept beside the estimates.
    verdicts : mapping of str to Verdict, optional
        By kind of rows; none where the group was not judged.
    rank : int
        Whose part it is.

    Returns
    -------
    dict
        All columns of ``noise_lens.run.COLUMNS`` but ``part``.
    """
    group = sketch.groups[index]
    bins = np.flatnonzero(group.histogram)
    record: dict[str, Any] = {
        "rank": rank,
        "step": step,
        "view": sketch.view,
        "optimizer": sketch.optimizer,
        "beta": sketch.beta,
        "window": sketch.window,
        "group": group.name,
        "n_parameters": group.n_parameters,
        "n_minibatches": sketch.n_minibatches,
        "batch_size": sketch.batch_size,
        "n_rows": len(judged_rows(group.coordinates, sketch.reference)),
        "reference": sketch.reference,
        "reference_reason": sketch.reference_reason,
        "mode": sketch.mode,
        "sampling": sketch.sampling,
        "loss": float(sketch.losses.mean()),
        "metrics": dict(metrics),
        "gradient_zero_share": float(group.gradient_zero_shares.mean()),
        "noise_zero_share": float(group.noise_zero_shares.mean()),
        "noise_norm_mean": float(group.norms.mean()),
        "noise_energy": float((group.norms**2).mean()),
        **_noise_scale(sketch, group, verdicts or {}),
        **_published(sketch, group),
        "histogram_bins": bins.tolist(),
        "histogram_counts": group.histogram[bins].tolist(),
    }
    for of in KINDS:
        rows = judged_rows(getattr(group, of), sketch.reference)
        record[f"{of}_n_columns"] = rows.shape[1]
        record[f"{of}_reason"] = None
        record[f"{of}_excess_kurtosis"] = excess_kurtosis(rows)
        record[f"{of}_log_scale"] = log_scale(rows)
        for method in METHODS:
            values, reason = _estimate(rows, method)
            if sketch.view != "gradient" and (values["alpha"] or 2.0) < _LOWEST_OF_A_VIEW:
                # Adam's first step is lr * sign(g): all but equal magnitudes, and no law of them.
                values, reason = dict.fromkeys(values), "the magnitudes all but repeat a few values"
            record[f"{of}_reason"] = record[f"{of}_reason"] or reason
            for name, value in values.items():
                record[f"{of}_{method}_{name}"] = value
        row_size = examples_a_row(sketch.batch_size, sketch.reference)
        row_size = row_size if sketch.view == "gradient" else None
        record |= verdict_columns((verdicts or {}).get(of), of, row_size)
    return record


def _noise_scale(
    sketch: Sketch, group: GroupSketch, verdicts: Mapping[str, Verdict]
) -> dict[str, float | str | None]:
    columns = ("noise_scale", "noise_scale_low", "noise_scale_high")
    if sketch.view != "gradient":
        reason = "the noise scale is of minibatch gradients: see the view gradient"
        return {**dict.fromkeys(columns, None), "noise_scale_reason": reason}
    if any(verdict.label == "stable" for verdict in verdicts.values()):
        reason = "the verdict is stable: tr(Sigma) would have no limit if that law held"
        return {**dict.fromkeys(columns, None), "noise_scale_reason": reason}
    if sketch.reference != "full" and len(group.block_squares) == 0:
        reason = "it needs the sum of gradients, 4 bytes a parameter, which was not kept"
        return {**dict.fromkeys(columns, None), "noise_scale_reason": reason}
    try:
        found = noise_scale(
            group.norms,
            group.gradient_squares,
            reference=sketch.reference,
            batch_size=sketch.batch_size,
            reference_square=group.reference_square,
            block_squares=group.block_squares,
            row_blocks=sketch.row_blocks,
        )
    except NoiseLensError as error:
        return {**dict.fromkeys(columns, None), "noise_scale_reason": str(error)}
    values = dict(zip(columns, (found.value, found.low, found.high), strict=True))
    return {**values, "noise_scale_reason": found.reason}


def _published(sketch: Sketch, group: GroupSketch) -> dict[str, float | int | None]:
    # It strings all parameters together, so it belongs to the group of all.
    alpha, block_size = (sketch.published if group.name == "all" else None) or (None, None)
    return {"published_alpha": alpha, "published_block_size": block_size}


def _estimate(
    rows: NDArray[np.float64], method: str
) -> tuple[dict[str, float | int | None], str | None]:
    empty: dict[str, float | int | None] = dict.fromkeys(ESTIMATE_FIELDS)
    if rows.shape[1] == 0:
        return empty, "a projection needs at least four elements in the group"
    try:
        found = pooled(rows, method)
    except NoiseLensError as error:
        return empty, str(error)
    low, high = found.confidence_interval()
    return {
        "alpha": float(found.alpha),
        "standard_error": float(found.standard_error),
        "low": low,
        "high": high,
        "sigma": None if found.sigma is None else float(found.sigma),
        "n": int(found.n),
        "n_zero": int(found.n_zero),
    }, None


def table_rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one row per kind of rows of a record.

    Parameters
    ----------
    record : mapping
        One group of one measurement.

    Returns
    -------
    list of dict
        Flat, in a fixed order of keys.
    """
    shared = ("step", "view", "optimizer", "beta", "window", "group", "n_parameters")
    how = (
        "n_rows", "batch_size", "reference", "mode", "loss", "gradient_zero_share",
        "noise_zero_share", "noise_norm_mean", "noise_energy", "noise_scale", "noise_scale_low",
        "noise_scale_high", "noise_scale_reason",
    )  # fmt: skip
    rows = []
    for of in KINDS:
        main, other = (f"{of}_{method}" for method in METHODS)
        rows.append(
            {
                **{key: record[key] for key in shared},
                "of": of,
                "n_columns": record[f"{of}_n_columns"],
                "alpha": _number(record[f"{main}_alpha"]),
                "low": _number(record[f"{main}_low"]),
                "high": _number(record[f"{main}_high"]),
                "standard_error": _number(record[f"{main}_standard_error"]),
                "mohammadi": _number(record[f"{other}_alpha"]),
                "mohammadi_low": _number(record[f"{other}_low"]),
                "mohammadi_high": _number(record[f"{other}_high"]),
                "reason": record[f"{of}_reason"],
                "excess_kurtosis": _number(record[f"{of}_excess_kurtosis"]),
                "log_scale": _number(record[f"{of}_log_scale"]),
                "verdict": record[f"{of}_verdict"],
                "verdict_alpha": _number(record[f"{of}_verdict_alpha"]),
                "verdict_low": _number(record[f"{of}_verdict_low"]),
                "verdict_high": _number(record[f"{of}_verdict_high"]),
                "verdict_block_size": max(record[f"{of}_verdict_block_sizes"] or [0]) or None,
                "pvalue": _number(record[f"{of}_verdict_pvalue"]),
                "n_needed": record[f"{of}_verdict_n_needed"],
                "reasons": "; ".join(record[f"{of}_verdict_reasons"] or ()) or None,
                "warnings": "; ".join(
                    f"{one['name']}: {one['message']}"
                    for one in record[f"{of}_verdict_warnings"] or ()
                )
                or None,
                "gaussianising_low": _number(record[f"{of}_gaussianising_low"]),
                "gaussianising_high": _number(record[f"{of}_gaussianising_high"]),
                **{key: record[key] for key in how},
                "published_alpha": _number(record["published_alpha"]),
            }
        )
    return rows


def sketch_arrays(sketch: Sketch) -> dict[str, NDArray[Any]]:
    """Return the arrays of a sketch by ``<group>/<what>``.

    Parameters
    ----------
    sketch : Sketch
        Of a probe.

    Returns
    -------
    dict of str to ndarray
        Ready for a safetensors file.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for group in sketch.groups:
        arrays[f"{group.name}/coordinates"] = group.coordinates
        arrays[f"{group.name}/positions"] = group.positions
        arrays[f"{group.name}/projections"] = group.projections
        # float64: what several ranks kept adds up to what one would have kept.
        arrays[f"{group.name}/norms"] = group.norms
        zeros = np.stack([group.gradient_zero_shares, group.noise_zero_shares], axis=1)
        arrays[f"{group.name}/zero_shares"] = zeros
        arrays[f"{group.name}/gradient_squares"] = group.gradient_squares
        arrays[f"{group.name}/block_squares"] = group.block_squares
        arrays[f"{group.name}/reference_square"] = np.array([group.reference_square])
    arrays["losses"] = sketch.losses
    for name in ("example_indices", "places", "row_blocks"):
        array = getattr(sketch, name)
        if array is not None:
            arrays[name] = array
    return arrays


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
