"""What a record holds."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

SCHEMA = "noise-lens/3"
KINDS = ("coordinates", "projections")
METHODS = ("characteristic_function", "mohammadi")
ESTIMATE_FIELDS = ("alpha", "standard_error", "low", "high", "sigma", "n", "n_zero")

_WARNING = pa.struct([("name", pa.string()), ("value", pa.float64()), ("message", pa.string())])
VERDICT_FIELDS = {
    "verdict": pa.string(),
    "verdict_alpha": pa.float64(),
    "verdict_low": pa.float64(),
    "verdict_high": pa.float64(),
    "verdict_block_sizes": pa.list_(pa.int64()),
    "verdict_pvalue": pa.float64(),
    "verdict_n_needed": pa.int64(),
    "verdict_reasons": pa.list_(pa.string()),
    "verdict_warnings": pa.list_(_WARNING),
    "gaussianising_low": pa.float64(),
    "gaussianising_high": pa.float64(),
}


def _estimate_columns() -> Iterator[tuple[str, pa.DataType]]:
    for of in KINDS:
        yield f"{of}_n_columns", pa.int64()
        yield f"{of}_reason", pa.string()
        yield f"{of}_excess_kurtosis", pa.float64()
        yield f"{of}_log_scale", pa.float64()
        for method in METHODS:
            for name in ESTIMATE_FIELDS:
                kind = pa.int64() if name in ("n", "n_zero") else pa.float64()
                yield f"{of}_{method}_{name}", kind
        for name, kind in VERDICT_FIELDS.items():
            yield f"{of}_{name}", kind


COLUMNS = pa.schema(
    [
        ("rank", pa.int32()),
        ("step", pa.int64()),
        ("view", pa.string()),
        ("optimizer", pa.string()),
        ("beta", pa.float64()),
        ("window", pa.int64()),
        ("group", pa.string()),
        ("n_parameters", pa.int64()),
        ("n_minibatches", pa.int64()),
        ("batch_size", pa.int64()),
        ("n_rows", pa.int64()),
        ("reference", pa.string()),
        ("reference_reason", pa.string()),
        ("mode", pa.string()),
        ("sampling", pa.string()),
        ("loss", pa.float64()),
        ("metrics", pa.map_(pa.string(), pa.float64())),
        ("gradient_zero_share", pa.float64()),
        ("noise_zero_share", pa.float64()),
        ("noise_norm_mean", pa.float64()),
        ("noise_energy", pa.float64()),
        ("noise_scale", pa.float64()),
        ("noise_scale_low", pa.float64()),
        ("noise_scale_high", pa.float64()),
        ("noise_scale_reason", pa.string()),
        ("published_alpha", pa.float64()),
        ("published_block_size", pa.int64()),
        *_estimate_columns(),
        ("histogram_bins", pa.list_(pa.int32())),
        ("histogram_counts", pa.list_(pa.int64())),
        ("part", pa.string()),
    ],
    metadata={"schema": SCHEMA},
)
"""The columns of a record; a change of any is a new schema."""
