"""``noise-lens estimate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from noise_lens_cli.printing import echo_json, echo_table, interval
from noise_lens_cli.translate import translated

if TYPE_CHECKING:
    from noise_lens import TailIndexEstimate

_METHODS = ("characteristic_function", "mohammadi", "hill")


@click.command()
@click.argument("file", type=click.Path(allow_dash=True))
@click.option(
    "--method", type=click.Choice(_METHODS), multiple=True, help="All three if not given."
)
@click.option(
    "-k", type=int, help="Upper order statistics for hill; 5 % of the non-zero samples by default."
)
@click.option("--block-size", type=int, default=8, show_default=True, help="For mohammadi.")
@click.option("--key", help="Which array of a .npz, .safetensors or .parquet file.")
@click.option("--columns", is_flag=True, help="One estimate a column instead of one of all.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@translated
def estimate(
    file: str,
    method: tuple[str, ...],
    k: int | None,
    block_size: int,
    key: str | None,
    columns: bool,
    as_json: bool,
) -> None:
    """Estimate the tail index of the numbers in FILE.

    FILE is .npy, .npz, .csv, .parquet or .safetensors, or - for numbers or .npy on stdin. It holds
    noise: centred at zero, samples down the first axis. Several columns are standardised one by
    one and pooled, with an error that counts rows (hill: the columns one by one); --columns shows
    each.

    \b
    Example:
        noise-lens estimate noise.npy --json
        seq 1 500 | noise-lens estimate - --method hill -k 50
    """
    from noise_lens.inference.artefacts import sample_warnings
    from noise_lens_cli.arrays import read_array

    array = read_array(file, key)
    # One column is one sample, however its file was shaped.
    array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    found = [
        entry
        for name in (method or _METHODS)
        for entry in _entries(array, name, k=k, block_size=block_size, columns=columns)
    ]
    warnings = sample_warnings(array)
    if as_json:
        echo_json(
            {
                "file": file,
                "shape": list(array.shape),
                "estimates": found,
                "warnings": warnings,
            }
        )
        return
    click.echo(f"{file}: {' x '.join(map(str, array.shape))} samples")
    echo_table(
        ["method", "column", "alpha [95 %]", "n", "zeros dropped", "remark"],
        [
            [
                entry["method"],
                entry["column"],
                interval(entry, "alpha", "low", "high"),
                f"{entry['n']:,}",
                f"{entry['n_zero']:,}",
                entry["remark"],
            ]
            for entry in found
        ],
    )
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)
    click.echo(
        "characteristic_function and mohammadi fit a stable law to the bulk, hill a power law to "
        "the largest values; each interval holds if its model does. No verdict.",
        err=True,
    )


def _entries(
    array: Any, method: str, *, k: int | None, block_size: int, columns: bool
) -> list[dict[str, Any]]:
    import numpy as np

    import noise_lens as nl

    if array.ndim == 2 and not columns and method != "hill":
        estimate = nl.pooled(array, method, block_size=block_size)
        how = f", block size {block_size}" if method == "mohammadi" else ""
        return [_entry(estimate, "pooled", f"standardised one by one{how}")]
    if method == "hill":
        nonzero = np.max(np.count_nonzero(array, axis=0))
        chosen = max(1, int(nonzero) // 20) if k is None else k
        estimate = nl.hill(array, chosen)
        remark = f"k = {chosen}" + ("" if k else ", 5 %: look at others too")
    elif method == "mohammadi":
        estimate, remark = nl.mohammadi(array, block_size), f"block size {block_size}"
    else:
        estimate, remark = nl.characteristic_function(array), ""
    if array.ndim == 1:
        return [_entry(estimate, "-", remark)]
    low, high = estimate.confidence_interval()
    return [
        {
            "method": method,
            "column": str(column),
            "alpha": float(np.asarray(estimate.alpha)[column]),
            "low": float(low[column]),
            "high": float(high[column]),
            "standard_error": float(np.asarray(estimate.standard_error)[column]),
            "n": int(np.asarray(estimate.n)[column]),
            "n_zero": int(np.asarray(estimate.n_zero)[column]),
            "remark": estimate.reasons.get(column, remark),
        }
        for column in range(array.shape[1])
    ]


def _entry(estimate: TailIndexEstimate, column: str, remark: str) -> dict[str, Any]:
    low, high = estimate.confidence_interval()
    return {
        "method": estimate.method,
        "column": column,
        "alpha": float(estimate.alpha),
        "low": low,
        "high": high,
        "standard_error": float(estimate.standard_error),
        "n": int(estimate.n),
        "n_zero": int(estimate.n_zero),
        "remark": remark,
    }
